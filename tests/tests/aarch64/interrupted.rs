use crate::Arm;
use kvtrace_tests::{Trace, run};
use std::collections::BTreeSet;
use std::os::unix::process::CommandExt as _;
use std::thread::sleep;
use std::time::Duration;

const KILLS: u64 = 24;

/// A reader accepts a torn last line and nothing else; [`Trace::read`] panics on a malformed line.
#[test]
fn sigkill_at_any_moment_leaves_whole_lines() {
    let Some(arm) = Arm::new() else { return };
    // SAFETY: a plain system call: the storm's children become ours when it dies.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) }, 0);
    let storm = arm.compile("storm", "storm", &[]);
    let (mut lines, mut torn) = (0, 0);
    for round in 0..KILLS {
        let directory = arm.bench.path(&format!("trace-{round}"));
        let mut group = arm.traced(&storm).env("KVTRACE_OUT", &directory).process_group(0).spawn().unwrap();
        // From the middle of the emulated start, which takes some 50 ms, to well into the storm.
        sleep(Duration::from_micros(20_000 + round * 79_190 % 600_000));
        let id = i32::try_from(group.id()).unwrap();
        // SAFETY: a plain system call on the group of a child that is not reaped yet.
        assert_eq!(unsafe { libc::killpg(id, libc::SIGKILL) }, 0);
        group.wait().unwrap();
        // SAFETY: no status is asked for.
        while unsafe { libc::waitpid(-id, std::ptr::null_mut(), 0) } > 0 {}
        let trace = Trace::read(&directory);
        lines += trace.files.iter().map(|file| file.lines.len()).sum::<usize>();
        torn += trace.files.iter().filter(|file| file.torn).count();
    }
    println!("{KILLS} kills, {lines} lines, {torn} torn ends");
    assert!(lines > 1_000, "{lines} lines: the storm did not blow");
}

#[test]
fn a_signal_handler_may_ask_while_the_program_does() {
    let Some(arm) = Arm::new() else { return };
    let program = arm.compile("aarch64/signals", "signals", &[]);
    let output = String::from_utf8(run(&mut arm.traced(program)).stdout).unwrap();
    let counts: Vec<usize> = output.split_whitespace().map(|word| word.parse().unwrap()).collect();
    let [asked, handled, wrong] = counts[..] else { panic!("{output}") };
    assert_eq!(wrong, 0, "{output}");
    let trace = arm.trace();
    let dropped: u64 = trace.events("dropped").iter().map(|event| event["count"].as_u64().unwrap()).sum();
    assert_eq!((trace.calls("query", "sysinfo").len(), dropped), (asked + handled, 0));
    assert_eq!(trace.calls("file", "open").len(), handled);
}

#[test]
fn as_many_threads_as_there_are_with_the_smallest_stacks() {
    let Some(arm) = Arm::new() else { return };
    let driver = arm.library("nulldriver", "libcuda.so.1");
    let program = arm.compile("coexist/threads", "threads", &[driver.to_str().unwrap(), "-ldl", "-Wl,-z,now"]);
    let output = run(arm.traced(program).env("LD_LIBRARY_PATH", driver.parent().unwrap()));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0 of 256 failed\n");
    let trace = arm.trace();
    assert_eq!((trace.files.len(), trace.events("dropped").len()), (1, 0));
    let freed = trace.calls("free", "cuMemFree");
    let threads: BTreeSet<u64> = freed.iter().map(|call| call["tid"].as_u64().unwrap()).collect();
    assert_eq!((freed.len(), threads.len()), (256, 256));
    for (kind, function) in [("query", "cuMemGetInfo"), ("query", "sysinfo"), ("query", "sysconf"), ("file", "open")] {
        assert_eq!(trace.calls(kind, function).len(), 256, "{function}");
    }
}
