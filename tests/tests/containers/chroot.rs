use crate::{Lab, SERVE, figures, is_root, outcome, recipe, with_mounts};
use kvtrace_tests::{have, run, skip};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

const MOUNTS: &str = "mount --rbind /proc \"$1/proc\"
    mount --rbind /sys \"$1/sys\"
    mount --bind weights \"$1/weights\"";

fn can_run() -> bool {
    let what = "a chroot";
    if !is_root() {
        skip(&format!("{what}: not root"));
    }
    is_root() && have("busybox", what) && have("unshare", what)
}

#[test]
fn a_chroot_is_traced_like_the_host() {
    if !can_run() {
        return;
    }
    let lab = Lab::new();
    let root = lab.bench.path("root");
    let before = entries(&root);
    let traced = |trace: &str| {
        let mut command = with_mounts(&lab.bench, MOUNTS, &root, &recipe("capture-chroot"));
        command.args(["-o", trace, "root", "--"]);
        command
    };
    let inside = figures(&run(traced("chroot").args(SERVE)).stdout);
    let diff = lab.compare("chroot", &inside);
    // Both ran in the control group of this test.
    assert_eq!(diff["cgroups"][0]["path"], diff["cgroups"][1]["path"]);
    assert_eq!(diff["cgroups"][0]["limit_bytes"], diff["cgroups"][1]["limit_bytes"]);
    // The log lines came through: what the runtime said about its peak is a second witness.
    let show = run(lab.bench.plain(kvtrace_tests::kit("bin/kvtrace")).args(["show", "chroot", "--format", "json"]));
    let show: serde_json::Value = serde_json::from_slice(&show.stdout).unwrap();
    assert_eq!(show["decisions"][0]["fraction"]["confidence"], "logged", "{show:#}");

    let (code, output, _) = outcome(traced("failed").args(["sh", "-c", "echo out; exit 7"]));
    assert_eq!((code, output.as_str()), (Some(7), "out\n"));
    assert_eq!(entries(&root), before, "the mount points are taken away");
    let (code, _, complaint) = outcome(traced("chroot").args(SERVE));
    assert_eq!(code, Some(2));
    assert!(complaint.contains("chroot: not empty\nhint: "), "{complaint}");
}

/// A signal that another process sends to the recipe is meant for the program.
#[test]
fn a_signal_reaches_the_program_in_the_chroot() {
    if !can_run() {
        return;
    }
    let lab = Lab::new();
    let script = "trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    let mut child = Command::new(recipe("capture-chroot"))
        .current_dir(lab.bench.path(""))
        .args(["-o", "signalled", "root", "--", "sh", "-c", script])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    // SAFETY: a plain system call on a child that is not reaped yet.
    assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGTERM) }, 0);
    output.read_line(&mut line).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!((line.as_str(), ended.status.code()), ("ready\ncaught\n", Some(3)));
    let complaint = String::from_utf8(ended.stderr).unwrap();
    assert!(complaint.contains("no /proc in"), "{complaint}");
}

#[test]
fn what_is_no_root_is_refused() {
    if !can_run() {
        return;
    }
    let bench = kvtrace_tests::Bench::new();
    std::fs::create_dir(bench.path("empty")).unwrap();
    let (code, _, complaint) =
        outcome(bench.plain(recipe("capture-chroot")).args(["-o", "trace", "empty", "--", "true"]));
    assert_eq!(code, Some(2));
    assert!(complaint.contains("env and true do not run in ") && complaint.contains("\nhint: "), "{complaint}");
    assert!(!bench.path("trace").exists() && entries(&bench.path("empty")).is_empty());
}

fn entries(folder: &std::path::Path) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}
