use crate::{GIB, asked, changes};
use kvtrace_tests::{Bench, have, run};

/// What a free of 3 GiB was told to, by the position of the question.
fn told(bench: &Bench, patch: &str, ways: &[&str]) -> Vec<bool> {
    let found = asked(bench, "gb10", patch, ways);
    let told: Vec<bool> = found.answers.iter().map(|(_, free, _)| *free == 3 * GIB).collect();
    let count = told.iter().filter(|told| **told).count();
    assert_eq!(changes(&found.trace).len(), count, "each has its event");
    told
}

#[test]
fn the_nth_question_is_counted_by_rule() {
    let bench = Bench::new();
    let ways = ["driver", "driver", "runtime", "driver"];
    assert_eq!(told(&bench, "free=3GiB@nth=2", &ways), [false, true, false, false]);
    assert_eq!(told(&bench, "free=3GiB@nth=2-3", &ways), [false, true, true, false]);
    assert_eq!(told(&bench, "free=3GiB@nth=3-", &ways), [false, false, true, true]);
    // A question that is about something else does not count.
    assert_eq!(told(&bench, "free=3GiB@nth=1,device=0", &["sysinfo", "driver", "driver"]), [false, true, false]);
    assert_eq!(told(&bench, "free=3GiB@device=1", &["driver"]), [false]);
}

#[test]
fn threads_of_one_process_are_told_apart() {
    let bench = Bench::new();
    let ways = ["driver", "thread:loader:driver", "thread:other:driver", "thread:loader:sysinfo"];
    assert_eq!(told(&bench, "free=3GiB@thread=loader", &ways), [false, true, false, false]);
    let both = "free=3GiB@thread=loader;sysinfo:free=3GiB@thread=loader";
    assert_eq!(told(&bench, both, &ways), [false, true, false, true]);
}

#[test]
fn other_programs_and_ranks_are_left_alone() {
    let bench = Bench::new();
    assert_eq!(told(&bench, "free=3GiB@exe=ask", &["driver"]), [true]);
    assert_eq!(told(&bench, "free=3GiB@exe=vllm", &["driver"]), [false]);
    for (variable, rank, expected) in [("RANK", "1", true), ("RANK", "0", false), ("OMPI_COMM_WORLD_RANK", "1", true)] {
        let mut command = crate::command(&bench, "gb10", "free=3GiB@rank=1", &["driver"]);
        let found = crate::asked_by(&bench, command.env(variable, rank));
        assert_eq!(found.answers[0].1 == 3 * GIB, expected, "{variable}={rank}");
    }
    assert_eq!(told(&bench, "free=3GiB@rank=0", &["driver"]), [false], "it has no rank");
}

#[test]
fn a_module_is_meant_by_part_of_its_name() {
    let bench = Bench::new();
    assert_eq!(told(&bench, "free=3GiB@module=ask", &["driver", "runtime"]), [true, true]);
    assert_eq!(told(&bench, "free=3GiB@module=libtorch", &["driver", "runtime"]), [false, false]);
}

#[test]
fn a_time_has_a_begin_and_an_end() {
    let bench = Bench::new();
    assert_eq!(told(&bench, "free=3GiB@after=3600", &["driver"]), [false]);
    assert_eq!(told(&bench, "free=3GiB@before=3600", &["driver"]), [true]);
    assert_eq!(told(&bench, "free=3GiB@after=0.2", &["sleep:300", "driver"]), [true]);
    assert_eq!(told(&bench, "free=3GiB@before=0.2", &["sleep:300", "driver"]), [false]);
}

#[test]
fn the_first_rule_that_is_meant_counts() {
    let bench = Bench::new();
    let found = asked(&bench, "gb10", "free=1GiB@nth=1;free=3GiB", &["driver", "driver", "driver"]);
    let free: Vec<u64> = found.answers.iter().map(|(_, free, _)| *free).collect();
    assert_eq!(free, [GIB, 3 * GIB, 3 * GIB]);
}

#[test]
fn a_fork_child_counts_for_itself() {
    let bench = Bench::new();
    let found = asked(&bench, "gb10", "sysinfo:free=3GiB@nth=1", &["sysinfo", "fork:sysinfo", "sysinfo"]);
    let told: Vec<bool> = found.answers.iter().map(|(_, free, _)| *free == 3 * GIB).collect();
    assert_eq!(told, [true, true, false]);
}

/// Protects: the figure that one Python function asks for, as a profile does, and no other.
#[test]
fn a_python_function_is_meant_while_it_runs() {
    let bench = Bench::new();
    if !have("python3", "rules for a Python function") {
        return;
    }
    let script = "import os\n\
        def free(): return os.sysconf('SC_AVPHYS_PAGES') * 4096\n\
        def profile(): return free()\n\
        class Worker:\n def load(self): return free()\n\
        print(free() == 3 << 30, profile() == 3 << 30, Worker().load() == 3 << 30)";
    let told = |patch: &str| {
        let mut command = bench.traced("python3");
        let output = run(command.env("KVTRACE_PATCH", patch).args(["-c", script]));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(told("sysinfo:free=3GiB@python=profile"), "False True False\n");
    assert_eq!(told("sysinfo:free=3GiB@python=load"), "False False True\n");
    assert_eq!(told("sysinfo:free=3GiB@python=free"), "True True True\n");
    assert_eq!(told("sysinfo:free=3GiB@python=nothing"), "False False False\n");
}
