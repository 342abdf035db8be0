use kvtrace_tests::{Bench, kit, run};
use serde_json::Value;
use std::process::{Command, Output};

fn kvtrace(bench: &Bench, arguments: &[&str]) -> Command {
    let mut command = bench.plain(kit("bin/kvtrace"));
    command.arg("experiment").args(arguments);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn error(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), text(&output.stderr))
}

/// Every kind of arm that has a prediction moves the cache by it.
#[test]
fn predictions_hold() {
    let bench = Bench::new_in("/var/tmp");
    let workload = kit("bin/kvtrace-workload").display().to_string();
    let arms = [
        "baseline",
        "less: patch=free=-5GiB",
        "half: patch=free=x0.5",
        "second: patch=free=20GiB@nth=5",
        "total: patch=total=100GiB",
        "fraction: argument=--fraction argument=0.5 fraction=0.5",
        "vague: argument=--fraction argument=0.5",
    ];
    let mut command = kvtrace(&bench, &["-o", "answer", "--repetitions", "3", "--format", "json"]);
    command.args(arms.iter().flat_map(|arm| ["--arm", arm])).args(["--", &workload, "serve"]);
    let report: Value = serde_json::from_slice(&run(&mut command).stdout).unwrap();
    assert_eq!((report["ended"].as_u64(), report["simulated"].as_bool()), (Some(21), Some(true)));
    let verdict = |name: &str| {
        let all = report["hypotheses"].as_array().unwrap();
        let found = all.iter().find(|found| found["name"].as_str().unwrap().starts_with(name)).unwrap();
        (found["verdict"].as_str().unwrap().to_owned(), found["name"].as_str().unwrap().to_owned())
    };
    for name in ["less", "half", "second", "total", "fraction"] {
        assert_eq!(verdict(name).0, "supported", "{report:#}");
    }
    assert_eq!(verdict("less").1, "less: the KV cache moves by -4.50 GiB");
    assert_eq!(verdict("vague").0, "cannot tell");
    let vague = report["arms"].as_array().unwrap().last().unwrap();
    assert!(vague["not_predicted"].as_str().unwrap().contains("fraction"), "{vague}");
    // Exact in the report as in the traces.
    for row in report["runs"].as_array().unwrap() {
        let shown =
            run(bench.plain(kit("bin/kvtrace")).args(["show", row["trace"].as_str().unwrap(), "--format", "json"]));
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!(shown["decisions"][0]["final_pool_bytes"]["value"], row["kv_bytes"]);
    }
}

/// A wrong prediction is refuted, and noise is no answer.
#[test]
fn what_does_not_hold_is_refuted() {
    let bench = Bench::new();
    let workload = kit("bin/kvtrace-workload").display().to_string();
    // It says another fraction than it sets.
    let arms = ["baseline", "wrong: argument=--fraction argument=0.5 fraction=0.7", "same: env=UNUSED=1"];
    let mut command = kvtrace(&bench, &["-o", "answer", "--repetitions", "3"]);
    command.args(arms.iter().flat_map(|arm| ["--arm", arm])).args(["--", &workload, "serve"]);
    let shown = text(&run(&mut command).stdout);
    assert!(shown.starts_with("Of 2 predictions 0 held and 1 did not; 1 cannot be told by these runs.\n"), "{shown}");
    // Two runs of each tell nothing.
    let mut command = kvtrace(&bench, &["-o", "few", "--repetitions", "2", "--format", "json"]);
    command.args(["--arm", "baseline", "--arm", "less: patch=free=-5GiB", "--", &workload, "serve"]);
    let report: Value = serde_json::from_slice(&run(&mut command).stdout).unwrap();
    assert_eq!(report["hypotheses"][0]["verdict"], "cannot tell");
    assert!(report["hypotheses"][0]["because"].as_str().unwrap().contains("3 of each are needed"));
}

#[test]
fn runs_that_fail_are_told_and_do_not_stop_the_rest() {
    let bench = Bench::new();
    let workload = kit("bin/kvtrace-workload").display().to_string();
    let text_of = format!(
        "command = ['sh', '-c', 'exec \"$0\" serve --fraction ${{F:-0.9}}', '{workload}']\nrepetitions = 2\n\
         [[arm]]\nname = 'good'\n[[arm]]\nname = 'bad'\nenv = {{ F = 'nonsense' }}\n"
    );
    std::fs::write(bench.path("e.toml"), text_of).unwrap();
    let output = kvtrace(&bench, &["e.toml", "-o", "answer", "--format", "json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "some runs have no answer");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((report["ended"].as_u64(), report["without_answer"].as_u64()), (Some(4), Some(2)), "{report:#}");
    let bad = report["runs"].as_array().unwrap().iter().find(|run| run["arm"] == "bad").unwrap();
    assert!(bad["outcome"] == "failed" && bad["problem"].as_str().unwrap().contains("code 2"), "{bad}");
    let log = std::fs::read_to_string(bench.path("answer/bad/001.log")).unwrap();
    assert!(log.contains("nonsense"), "what it printed is kept: {log}");
}

/// A server does not end by itself.
#[test]
fn a_server_is_ended_when_it_has_what_it_came_for() {
    let bench = Bench::new();
    let workload = kit("bin/kvtrace-workload").display().to_string();
    let text_of = |more: &str| {
        format!(
            "command = ['sh', '-c', '\"$0\" serve; echo ready; exec sleep 1000', '{workload}']\nrepetitions = 1\n{more}\n\
             [[arm]]\nname = 'one'\n"
        )
    };
    std::fs::write(bench.path("e.toml"), text_of("stop_when = 'ready'")).unwrap();
    let output = run(&mut kvtrace(&bench, &["e.toml", "-o", "answer", "--format", "json"]));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["runs"][0]["outcome"], report["without_answer"].as_u64()), (&"stopped".into(), Some(0)));
    std::fs::write(bench.path("late.toml"), text_of("timeout_s = 1")).unwrap();
    let output = kvtrace(&bench, &["late.toml", "-o", "late", "--format", "json"]).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["runs"][0]["outcome"]), (Some(1), &"timed-out".into()));
}

#[test]
fn the_plan_can_be_seen_first() {
    let bench = Bench::new();
    let plan = ["-o", "answer", "--repetitions", "2", "--arm", "a", "--arm", "b", "--plan", "--", "true"];
    let shown = text(&run(&mut kvtrace(&bench, &plan)).stdout);
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 4);
    for arm in ["a 1", "a 2", "b 1", "b 2"] {
        assert!(lines.iter().any(|line| line.ends_with(arm)), "{shown}");
    }
    assert!(!bench.path("answer").exists());
}

#[test]
fn the_folder_is_this_experiment_s() {
    let bench = Bench::new();
    let workload = kit("bin/kvtrace-workload").display().to_string();
    let arguments = |fraction: &'static str| {
        vec!["-o", "answer", "--repetitions", "1", "--arm", "a", "--", &workload, "serve", "--fraction", fraction]
    };
    run(&mut kvtrace(&bench, &arguments("0.9")));
    // Everything has been run: it is reported once more, and nothing else done.
    let again = run(&mut kvtrace(&bench, &arguments("0.9")));
    assert!(text(&again.stderr).contains("1 of 1 runs have ended before; 0 are left"), "{}", text(&again.stderr));
    let (code, complaint) = error(&kvtrace(&bench, &arguments("0.8")).output().unwrap());
    assert!(code == Some(2) && complaint.contains("another experiment"), "{complaint}");
    std::fs::create_dir(bench.path("full")).unwrap();
    std::fs::write(bench.path("full/file"), "").unwrap();
    let full = ["-o", "full", "--arm", "a", "--", "true"];
    let (code, complaint) = error(&kvtrace(&bench, &full).output().unwrap());
    assert!(code == Some(2) && complaint.contains("not empty"), "{complaint}");
    let (code, complaint) =
        error(&kvtrace(&bench, &["-o", "none", "--arm", "a", "--report-only", "--", "true"]).output().unwrap());
    assert!(code == Some(2) && complaint.contains("no experiment was begun"), "{complaint}");
}

#[test]
fn bad_input_starts_nothing() {
    let bench = Bench::new();
    std::fs::write(bench.path("bad.toml"), "command = ['x']\nrepetition = 2\n[[arm]]\nname = 'a'\n").unwrap();
    for (arguments, part) in [
        (vec!["bad.toml"], "bad.toml, line 2: unknown field `repetition`"),
        (vec!["none.toml"], "none.toml: No such file"),
        (vec!["--arm", "a", "--", "no-such-program"], "no-such-program: not found"),
        (vec!["--arm", "a: patch=free=much", "--", "true"], "\"much\" cannot be used"),
        (vec!["--", "true"], "no arm"),
        (vec!["--arm", "a"], "no command"),
    ] {
        let output = kvtrace(&bench, &arguments).output().unwrap();
        let (code, complaint) = error(&output);
        assert_eq!(code, Some(2), "{arguments:?}: {complaint}");
        assert!(complaint.contains(part) && complaint.contains("hint: "), "{arguments:?}: {complaint}");
        assert!(!bench.path("experiment").exists(), "{arguments:?}");
    }
}
