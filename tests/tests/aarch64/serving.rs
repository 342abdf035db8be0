use crate::compare::{self, Seen};
use crate::sequence::Sequence;
use crate::{Arm, TOTAL};
use kvtrace_tests::{Bench, kit, run};
use serde_json::Value;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// On a GPU with memory of its own, whose figures do not depend on what else the machine does.
const OPTIONS: [&str; 4] = ["serve", "--model", "deepseek-7b", "--json"];

fn figures(command: &mut Command, cudart: &str) -> Value {
    let output = run(command.env("KVTRACE_SIM_GPU", "h100-80").args(OPTIONS).args(["--cudart", cudart]));
    serde_json::from_str(String::from_utf8(output.stdout).unwrap().lines().last().unwrap()).unwrap()
}

fn show(bench: &Bench) -> Value {
    let output = bench.plain(kit("bin/kvtrace")).args(["show", "trace", "--format", "json"]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Sized the same, decided the same, and seen the same, whichever way the runtime is reached.
#[test]
fn the_workload_s_decision_is_the_one_of_this_machine() {
    for cudart in ["static", "12", "13"] {
        let Some(arm) = Arm::new() else { return };
        let here = Bench::new();
        let ours = figures(&mut here.traced(kit("bin/kvtrace-workload")), cudart);
        let told = figures(&mut arm.traced(arm.kit("bin/kvtrace-workload")), cudart);
        assert_eq!(told["pool_bytes"], ours["pool_bytes"], "{cudart}");
        let (decided, shown) = (&show(&here)["decisions"][0], show(&arm.bench));
        let decision = &shown["decisions"][0];
        for figure in ["final_pool_bytes", "temporary_pool_bytes", "free_a_bytes", "free_b_bytes", "total_bytes"] {
            assert_eq!(decision[figure]["value"], decided[figure]["value"], "{cudart}: {figure}");
        }
        assert_eq!(decision["final_pool_bytes"]["value"], told["pool_bytes"], "{cudart}");
        assert_eq!(decision["unexplained_bytes"], decided["unexplained_bytes"], "{cudart}");
        assert_eq!(decision["contradictions"], serde_json::json!([]), "{cudart}");
        let calls = |bench: &Bench| {
            let trace = bench.trace();
            ["query", "alloc", "free"].map(|kind| trace.events(kind).len())
        };
        assert_eq!(calls(&arm.bench), calls(&here), "{cudart}");
    }
}

#[test]
fn forked_workers_have_their_own_traces_as_on_this_machine() {
    let Some(arm) = Arm::new() else { return };
    let here = Bench::new();
    // What each process took and gave back, smallest first.
    let counts = |mut command: Command, bench: &Bench| -> Vec<[usize; 3]> {
        let options = ["serve", "--model", "tiny", "--workers", "2", "--start", "fork"];
        run(command.env("KVTRACE_SIM_GPU", "h100-80").args(options));
        let count = |file: &kvtrace_tests::File| {
            ["query", "alloc", "free"].map(|kind| file.lines.iter().filter(|line| line["ev"] == kind).count())
        };
        let mut counts: Vec<_> = bench.trace().files.iter().map(count).collect();
        counts.sort_unstable();
        counts
    };
    let ours = counts(here.traced(kit("bin/kvtrace-workload")), &here);
    let theirs = counts(arm.traced(arm.kit("bin/kvtrace-workload")), &arm.bench);
    assert_eq!(theirs, ours);
    assert!(ours.len() >= 2 && ours.iter().all(|process| process[1] > 0), "{ours:?}");
}

/// Random programs of several processes and threads: the ledger holds what the device holds.
#[test]
fn the_ledger_holds_what_the_device_holds() {
    let Some(arm) = Arm::new() else { return };
    let program = arm.compile("sequence", "sequence", &[&arm.kit("lib/sim/libcuda.so.1")]);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ledger/known");
    let mut paths: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let known = paths.iter().map(|path| Sequence::read(&std::fs::read_to_string(path).unwrap()));
    for (at, sequence) in known.chain([Sequence::storm()]).enumerate() {
        let trace = arm.bench.path(&format!("trace-{at}"));
        let mut command = arm.traced(&program);
        command.args([sequence.processes.to_string(), sequence.threads.to_string()]).env("KVTRACE_OUT", &trace);
        command.env("KVTRACE_SIM_GPU", "h100-80").env("KVTRACE_SIM_TOTAL", TOTAL.to_string());
        command.env("KVTRACE_SIM_CONTEXT", (16u64 << 20).to_string());
        command.env("KVTRACE_SIM_STATE", arm.bench.path(&format!("gpu-{at}")));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(sequence.text().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{at}: {}", output.status);
        let shown = Command::new(kit("bin/kvtrace")).arg("show").arg(&trace).args(["--format", "json"]).output();
        let shown = serde_json::from_slice(&shown.unwrap().stdout).unwrap();
        let read = kvtrace_tests::Trace::read(&trace);
        let lines = read.files.iter().flat_map(|file| &file.lines);
        let failed = lines.filter(|line| line["rc"].as_i64().is_some_and(|rc| rc != 0)).count() as u64;
        let told = String::from_utf8(output.stdout).unwrap();
        let result = compare::all(&told, &shown, sequence.processes, failed, &mut Seen::default());
        result.unwrap_or_else(|error| panic!("{at}: {error}"));
    }
}
