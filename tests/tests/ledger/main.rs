//! Ownership adds up: whatever several processes of several threads do to a device, at every instant at which they ask
//! what is free, the ledger that the analyzer replays from the trace holds what the simulated device holds, to the byte
//! and for each kind of memory.
//!
//! The device knows more than any tracer: small allocations share a granule, pools and arrays come in pieces. The ledger
//! counts what was asked for, and for pools, graphs and arrays what the device takes for them; what the device rounds up
//! beyond that is told by the device itself, and has to make up exactly for the rest of what it does not call free.
//!
//! The sequences are the same in every run. `KVTRACE_TEST_SEED` is a number for others, `PROPTEST_CASES` one for more.

/// The device's word against the ledger's.
mod compare;
/// Random sequences, and their text for the program that does them.
mod sequence;

use compare::Seen;
use kvtrace_tests::{Bench, Trace, kit};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use sequence::Sequence;
use std::cell::RefCell;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

const CASES: u32 = 96;
/// Small enough to run out now and then.
const TOTAL: u64 = 1 << 30;
const CONTEXT: u64 = 16 << 20;

#[test]
fn the_ledger_holds_what_the_device_holds() {
    let bench = Bench::new();
    let program = bench.compile("sequence", "sequence", &[kit("lib/sim/libcuda.so.1").to_str().expect("UTF-8")]);
    let mut config = Config { failure_persistence: None, max_shrink_iters: 400, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    let seed = std::env::var("KVTRACE_TEST_SEED").map_or(0, |seed| seed.parse::<u64>().expect("a number"));
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let seen = RefCell::new(Seen::default());
    let result = runner.run(&sequence::any(), |sequence| once(&program, &sequence, &mut seen.borrow_mut()));
    let seen = seen.into_inner();
    println!("{seen}");
    match result {
        // Other seeds may miss what is rare.
        Ok(()) => assert!(seed != 0 || seen.lacks().is_empty(), "never seen, so not tested: {:?}", seen.lacks()),
        Err(TestError::Fail(reason, sequence)) => {
            panic!("seed {seed}: {reason}\nThe shortest sequence that fails:\n{}", sequence.text())
        }
        Err(other) => panic!("{other}"),
    }
}

/// Sequences that failed once, or that a random one rarely is.
#[test]
fn known_sequences_add_up() {
    let bench = Bench::new();
    let program = bench.compile("sequence", "sequence", &[kit("lib/sim/libcuda.so.1").to_str().expect("UTF-8")]);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ledger/known");
    let mut paths: Vec<_> = folder.read_dir().expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for path in paths {
        let sequence = Sequence::read(&std::fs::read_to_string(&path).expect("text"));
        once(&program, &sequence, &mut Seen::default()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

/// What one thread frees, another is given before the free is over.
#[test]
fn threads_pass_addresses_to_each_other() {
    let bench = Bench::new();
    let program = bench.compile("sequence", "sequence", &[kit("lib/sim/libcuda.so.1").to_str().expect("UTF-8")]);
    let sequence = Sequence::storm();
    once(&program, &sequence, &mut Seen::default()).unwrap_or_else(|error| panic!("{error}"));
}

/// Runs one sequence and compares the two at each of its checks.
fn once(program: &Path, sequence: &Sequence, seen: &mut Seen) -> Result<(), TestCaseError> {
    let bench = Bench::new();
    let mut command = bench.traced(program);
    command.args([sequence.processes.to_string(), sequence.threads.to_string()]);
    command.env("KVTRACE_SIM_GPU", "h100-80");
    command.env("KVTRACE_SIM_TOTAL", TOTAL.to_string()).env("KVTRACE_SIM_CONTEXT", CONTEXT.to_string());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
    child.stdin.take().expect("piped").write_all(sequence.text().as_bytes()).expect("reads its lines");
    let output = child.wait_with_output().expect("ends");
    if !output.status.success() {
        return Err(TestCaseError::fail(format!("the program ended with {}", output.status)));
    }
    let show = bench.plain(kit("bin/kvtrace")).arg("show").arg(bench.path("trace")).args(["--format", "json"]).output();
    // No KV cache is sized here, which is an answer of its own: exit code 3 with everything else on stdout.
    let show = serde_json::from_slice(&show.expect("runs").stdout).expect("JSON");
    let failed = failed_calls(&bench.trace());
    compare::all(&String::from_utf8(output.stdout).expect("UTF-8"), &show, sequence.processes, failed, seen)
}

fn failed_calls(trace: &Trace) -> u64 {
    let lines = trace.files.iter().flat_map(|file| &file.lines);
    lines.filter(|line| line["rc"].as_i64().is_some_and(|rc| rc != 0)).count() as u64
}
