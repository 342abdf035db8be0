//! What the preload costs: each figure measured with and without it, one after the other, on the same machine.
//!
//! `cargo bench -p kvtrace-tests --bench preload` after `scripts/build`; `-- views` measures the rows with that word
//! alone.

use kvtrace_tests::{Bench, run};
use serde_json::Value;
use std::process::Command;

const ROUNDS: usize = 5;

fn main() {
    let bench = Bench::new();
    let driver = bench.compile("nulldriver", "libcuda.so.1", &["-shared", "-fPIC", "-Wl,-soname,libcuda.so.1"]);
    // An old-style rpath comes before LD_LIBRARY_PATH, and so before the simulated driver.
    let rpath = "-Wl,-rpath,$ORIGIN,--disable-new-dtags";
    let program = bench.compile("cost", "cost", &[&driver.display().to_string(), "-ldl", rpath]);
    println!("ns                          |  without |     with |    added");
    let rows = [
        ("one logged event, median", "", "event", "median"),
        ("one logged event, p99", "", "event", "p99"),
        ("query with its views, median", "query with views", "query", "median"),
        ("query with its views, p99", "query with views", "query", "p99"),
        ("query without views, median", "query", "query", "median"),
        ("dlsym of a foreign name", "", "dlsym", "median"),
        ("open+close of a foreign file", "", "open_close", "median"),
        ("open of a missing file", "", "open", "median"),
        ("mmap of no file, refused", "", "mmap", "median"),
        ("madvise, refused", "", "madvise", "median"),
        ("sysconf of a foreign name", "", "sysconf", "median"),
        ("start of /bin/true", "start", "start", "median"),
    ];
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    for (name, arguments, key, figure) in rows {
        if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part)) {
            continue;
        }
        let pick = |value: Value| value[key][figure].as_f64().expect("a figure");
        // The best of several rounds: everything else on the machine only ever adds.
        let best = |traced: bool| {
            (0..ROUNDS)
                .map(|_| {
                    let mut command = if traced { bench.traced(&program) } else { bench.plain(&program) };
                    // Not the simulated driver.
                    command.env("LD_LIBRARY_PATH", bench.path(""));
                    if arguments == "query" {
                        command.env("KVTRACE_VIEWS", "0");
                    }
                    pick(measure(command.args(arguments.split_whitespace())))
                })
                .fold(f64::INFINITY, f64::min)
        };
        let (without, with) = (best(false), best(true));
        println!("{name:28}| {without:8.0} | {with:8.0} | {:8.0}", with - without);
        let _ = std::fs::remove_dir_all(bench.path("trace"));
    }
}

fn measure(command: &mut Command) -> Value {
    // The program finds its own driver beside it, not the simulated GPU's.
    serde_json::from_slice(&run(command.env_remove("LD_LIBRARY_PATH")).stdout).expect("JSON")
}
