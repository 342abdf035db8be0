use crate::{Arm, alike};
use kvtrace_tests::run;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn programs_that_ask_for_no_memory_leave_no_file() {
    let Some(arm) = Arm::new() else { return };
    let program = arm.compile("coexist/closer", "closer", &["-ldl"]);
    alike(arm.plain(&program).arg("libc.so.6"), arm.traced(&program).arg("libc.so.6"));
    assert!(!arm.bench.path("trace").exists());
}

/// With pages of either size. The emulation forks for real, and calls `MADV_WIPEONFORK` done that it did not do: the
/// preload sees through it and asks for its pid.
#[test]
fn every_kind_of_child_has_its_own_trace() {
    for page in [None, Some(65536)] {
        let Some(mut arm) = Arm::new() else { return };
        arm.page = page;
        let program = arm.compile("coexist/children", "children", &[]);
        let stdio = arm.compile("stdio", "stdio", &[]);
        // This machine's kernel starts an Arm program only by way of the emulator.
        let asker = arm.bench.path("asker");
        let script = format!("#!/bin/sh\nexec {} {}\n", arm.emulator().join(" "), stdio.display());
        std::fs::write(&asker, script).unwrap();
        std::fs::set_permissions(&asker, std::fs::Permissions::from_mode(0o755)).unwrap();
        let output = String::from_utf8(run(arm.traced(program).arg(asker)).stdout).unwrap();
        let children: BTreeMap<&str, u64> = output
            .lines()
            .map(|line| {
                let words: Vec<&str> = line.split(' ').collect();
                assert_eq!(words[2], "0", "{output}");
                (words[0], words[1].parse().unwrap())
            })
            .collect();
        let trace = arm.trace();
        let of = |pid: u64| -> Vec<_> { trace.files.iter().filter(|file| file.lines[0]["pid"] == pid).collect() };
        let parent = children["self"];
        for (how, forked_from) in
            [("self", 0), ("fork", parent), ("clone", parent), ("clone-body", parent), ("vfork", 0), ("spawn", 0)]
        {
            let files = of(children[how]);
            assert_eq!(files.len(), 1, "{how}");
            assert_eq!(files[0].lines[0]["forked_from"], forked_from, "{how}");
        }
        assert!(of(children["grandfork"]).is_empty(), "a child that asks nothing has no file");
        for how in ["fork", "clone", "clone-body"] {
            let asked = of(children[how])[0].lines.iter().filter(|line| line["fn"] == "sysinfo").count();
            assert_eq!(asked, 1, "{how}");
        }
    }
}

#[test]
fn forks_and_execs_make_a_tree() {
    let Some(arm) = Arm::new() else { return };
    let program = arm.compile("family", "family", &[]);
    run(&mut arm.traced(program));
    let trace = arm.trace();
    let headers = trace.events("process");
    // What it becomes is this machine's `cat`, which the preload for Arm is not for.
    assert_eq!(headers.len(), 2, "the parent and its fork");
    let parent = headers.iter().find(|header| header["forked_from"] == 0).unwrap();
    let child = headers.iter().find(|header| header["forked_from"] == parent["pid"]).unwrap();
    assert_eq!(trace.events("fork")[0]["child"], child["pid"]);
    assert_eq!(trace.events("exec").len(), 1, "a vfork child's exec is not the parent's");
}

#[test]
fn a_process_has_the_state_that_it_would_have() {
    let Some(arm) = Arm::new() else { return };
    let program = arm.compile("coexist/state", "state", &[]);
    alike(&mut arm.plain(&program), &mut arm.traced(&program));
    assert_eq!(arm.trace().files.len(), 1);
}

#[test]
fn a_descriptor_that_the_program_stole_is_left_alone() {
    let Some(arm) = Arm::new() else { return };
    let program = arm.compile("thief", "thief", &[]);
    let file = arm.bench.path("precious");
    run(arm.traced(program).arg(&file));
    assert_eq!(std::fs::read(&file).unwrap(), b"");
    assert_eq!(arm.trace().calls("query", "sysinfo").len(), 2);
}
