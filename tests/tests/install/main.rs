//! What a user does before the first trace: asks whether it will work, sets it up, installs it.

/// `kvtrace doctor` on real programs and drivers.
mod doctor;
/// docs/install.md.
mod document;
/// The driver and the machine, as `doctor` asks them.
mod driver;
/// `kvtrace env`, `shim-path`, `completions` and `man`.
mod setup;
/// The wheel and the tarball of `scripts/package`.
mod wheel;

use kvtrace_tests::{Bench, kit};
use serde_json::Value;
use std::process::Command;

/// A command, its exit code, output and complaints.
fn outcome(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// `kvtrace doctor` without the simulated GPU at hand.
fn doctor(bench: &Bench) -> Command {
    let mut command = bench.plain(kit("bin/kvtrace"));
    command.env_remove("LD_LIBRARY_PATH").args(["doctor", "--json"]);
    command
}

/// Its exit code and answer.
fn answer(command: &mut Command) -> (Option<i32>, Value) {
    let (code, out, complaint) = outcome(command);
    let report = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{complaint}"));
    (code, report)
}

/// A finding by its name.
fn finding<'r>(report: &'r Value, check: &str) -> &'r Value {
    let findings = report["findings"].as_array().unwrap();
    findings.iter().find(|finding| finding["check"] == check).unwrap_or_else(|| panic!("{check} in {report:#}"))
}
