//! Programs that are no Python, and one that lies about it.

use kvtrace_tests::{Bench, run};
use serde_json::json;

#[test]
fn a_program_without_python_has_no_stack() {
    let bench = Bench::new();
    run(bench.traced(bench.compile("python/fake", "fake", &["-DWITHOUT"])).arg("none"));
    let trace = bench.trace();
    assert_eq!((trace.calls("query", "sysconf").len(), trace.events("stack").len()), (1, 0));
}

/// The next two tests damage this one, so it must be right before.
#[test]
fn a_fake_that_is_right_is_believed() {
    for version in ["12", "13"] {
        let bench = Bench::new();
        run(bench.traced(bench.compile("python/fake", "fake", &["-rdynamic"])).args(["right", version]));
        let trace = bench.trace();
        let stacks = trace.events("stack");
        assert_eq!(stacks.len(), 1, "{version}");
        assert_eq!(stacks[0]["frames"], json!([{"file": "/fake.py", "line": 7, "func": "Fake.fine"}]), "{version}");
    }
}

#[test]
fn wild_pointers_and_circles_give_no_stack_and_do_no_harm() {
    for version in ["12", "13"] {
        let bench = Bench::new();
        run(bench.traced(bench.compile("python/fake", "fake", &["-rdynamic"])).args(["wild", version]));
        let trace = bench.trace();
        assert!(trace.calls("query", "sysconf").len() > 200, "{version}");
        let stacks = trace.events("stack");
        assert!(stacks.is_empty(), "{version}: {stacks:#?}");
    }
}

#[test]
fn random_damage_does_no_harm() {
    for version in ["12", "13"] {
        let bench = Bench::new();
        run(bench.traced(bench.compile("python/fake", "fake", &["-rdynamic"])).args(["mutated", version, "4000"]));
        let trace = bench.trace();
        assert_eq!(trace.calls("query", "sysconf").len(), 4000, "{version}");
        assert!(trace.events("dropped").is_empty(), "{version}");
        // Some damage does not matter, some does.
        let stacks = trace.events("stack").len();
        assert!((100..3900).contains(&stacks), "{version}: {stacks} stacks");
    }
}
