use crate::root::program;
use crate::{is_root, outcome, recipe};
use kvtrace_tests::{Bench, kit, skip};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::process::Command;

const RECIPES: [&str; 3] = ["capture-host", "capture-chroot", "capture-docker"];

#[test]
fn help_teaches() {
    for name in RECIPES {
        let (code, help, complaint) = outcome(Command::new(recipe(name)).arg("--help"));
        assert_eq!((code, complaint.as_str()), (Some(0), ""), "{name}");
        for part in ["Usage: ", "-o TRACE_DIR", "--label TEXT", "KVTRACE_HOME", "Example:", "exit code"] {
            assert!(help.contains(part), "{name}: {part}: {help}");
        }
    }
}

#[test]
fn bad_input_is_named_with_a_hint() {
    let bench = Bench::new();
    for name in RECIPES {
        let cases: [&[&str]; 4] = [&[], &["--nonsense"], &["-o"], &["-o", "trace", "--"]];
        for arguments in cases {
            let (code, output, complaint) = outcome(bench.plain(recipe(name)).args(arguments));
            assert_eq!((code, output.as_str()), (Some(2), ""), "{name} {arguments:?}: {complaint}");
            assert!(complaint.starts_with(&format!("{name}: ")), "{name} {arguments:?}: {complaint}");
            assert!(complaint.contains("\nhint: "), "{name} {arguments:?}: {complaint}");
        }
    }
    assert!(!bench.path("trace").exists());
}

/// A PATH that holds what a recipe calls, but neither kvtrace nor docker.
fn bare_path(bench: &Bench) -> std::path::PathBuf {
    let bin = bench.path("bare");
    std::fs::create_dir(&bin).unwrap();
    for name in ["bash", "env", "dirname", "readlink", "ls", "id"] {
        symlink(program(name).unwrap(), bin.join(name)).unwrap();
    }
    bin
}

#[test]
fn what_is_missing_is_named_with_a_hint() {
    let bench = Bench::new();
    let bare = bare_path(&bench);
    let home = bench.path("home");
    let mut without_docker = bench.plain(recipe("capture-docker"));
    without_docker.env("PATH", &bare).args(["--", "image"]);
    let (code, _, complaint) = outcome(&mut without_docker);
    assert_eq!(code, Some(2));
    assert!(complaint.starts_with("capture-docker: docker is not in PATH\nhint: "), "{complaint}");

    symlink("/bin/true", bare.join("docker")).unwrap();
    for name in RECIPES {
        let root: &[&str] = if name == "capture-chroot" { &["/"] } else { &[] };
        if name == "capture-chroot" && !is_root() {
            continue;
        }
        let mut command = bench.plain(recipe(name));
        command.env("PATH", &bare).env("KVTRACE_HOME", &home).args(root).args(["--", "command"]);
        let (code, _, complaint) = outcome(&mut command);
        assert_eq!(code, Some(2), "{name}");
        assert!(complaint.contains("bin/kvtrace is missing\nhint: "), "{name}: {complaint}");
    }

    symlink("/bin/false", bare.join("docker.false")).unwrap();
    std::fs::rename(bare.join("docker.false"), bare.join("docker")).unwrap();
    let (code, _, complaint) = outcome(bench.plain(recipe("capture-docker")).env("PATH", &bare).args(["--", "image"]));
    assert_eq!(code, Some(2));
    assert!(complaint.contains("the docker daemon does not answer\nhint: "), "{complaint}");
    assert!(!bench.path("kvtrace-out").exists());
}

#[test]
fn a_chroot_without_root_is_refused() {
    if !is_root() {
        skip("that capture-chroot refuses to run without root: not root, and so cannot become somebody else");
        return;
    }
    // As text: nobody may not be allowed to read the file.
    let text = std::fs::read_to_string(recipe("capture-chroot")).unwrap();
    let mut command = Command::new("bash");
    command.arg("-c").arg(text).args(["capture-chroot", "/", "--", "true"]).uid(65534).current_dir("/");
    let (code, _, complaint) = outcome(&mut command);
    assert_eq!(code, Some(2));
    assert_eq!(complaint, "capture-chroot: mount and chroot need root\nhint: sudo capture-chroot ...\n");
}

/// A copied recipe finds kvtrace where KVTRACE_HOME says, and else in PATH.
#[test]
fn a_copied_recipe_works() {
    let bench = Bench::new();
    let copy = bench.path("capture-host");
    std::fs::copy(recipe("capture-host"), &copy).unwrap();
    let workload = kit("bin/kvtrace-workload");
    let path = format!("{}:{}", kit("bin").display(), std::env::var("PATH").unwrap());
    for (trace, variable, value) in
        [("by-home", "KVTRACE_HOME", kit("").display().to_string()), ("by-path", "PATH", path)]
    {
        let mut command = bench.plain(&copy);
        command.env_remove("KVTRACE_HOME").env(variable, value).args(["-o", trace, "--label", "copied", "--"]);
        let (code, _, complaint) = outcome(command.arg(&workload).args(["serve", "--model", "tiny"]));
        assert_eq!(code, Some(0), "{complaint}");
        let traced = kvtrace_tests::Trace::read(&bench.path(trace));
        assert!(traced.events("process").iter().all(|process| process["label"] == "copied"), "{trace}");
        assert!(!traced.events("query").is_empty(), "{trace}");
    }
    let (code, _, _) = outcome(bench.plain(recipe("capture-host")).args(["-o", "failed", "--", "sh", "-c", "exit 7"]));
    assert_eq!(code, Some(7));
}
