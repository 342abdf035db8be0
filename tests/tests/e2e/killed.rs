use kvtrace_tests::{Bench, Trace};
use std::os::unix::process::CommandExt;
use std::thread::sleep;
use std::time::Duration;

const ROUNDS: u64 = 200;

/// A reader accepts a torn last line and nothing else; [`Trace::read`] panics on a malformed line.
#[test]
fn sigkill_at_any_moment_leaves_whole_lines() {
    let bench = Bench::new();
    // The storm's children become ours when it dies, so that their end can be waited for.
    // SAFETY: a plain system call.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) }, 0);
    let storm = bench.compile("storm", "storm", &[]);
    let (mut lines, mut files, mut torn) = (0, 0, 0);
    for round in 0..ROUNDS {
        let directory = bench.path(&format!("trace-{round}"));
        let mut group = bench.traced(&storm).env("KVTRACE_OUT", &directory).process_group(0).spawn().unwrap();
        // From inside the loader to the middle of the storm, the same moments in every run of the test.
        sleep(Duration::from_micros(round * 7919 % 30_000));
        let id = i32::try_from(group.id()).unwrap();
        // SAFETY: a plain system call on the group of a child that is not reaped yet.
        assert_eq!(unsafe { libc::killpg(id, libc::SIGKILL) }, 0);
        group.wait().unwrap();
        wait_for_the_end_of(id);
        let trace = Trace::read(&directory);
        files += trace.files.len();
        torn += trace.files.iter().filter(|file| file.torn).count();
        for file in &trace.files {
            lines += file.lines.len();
            assert!(file.lines.iter().all(|line| line["n"].is_u64()), "{}", file.path.display());
        }
        std::fs::remove_dir_all(&directory).or_else(|_| std::fs::create_dir_all(&directory)).unwrap();
    }
    println!("{ROUNDS} kills, {files} files, {lines} lines, {torn} torn ends");
    assert!(files > 200 && lines > 10_000, "{files} files with {lines} lines: the storm did not blow");
}

/// A killed process may finish the write that it is in.
fn wait_for_the_end_of(group: i32) {
    // SAFETY: no status is asked for.
    while unsafe { libc::waitpid(-group, std::ptr::null_mut(), 0) } > 0 {}
}
