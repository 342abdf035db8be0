use crate::{MIB, bench, make, readings, resident, steps};
use kvtrace_tests::{Bench, Trace, have, run, skip};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

const SIZE: u64 = 32 * MIB;

fn is_root() -> bool {
    // SAFETY: takes nothing.
    unsafe { libc::geteuid() == 0 }
}

/// Runs the steps as somebody to whom the files do not belong.
fn as_nobody(bench: &Bench, arguments: &[&str]) -> Option<Trace> {
    if !is_root() || !have("setpriv", "another user's files") {
        skip("another user's files: needs root and setpriv");
        return None;
    }
    std::fs::set_permissions(bench.path(""), std::fs::Permissions::from_mode(0o777)).unwrap();
    let program = steps(bench);
    let mut command = bench.traced("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(program);
    run(command.args(arguments));
    Some(bench.trace())
}

/// The kernel tells of pages only who may write to the file; of others, `mincore` says that all is there.
#[test]
fn of_other_people_s_files_nothing_is_claimed() {
    for steps in
        [&["query", "open", "a.safetensors", "query"][..], &["enosys", "query", "open", "a.safetensors", "query"]]
    {
        let bench = bench();
        make(&bench.path("a.safetensors"), SIZE);
        let Some(trace) = as_nobody(&bench, steps) else { return };
        assert_eq!(trace.events("weights").len(), 1);
        let release = run(Command::new("uname").arg("-r")).stdout;
        let told = readings(&trace, 1);
        if told.is_empty() {
            let missing: Vec<_> =
                trace.events("missing").into_iter().filter(|event| event["what"] == "cached").collect();
            assert_eq!(missing.len(), 1, "{missing:?}");
            assert_eq!(missing[0]["reason"], "EPERM");
        } else {
            // Older kernels tell everybody.
            assert_eq!(steps.len(), 4, "mincore is not asked");
            assert!(told.iter().all(|event| event["cached"].as_u64().unwrap() < SIZE / 100), "{told:?} {release:?}");
        }
    }
}

#[test]
fn a_kernel_without_cachestat_is_asked_by_mincore() {
    let bench = bench();
    let path = bench.path("a.safetensors");
    make(&path, SIZE + 12_345);
    run(bench.traced(steps(&bench)).args(["enosys", "query", "read", "a.safetensors", "query"]));
    let trace = bench.trace();
    let told = readings(&trace, 1);
    assert!(told.iter().all(|event| event["by"] == "mincore" && event.get("dirty").is_none()), "{told:?}");
    assert!(told[0]["cached"].as_u64().unwrap() < SIZE / 100);
    assert_eq!(told.last().unwrap()["cached"], resident(&path));
    assert_eq!(told.last().unwrap()["cached"], std::fs::metadata(&path).unwrap().len());
}

/// An overlay has no pages of its own.
#[test]
fn files_of_an_image_are_seen_through_its_layers() {
    let bench = bench();
    for folder in ["lower", "upper", "work", "merged"] {
        std::fs::create_dir(bench.path(folder)).unwrap();
    }
    make(&bench.path("lower/a.safetensors"), SIZE);
    let program = steps(&bench);
    let script = "mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged || exit 77\n\
                  LD_PRELOAD=$SHIM \"$0\" query read merged/a.safetensors query";
    let shim = kvtrace_tests::kit("lib/libkvtrace.so");
    let mut command = bench.plain("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(program).env("SHIM", shim);
    let output = command.env("KVTRACE_OUT", bench.path("trace")).output();
    if !output.is_ok_and(|output| output.status.success()) {
        return skip("files on an overlay: cannot be mounted here");
    }
    let trace = bench.trace();
    let told = readings(&trace, 1);
    assert!(told[0]["cached"].as_u64().unwrap() < SIZE / 100, "{told:?}");
    assert!(told.last().unwrap()["cached"].as_u64().unwrap() >= SIZE, "{told:?}");
}

/// Files in memory are no copies of what is on a disk.
#[test]
fn files_in_memory_are_no_page_cache() {
    let bench = Bench::new_in("/dev/shm");
    make(&bench.path("a.safetensors"), MIB);
    run(bench.traced(steps(&bench)).args(["query", "read", "a.safetensors", "query"]));
    let trace = bench.trace();
    assert_eq!((trace.events("weights").len(), readings(&trace, 1).len()), (1, 0));
}
