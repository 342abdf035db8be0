use crate::{alike, compile};
use kvtrace_tests::{Bench, Trace, run, skip};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;

/// What the program said: how, pid.
fn told(text: &str) -> BTreeMap<String, u64> {
    text.lines()
        .map(|line| {
            let mut words = line.split(' ');
            let (how, pid) = (words.next().unwrap().to_owned(), words.next().unwrap().parse().unwrap());
            assert_eq!(words.next(), Some("0"), "{text}");
            (how, pid)
        })
        .collect()
}

fn header(trace: &Trace, pid: u64) -> Option<&Value> {
    let of_pid = trace.files.iter().filter(|file| file.lines[0]["pid"] == pid);
    let headers: Vec<&Value> = of_pid.map(|file| &file.lines[0]).collect();
    assert!(headers.len() < 2, "{pid} has several files");
    headers.first().copied()
}

fn check(bench: &Bench, command: &mut Command) {
    let children = told(&String::from_utf8(run(command).stdout).unwrap());
    let trace = bench.trace();
    let (parent, pids) = (children["self"], &children);
    assert_eq!(header(&trace, parent).unwrap()["forked_from"], 0);
    for how in ["fork", "clone", "clone-body"] {
        let header = header(&trace, pids[how]).unwrap_or_else(|| panic!("{how} has no file"));
        assert_eq!((&header["ppid"], &header["forked_from"]), (&parent.into(), &parent.into()), "{how}");
    }
    assert!(header(&trace, pids["grandfork"]).is_none(), "a child that asks nothing has no file");
    for how in ["vfork", "spawn"] {
        let header = header(&trace, pids[how]).unwrap_or_else(|| panic!("{how} has no file"));
        assert_eq!((&header["ppid"], &header["forked_from"]), (&parent.into(), &0.into()), "{how}");
    }
    for file in &trace.files {
        // A borrower of the memory borrows the trace.
        let borrowed = file.lines.iter().filter(|line| line["fn"] == "sysinfo").count();
        let expected = if file.lines[0]["pid"] == parent { 3 } else { 1 };
        let is_child = file.lines[0]["exe"].as_str().unwrap().ends_with("/children");
        assert!(!is_child || borrowed == expected, "{}: {borrowed}", file.path.display());
    }
}

/// Protects: each process has a file of its own, that says whose child it is, and writes into no other.
#[test]
fn every_kind_of_child_has_its_own_trace() {
    let bench = Bench::new();
    let program = compile(&bench, "children", "children", &[]);
    let asker = bench.compile("stdio", "asker", &[]);
    check(&bench, bench.traced(program).arg(asker));
}

/// Protects: the same where the kernel cannot wipe a page at fork, as under gVisor and before Linux 4.14; there a
/// borrower is not to be told from a child, and has a trace of its own. And where it only says that it does, as under
/// qemu's emulation of one process.
#[test]
fn every_kind_of_child_without_the_kernel_s_help() {
    for pretends in [false, true] {
        let bench = Bench::new();
        let program = compile(&bench, "children", "children", &[]);
        let asker = bench.compile("stdio", "asker", &[]);
        let mut command = bench.traced(compile(&bench, "nowipe", "nowipe", &[]));
        if pretends {
            command.env("PRETENDS", "1");
        }
        let children = told(&String::from_utf8(run(command.arg(program).arg(asker)).stdout).unwrap());
        let trace = bench.trace();
        let parent = children["self"];
        for (how, forked_from) in
            [("fork", parent), ("clone", parent), ("clone-body", parent), ("vfork", 0), ("spawn", 0)]
        {
            let header = header(&trace, children[how]).unwrap_or_else(|| panic!("{how} has no file"));
            assert_eq!(header["forked_from"], forked_from, "{how}, pretends: {pretends}");
        }
    }
}

/// Protects: a program whose children exec keeps one trace, also where the kernel cannot wipe.
#[test]
fn a_vfork_child_leaves_its_parent_s_trace_alone() {
    for wipes in [true, false] {
        let bench = Bench::new();
        let program = bench.compile("family", "family", &[]);
        let without = compile(&bench, "nowipe", "nowipe", &[]);
        let mut command = if wipes { bench.traced(&program) } else { bench.traced(without) };
        if !wipes {
            command.arg(&program);
        }
        run(&mut command);
        let trace = bench.trace();
        assert_eq!(trace.events("process").len(), 3, "wipes: {wipes}");
        assert_eq!(trace.events("exec").len(), 1, "wipes: {wipes}");
    }
}

/// Protects: no event needs a lock that a thread of the parent may have held at the fork, and that nobody releases in the
/// child: that of the loader's list above all. Its index without a lock came with glibc 2.35.
#[test]
fn a_child_does_not_wait_for_a_thread_that_it_lacks() {
    let bench = Bench::new();
    let program = compile(&bench, "holder", "holder", &["-ldl"]);
    let version = run(Command::new("getconf").arg("GNU_LIBC_VERSION")).stdout;
    let version = String::from_utf8(version).unwrap();
    let minor: u32 = version.trim().rsplit('.').next().unwrap().parse().unwrap();
    if minor < 35 {
        skip(&format!("a fork while a thread holds the loader's lock: {} has no index without it", version.trim()));
        return;
    }
    assert_eq!(alike(&mut bench.plain(&program), &mut bench.traced(&program)), "child 0, parent 0\n");
    assert_eq!(bench.trace().files.len(), 3);
}
