//! What stands beside a query: all that the kernel tells this user, what it does not tell and why, and within the
//! budget.

/// AMD's files, which no machine here has: in a mount namespace with a tree of them.
mod amd;
/// How much time views take.
mod budget;
/// What the GPU's own libraries tell.
mod gpu;
/// Control groups, one inside the other.
mod groups;
/// As root and as nobody: each file is in the trace as it stands, or is said to be missing.
mod kernel;

use kvtrace_tests::{Bench, Trace, kit};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

fn asker(bench: &Bench) -> PathBuf {
    bench.compile("views/asker", "asker", &["-ldl"])
}

fn is_root() -> bool {
    // SAFETY: has no preconditions.
    unsafe { libc::geteuid() == 0 }
}

/// A program under the preload, both where every user may read them, with a trace that every user may write.
fn for_everyone(bench: &Bench, program: &PathBuf) -> Command {
    let open = |path: PathBuf, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    open(bench.path(""), 0o755);
    std::fs::create_dir_all(bench.path("trace")).unwrap();
    open(bench.path("trace"), 0o777);
    let preload = bench.path("libkvtrace.so");
    std::fs::copy(kit("lib/libkvtrace.so"), &preload).unwrap();
    let mut command = bench.traced(program);
    command.env("LD_PRELOAD", preload);
    command
}

/// The text of a fact.
fn fact<'t>(trace: &'t Trace, name: &str) -> Option<&'t str> {
    trace.events("fact").into_iter().find(|fact| fact["name"] == name)?["text"].as_str()
}

/// The one thing of that name that is missing.
fn missing<'t>(trace: &'t Trace, what: &str) -> Option<&'t Value> {
    let found: Vec<_> = trace.events("missing").into_iter().filter(|missing| missing["what"] == what).collect();
    assert!(found.len() < 2, "{found:?}");
    found.first().copied()
}
