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

/// The answers to every question that is asked of the driver on this machine too: its own function or the wrapper of the
/// same name, wherever it is so here.
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
