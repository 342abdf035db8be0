//! One workload on the host, in a chroot and in real containers with a memory limit, traced by the capture recipes:
//! every control group is found with its limit, and none is blamed.

/// In a chroot, by `scripts/capture-chroot`.
mod chroot;
/// In Docker, by `scripts/capture-docker`.
mod docker;
/// What the recipes say when they cannot work.
mod recipes;
/// A root file system just large enough for the workload.
mod root;
/// In a version 2 control group, on a kernel of its own.
mod uml;

use kvtrace_tests::{Bench, kit, run};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How the workload is started inside, where [`root`] put it.
const SERVE: [&str; 10] = [
    "env",
    "LD_LIBRARY_PATH=/kit/sim",
    "KVTRACE_SIM_STATE=/tmp/gpu.state",
    "/kit/kvtrace-workload",
    "serve",
    "--model",
    "tiny",
    "--weights",
    "/weights",
    "--json",
];

/// What a run needs: weights, a root file system, and the run on the host that the others are compared with.
struct Lab {
    bench: Bench,
    host: Value,
}

impl Lab {
    fn new() -> Lab {
        // Files in a tmpfs are shared memory, not page cache.
        let bench = Bench::new_in("/var/tmp");
        let workload = kit("bin/kvtrace-workload");
        run(bench.plain(&workload).args(["make-weights", "weights", "--bytes", "64MiB"]));
        root::make(&bench.path("root"));
        let mut command = bench.plain(recipe("capture-host"));
        command.args(["-o", "host", "--"]).arg(workload);
        let output = run(command.args(&SERVE[4..8]).args(["weights", "--json"]));
        Lab { host: figures(&output.stdout), bench }
    }

    /// Compares a trace of the container with the host's; `inside` is what the workload itself said there.
    fn compare(&self, trace: &str, inside: &Value) -> Value {
        let diff = run(self.bench.plain(kit("bin/kvtrace")).args(["diff", "host", trace, "--format", "json"]));
        let diff: Value = serde_json::from_slice(&diff.stdout).unwrap();
        let bytes = |value: &Value| value.as_i64().unwrap_or_else(|| panic!("{value} in {diff:#}"));
        assert_eq!(diff["a"]["kv_cache_bytes"], self.host["pool_bytes"]);
        assert_eq!(diff["b"]["kv_cache_bytes"], inside["pool_bytes"]);
        let booked: i64 = diff["terms"].as_array().unwrap().iter().map(|term| bytes(&term["kv_change_bytes"])).sum();
        let difference = bytes(&inside["pool_bytes"]) - bytes(&self.host["pool_bytes"]);
        assert_eq!(bytes(&diff["difference_bytes"]), difference);
        assert_eq!(booked + bytes(&diff["unexplained_bytes"]), difference);
        assert_eq!(diff["comparable"], true, "{diff:#}");
        assert_eq!(diff["simulated"], true);
        diff
    }

    /// The same for a container with a limit, which is shown and did not enter the answer.
    fn compare_limited(&self, trace: &str, inside: &Value, limit: u64) -> Value {
        let diff = self.compare(trace, inside);
        let [host, container] = diff["cgroups"].as_array().unwrap().as_slice() else { panic!("{}", diff["cgroups"]) };
        assert_eq!((&host["side"], &container["side"]), (&"A".into(), &"B".into()));
        assert_eq!(container["limit_bytes"], limit, "{container}");
        assert!(container["current_bytes"].as_u64().is_some_and(|bytes| bytes > 0 && bytes <= limit), "{container}");
        let verdict = &diff["cgroup_verdict"];
        assert_eq!(verdict["limit_entered"], "no", "{verdict}");
        assert!(verdict["because"].as_str().unwrap().contains("did not enter the answer"), "{verdict}");
        diff
    }
}

/// The workload's own figures: the last line of its output.
fn figures(output: &[u8]) -> Value {
    let text = std::str::from_utf8(output).unwrap();
    serde_json::from_str(text.lines().last().unwrap_or_default()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn recipe(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts").join(name).canonicalize().unwrap()
}

/// Runs a command that may fail: its exit code, output and complaints.
fn outcome(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn is_root() -> bool {
    // SAFETY: has no preconditions.
    unsafe { libc::geteuid() == 0 }
}

/// Runs `command` in a mount namespace after the shell commands `mounts`: nothing is left to unmount, however it ends.
/// `$1` in `mounts` is `root`.
fn with_mounts(bench: &Bench, mounts: &str, root: &Path, command: &Path) -> Command {
    let mut inside = bench.plain("unshare");
    inside.args(["--mount", "--propagation", "private", "sh", "-euc"]);
    inside.arg(format!("{mounts}\nshift\nexec \"$@\"")).arg("sh").arg(root).arg(command);
    inside
}
