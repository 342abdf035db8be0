//! What a Python stack costs: the median of a question asked 20 functions deep, with stacks and without, one after the
//! other, on the same machine.
//!
//! `cargo bench -p kvtrace-tests --bench python` after `scripts/build`.

use kvtrace_tests::{Bench, run};
use std::path::Path;
use std::process::Command;

const ROUNDS: usize = 5;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = run(Command::new(root.join("../scripts/python-versions")).arg("--found"));
    println!("ns         |  without |     with |    added");
    for line in String::from_utf8(found.stdout).expect("text").lines() {
        let (version, path) = line.split_once('\t').expect("two columns");
        // The best of several rounds: everything else on the machine only ever adds.
        let best = |stacks: &str| {
            (0..ROUNDS)
                .map(|_| {
                    let bench = Bench::new();
                    let mut command = bench.traced(path);
                    command.arg(root.join("programs/python/cost.py"));
                    command.env("KVTRACE_PYTHON", stacks).env("KVTRACE_VIEWS", "0");
                    let text = String::from_utf8(run(&mut command).stdout).expect("text");
                    text.trim().parse::<f64>().expect("a figure")
                })
                .fold(f64::INFINITY, f64::min)
        };
        let (without, with) = (best("0"), best("1"));
        println!("{version:11}| {without:8.0} | {with:8.0} | {:8.0}", with - without);
    }
}
