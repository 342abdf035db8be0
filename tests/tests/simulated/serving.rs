use crate::{ask, kvtrace, serve};
use kvtrace_tests::{Bench, Trace, kit, run};

#[test]
fn the_decision_is_what_the_workload_did() {
    for cudart in ["static", "12", "13"] {
        let bench = Bench::new();
        let figures = serve(&bench, "run", &["--model", "gpt-oss-120b", "--cudart", cudart, "--fraction", "0.5"]);
        let show = ask(&bench, &["show", "run"]);
        let decision = &show["decisions"][0];
        for (ours, theirs) in [
            ("final_pool_bytes", "pool_bytes"),
            ("temporary_pool_bytes", "temporary_bytes"),
            ("free_a_bytes", "free_a"),
            ("free_b_bytes", "free_b"),
            ("free_c_bytes", "free_c"),
            ("total_bytes", "total"),
            ("tokens", "tokens"),
        ] {
            assert_eq!(decision[ours]["value"], figures[theirs], "{cudart}: {ours}");
        }
        assert_eq!(decision["unexplained_bytes"], 0, "{cudart}");
        assert_eq!(decision["contradictions"], serde_json::json!([]), "{cudart}");
        assert_eq!(show["simulated"], true);
    }
}

/// The preload alone, as in a container that has no `kvtrace`: no log lines, the same decision.
#[test]
fn the_preload_alone_is_enough() {
    let bench = Bench::new();
    let mut command = bench.traced(kit("bin/kvtrace-workload"));
    let output = run(command.args(["serve", "--model", "tiny", "--json"]));
    let text = String::from_utf8(output.stdout).unwrap();
    let figures: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let show = ask(&bench, &["show", "trace"]);
    assert_eq!(show["decisions"][0]["final_pool_bytes"]["value"], figures["pool_bytes"]);
}

#[test]
fn each_worker_decides_for_itself() {
    for start in ["fork", "spawn"] {
        let bench = Bench::new();
        serve(&bench, "run", &["--model", "tiny", "--workers", "2", "--start", start]);
        let show = ask(&bench, &["show", "run"]);
        let decisions = show["decisions"].as_array().unwrap();
        assert_eq!(decisions.len(), 2, "{start}");
        assert_ne!(decisions[0]["pid"], decisions[1]["pid"], "{start}");
    }
}

#[test]
fn a_discrete_gpu_has_memory_of_its_own() {
    let bench = Bench::new();
    let workload = kit("bin/kvtrace-workload");
    let mut command = kvtrace(&bench);
    command.env("KVTRACE_SIM_GPU", "h100-80").args(["run", "-o", "run", "--"]).arg(workload);
    run(command.args(["serve", "--model", "deepseek-7b"]));
    let show = ask(&bench, &["show", "run"]);
    assert_eq!(show["integrated"], false);
    assert_eq!(show["decisions"][0]["total_bytes"]["value"], 85_017_493_504_u64);
}

#[test]
fn run_passes_exit_code_signals_and_output_through() {
    let bench = Bench::new();
    let mut command = kvtrace(&bench);
    let output = command.args(["run", "-q", "-o", "a", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(7));
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (b"out\n".as_slice(), b"err\n".as_slice()));
    let killed = kvtrace(&bench).args(["run", "-q", "-o", "b", "--", "sh", "-c", "kill -9 $$"]).status().unwrap();
    assert_eq!(killed.code(), Some(137));
    let exits =
        Trace::read(&bench.path("b")).events("exit").iter().map(|event| event["signal"].clone()).collect::<Vec<_>>();
    assert_eq!(exits, [9]);
    let missing = kvtrace(&bench).args(["run", "-o", "c", "--", "no-such-program"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(127));
    assert!(!bench.path("c").exists(), "nothing is left behind");
}

/// A signal that another process sends is meant for the program, not for `kvtrace`.
#[test]
fn run_forwards_signals() {
    let bench = Bench::new();
    let script = "trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep 0.01; done";
    let mut child = kvtrace(&bench)
        .args(["run", "-q", "-o", "a", "--", "sh", "-c", script])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut output, &mut line).unwrap();
    // SAFETY: a plain system call on a child that is not reaped yet.
    assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGTERM) }, 0);
    std::io::BufRead::read_line(&mut output, &mut line).unwrap();
    assert_eq!((line.as_str(), child.wait().unwrap().code()), ("ready\ncaught\n", Some(3)));
}
