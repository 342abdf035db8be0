//! Unmodified PyTorch on the simulated GPU: what the trace counts is what PyTorch's allocator says it holds.
//!
//! `KVTRACE_TEST_TORCH` names a python interpreter with PyTorch for CUDA 13; `scripts/test --full` sets it.

use kvtrace_tests::{Bench, kit, run, skip};
use serde_json::Value;
use std::ffi::OsString;
use std::path::Path;

/// The library of PyTorch that allocates.
const ALLOCATOR: &str = "libc10_cuda.so";

#[test]
fn plain_segments_are_counted_to_the_byte() {
    compare("", "device", "cudaMalloc");
}

#[test]
fn expandable_segments_are_counted_to_the_byte() {
    compare("expandable_segments:True", "vmm", "cuMemCreate");
}

#[test]
fn stream_ordered_memory_is_counted_to_the_byte() {
    compare("backend:cudaMallocAsync", "async", "cudaMallocAsync");
}

/// Runs the program with the allocator set to `config`, which takes memory of `kind` by calling `function`.
fn compare(config: &str, kind: &str, function: &str) {
    let Some(python) = python() else { return };
    let bench = Bench::new();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs/torch_reserved.py");
    // PyTorch finds its own libcudart by an rpath that beats LD_LIBRARY_PATH; one of the same soname that is already
    // loaded beats the rpath.
    let mut preload = OsString::from(kit("lib/libkvtrace.so"));
    preload.push(" ");
    preload.push(kit("lib/sim/libcudart.so.13"));
    let mut command = bench.traced(python);
    command.arg(program).env("LD_PRELOAD", preload).env("PYTORCH_CUDA_ALLOC_CONF", config);
    let output = String::from_utf8(run(&mut command).stdout).unwrap();
    let checkpoints: Vec<Value> = output.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(checkpoints.len() > 1, "{output}");

    let trace = bench.trace();
    assert_eq!(trace.files.len(), 1, "{:?}", trace.files.iter().map(|file| &file.path).collect::<Vec<_>>());
    // No KV cache was sized, which is an answer of its own: exit code 3 with everything else on stdout.
    let show = bench.plain(kit("bin/kvtrace")).arg("show").arg(bench.path("trace")).args(["--format", "json"]).output();
    let show = show.unwrap();
    let complaint = String::from_utf8_lossy(&show.stderr);
    assert_eq!(show.status.code(), Some(3), "{complaint}");
    assert!(!complaint.contains("panicked"), "{complaint}");
    let ledger = live_at_queries(&serde_json::from_slice(&show.stdout).expect("JSON"));
    assert_eq!(ledger.len(), checkpoints.len(), "one query a checkpoint");
    for (live, checkpoint) in ledger.iter().zip(&checkpoints) {
        println!("{kind}: ledger {live}, {checkpoint}");
        assert_eq!(checkpoint["reserved"], *live, "{checkpoint}");
    }
    assert!(checkpoints.iter().any(|checkpoint| checkpoint["reserved"].as_u64() > Some(1 << 30)), "{output}");

    let allocations = trace.calls("alloc", function);
    assert!(!allocations.is_empty(), "no {function}");
    for call in allocations {
        assert_eq!(call["kind"], kind, "{call}");
        let module = call["mod"].as_str().and_then(|module| module.rsplit('/').next());
        assert_eq!(module, Some(ALLOCATOR), "{call}");
    }
}

/// What the ledger holds on the device at each query for memory figures: of pools, what they took from it.
fn live_at_queries(show: &Value) -> Vec<u64> {
    let queries = show["queries"].as_array().expect("queries").iter();
    let answered = queries.filter(|query| query["rc"] == 0 && !query["free_bytes"].is_null());
    answered.map(|query| query["device_live_bytes"].as_u64().expect("bytes")).collect()
}

/// The interpreter to test with. Without one the test passes, but says so aloud.
fn python() -> Option<OsString> {
    let python = std::env::var_os("KVTRACE_TEST_TORCH").filter(|python| !python.is_empty());
    if python.is_none() {
        skip("real PyTorch on the simulated GPU: KVTRACE_TEST_TORCH names no python (scripts/test --full)");
    }
    python
}
