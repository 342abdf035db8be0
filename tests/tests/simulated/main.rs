//! The serving workload on the simulated GPU, under the built preload, read by the built analyzer.

/// Where the device's memory went.
mod attribution;
/// Every way to reach the runtime is traced with the right caller.
mod callers;
/// Several devices, devices from a file, and the libraries that compute nothing.
mod devices;
/// What programs see of the memory that CPU and GPU share.
mod machine;
/// Page cache moves the KV cache of a GPU that shares its memory, and the analyzer says so.
mod page_cache;
/// Each runtime's order of calls is recognised.
mod runtimes;
/// The machine and the tree between queries, seen by the launcher.
mod sampling;
/// What a whole run looks like from outside.
mod serving;
/// The command that sets all of it up.
mod simulate;
/// What is made of the evidence, and what a verdict says to set.
mod verdicts;
/// What another run would get.
mod whatif;

use kvtrace_tests::{Bench, kit, run};
use serde_json::Value;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held by tests that move the machine's page cache or measure it, so that they do not disturb each other.
static PAGE_CACHE: Mutex<()> = Mutex::new(());

fn page_cache_alone() -> MutexGuard<'static, ()> {
    // One that failed leaves nothing behind that matters to the next.
    PAGE_CACHE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `kvtrace` with the simulated GPU's libraries at hand.
fn kvtrace(bench: &Bench) -> Command {
    bench.plain(kit("bin/kvtrace"))
}

/// Serves under `kvtrace run` into the trace `name` and gives the workload's own figures.
fn serve(bench: &Bench, name: &str, options: &[&str]) -> Value {
    serve_on(bench, "gb10", name, options)
}

/// As [`serve`], on the GPU `profile`.
fn serve_on(bench: &Bench, profile: &str, name: &str, options: &[&str]) -> Value {
    let workload = kit("bin/kvtrace-workload");
    let mut command = kvtrace(bench);
    command.env("KVTRACE_SIM_GPU", profile);
    command.args(["run", "-o", name, "--label", name, "--"]).arg(workload).args(["serve", "--json"]).args(options);
    let output = String::from_utf8(run(&mut command).stdout).unwrap();
    serde_json::from_str(output.lines().last().unwrap()).unwrap()
}

/// What `kvtrace` answers as JSON.
fn ask(bench: &Bench, arguments: &[&str]) -> Value {
    let output = run(kvtrace(bench).args(arguments).args(["--format", "json"]));
    serde_json::from_slice(&output.stdout).unwrap()
}
