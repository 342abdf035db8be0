use crate::{Arm, alike};
use kvtrace_tests::{Bench, run};
use std::path::Path;
use std::process::Command;

#[test]
fn dlsym_keeps_its_callers_identity() {
    let Some(arm) = Arm::new() else { return };
    let other = arm.library("interposer", "libinterposer.so");
    let program = arm.compile("next", "next", &["-ldl"]);
    let (shim, other) = (arm.kit("lib/libkvtrace.so"), other.display());
    for preload in [format!("{shim}:{other}"), format!("{other}:{shim}")] {
        let output = run(arm.traced(&program).env("LD_PRELOAD", &preload));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "interposed 2\nno_such_symbol: undefined\n", "{preload}");
    }
}

#[test]
fn every_scope_holds_what_it_would_without_us() {
    let Some(arm) = Arm::new() else { return };
    let program = arm.compile("coexist/scopes", "scopes", &["-ldl"]);
    let none = alike(&mut arm.plain(&program), &mut arm.traced(&program));
    assert!(none.contains("default cuInit absent: undefined symbol: cuInit\n"), "{none}");
    for name in ["libcuda.so.1", "libcudart.so.12", "libcudart.so.13"] {
        let library = arm.kit(&format!("lib/sim/{name}"));
        let arguments = ["local", &library];
        let told = alike(arm.plain(&program).args(arguments), arm.traced(&program).args(arguments));
        assert!(told.contains(" found"), "{told}");
    }
}

/// Every question that is asked of the driver on this machine: its own function, or the wrapper of the same name where
/// it is so here.
#[test]
fn the_driver_s_lookup_is_answered_as_on_this_machine() {
    let Some(arm) = Arm::new() else { return };
    let here = Bench::new();
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/cuda-sim-driver/versions.txt");
    let answers = |mut command: Command, driver: &Path| -> Vec<String> {
        let output = run(command.arg(driver).arg(&list));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(str::to_owned).collect()
    };
    let compile = "coexist/resolver";
    let ours =
        answers(here.traced(here.compile(compile, "resolver", &["-ldl"])), &kvtrace_tests::kit("lib/sim/libcuda.so.1"));
    let theirs =
        answers(arm.traced(arm.compile(compile, "resolver", &["-ldl"])), Path::new(&arm.kit("lib/sim/libcuda.so.1")));
    assert_eq!(ours.len(), theirs.len());
    let mut wrapped = 0;
    for (ours, theirs) in ours.iter().zip(&theirs) {
        // Functions that do nothing may share their code, so of those that are the driver's own the name may differ.
        match ours.contains(" libkvtrace.so ") {
            true => assert_eq!(ours, theirs),
            false => assert!(!theirs.contains(" libkvtrace.so "), "{ours} here, {theirs} there"),
        }
        wrapped += u32::from(ours.contains(" libkvtrace.so "));
    }
    println!("{} questions, {wrapped} answered with a wrapper", ours.len());
    assert!(wrapped > 1000, "{wrapped} of {}", ours.len());
}

#[test]
fn local_libraries_of_two_majors_are_seen_each_with_its_own_runtime() {
    let Some(arm) = Arm::new() else { return };
    let host = arm.compile("local", "local", &["-ldl"]);
    let plugins = ["12", "13"].map(|major| {
        let runtime = arm.kit(&format!("lib/sim/libcudart.so.{major}"));
        arm.compile("plugin", &format!("plugin{major}.so"), &["-shared", "-fPIC", &runtime])
    });
    run(arm.traced(host).args(&plugins));
    let trace = arm.trace();
    let callers = |layer: &str| -> Vec<String> {
        let events = trace.events("alloc").into_iter().filter(|event| event["layer"] == layer);
        events.map(|event| event["mod"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()).collect()
    };
    assert_eq!(callers("runtime"), ["plugin12.so", "plugin13.so"]);
    assert_eq!(callers("driver"), ["libcudart.so.12", "libcudart.so.13"]);
}

/// Another preload sees every call that it would see without us, in front of us and behind us; both see the call, once.
#[test]
fn another_preload_sees_what_it_would_have_seen() {
    let Some(arm) = Arm::new() else { return };
    let (runtime, driver) = (arm.kit("lib/sim/libcudart.so.12"), arm.kit("lib/sim/libcuda.so.1"));
    let program = arm.compile("coexist/asker", "asker", &[&runtime, &driver, "-ldl"]);
    let shim = arm.kit("lib/libkvtrace.so");
    for name in ["saver", "saver_open"] {
        let other = arm.library(&format!("coexist/{name}"), &format!("{name}.so"));
        let other = other.to_str().unwrap();
        for (way, order) in [format!("{other}:{shim}"), format!("{shim}:{other}")].iter().enumerate() {
            let trace = arm.bench.path(&format!("trace-{name}-{way}"));
            let (mut plain, mut traced) = (arm.plain(&program), arm.traced(&program));
            let told =
                alike(plain.env("LD_PRELOAD", other), traced.env("LD_PRELOAD", order).env("KVTRACE_OUT", &trace));
            assert!(told.contains("linked 0: 1 0\n"), "{told}");
            let trace = kvtrace_tests::Trace::read(&trace);
            for function in ["cuMemAlloc", "cudaMalloc"] {
                let calls = trace.calls("alloc", function);
                let seen: Vec<u64> = calls.iter().map(|call| call["size"].as_u64().unwrap()).collect();
                assert_eq!(seen, [3 << 20, 7 << 20, 11 << 20], "{function}, {order}");
            }
            let queries = trace.calls("query", "cuMemGetInfo");
            assert_eq!(queries.iter().filter(|query| query["depth"] == 0).count(), 2, "{order}");
        }
    }
}
