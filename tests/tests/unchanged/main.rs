//! Real programs do the same with and without the preload: what they print, how they end, which files they make, which
//! descriptors their children find open. What they leave behind in the trace directory is part of the row.

/// CPython's own tests.
mod cpython;
/// Interpreters and virtual machines.
mod languages;
/// Shells and what they are used with.
mod shell;
/// Compilers and what goes with them.
mod toolchain;

use kvtrace_tests::{Bench, have};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// What a program leaves in the trace directory.
#[derive(Clone, Copy, PartialEq)]
enum Leaves {
    /// No file: it asks nothing about memory.
    Nothing,
    /// Files, maybe: it asks how much memory the machine has.
    Answers,
}

/// One program and what it is given to do.
struct Row {
    name: &'static str,
    /// Programs without which the row is skipped.
    needs: &'static [&'static str],
    /// For bash, in an empty directory. `fds` lists the open descriptors of whoever starts it.
    script: &'static str,
    leaves: Leaves,
    /// Of the output, the lines that are the same each time.
    keep: fn(&str) -> bool,
    /// How often the pair may be run until it is alike: programs that measure time are disturbed by others.
    attempts: u32,
}

/// A row of which every line counts.
const fn row(name: &'static str, needs: &'static [&'static str], leaves: Leaves, script: &'static str) -> Row {
    Row { name, needs, script, leaves, keep: |_| true, attempts: 1 }
}

fn check(rows: &[Row]) {
    for row in rows {
        if !row.needs.iter().all(|program| have(program, &format!("{} under the preload", row.name))) {
            continue;
        }
        for attempt in 1..=row.attempts {
            let bench = Bench::new();
            bench.compile("unchanged/fds", "fds", &[]);
            let plain = outcome(&bench, row, bench.plain("bash"));
            let traced = outcome(&bench, row, bench.traced("bash"));
            if row.leaves == Leaves::Nothing {
                assert!(!bench.path("trace").exists(), "{} leaves a trace", row.name);
            }
            assert!(
                ["\nout ", "\nerr "].iter().any(|stream| plain.contains(stream)),
                "{} says nothing: {plain}",
                row.name
            );
            if plain == traced {
                break;
            }
            assert!(attempt < row.attempts, "{}\n--- plain\n{plain}\n--- traced\n{traced}", row.name);
        }
    }
}

/// Everything that the outside world sees of one run.
fn outcome(bench: &Bench, row: &Row, mut command: Command) -> String {
    // The same place for both: programs print where they are.
    let work = bench.path("work");
    std::fs::create_dir(&work).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let home = std::env::var("HOME").unwrap_or_default();
    command
        .args(["-c", row.script])
        .current_dir(&work)
        .env("PATH", format!("{}:{path}", bench.path("").display()))
        // What rustup needs to find its toolchain.
        .env("CARGO_HOME", std::env::var("CARGO_HOME").unwrap_or(format!("{home}/.cargo")))
        .env("RUSTUP_HOME", std::env::var("RUSTUP_HOME").unwrap_or(format!("{home}/.rustup")))
        .envs([("HOME", work.to_str().unwrap()), ("LC_ALL", "C"), ("TZ", "UTC"), ("PYTHONHASHSEED", "0")])
        .env_remove("LD_LIBRARY_PATH");
    let output = command.output().unwrap();
    let mut seen = format!("{}: {}\n", row.name, output.status);
    for (stream, bytes) in [("out", &output.stdout), ("err", &output.stderr)] {
        for line in String::from_utf8_lossy(bytes).lines().filter(|line| (row.keep)(line)) {
            writeln!(seen, "{stream} {line}").unwrap();
        }
    }
    assert!(output.status.code().is_some_and(|code| code < 126), "{} does not run here: {seen}", row.name);
    files(&work, Path::new(""), &mut seen);
    std::fs::remove_dir_all(&work).unwrap();
    seen
}

/// The names of all files; what is in them the scripts print where it matters.
fn files(top: &Path, below: &Path, seen: &mut String) {
    let mut names: Vec<_> = std::fs::read_dir(top.join(below)).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    for path in names {
        let name = path.strip_prefix(top).unwrap();
        let hidden = name.components().any(|part| part.as_os_str().to_string_lossy().starts_with('.'));
        if path.is_dir() && !path.is_symlink() && !hidden {
            files(top, name, seen);
        } else if !hidden && !name.to_string_lossy().contains("tmp") {
            writeln!(seen, "file {}", name.display()).unwrap();
        }
    }
}
