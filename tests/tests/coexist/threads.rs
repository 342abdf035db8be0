use crate::compile;
use kvtrace_tests::{Bench, run};
use std::collections::BTreeSet;

/// Protects: events fit on the smallest stack, thread-local state is each thread's own and needs no memory of its own.
#[test]
fn as_many_threads_as_there_are_with_the_smallest_stacks() {
    let bench = Bench::new();
    let driver = bench.compile("nulldriver", "libcuda.so.1", &["-shared", "-fPIC", "-Wl,-soname,libcuda.so.1"]);
    let program = compile(&bench, "threads", "threads", &[driver.to_str().unwrap(), "-ldl", "-Wl,-z,now"]);
    let output = run(bench.traced(program).env("LD_LIBRARY_PATH", driver.parent().unwrap()));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0 of 256 failed\n");
    let trace = bench.trace();
    assert_eq!(trace.files.len(), 1);
    assert_eq!(trace.events("dropped").len(), 0);
    let freed = trace.calls("free", "cuMemFree");
    let threads: BTreeSet<u64> = freed.iter().map(|call| call["tid"].as_u64().unwrap()).collect();
    assert_eq!((freed.len(), threads.len()), (256, 256));
    for (kind, function) in [("query", "cuMemGetInfo"), ("query", "sysinfo"), ("query", "sysconf"), ("file", "open")] {
        assert_eq!(trace.calls(kind, function).len(), 256, "{function}");
    }
    for call in trace.events("query") {
        assert_eq!(call["depth"], 0);
        assert!(call["mod"].as_str().unwrap().ends_with("/threads"), "{call}");
    }
}
