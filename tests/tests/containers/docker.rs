use crate::{Lab, SERVE, figures, outcome, recipe};
use kvtrace_tests::docker::{Daemon, can_run};
use kvtrace_tests::{Trace, run};
use std::process::Command;

const LIMIT: u64 = 2_147_483_648;
const IMAGE: &str = "kvtrace-test:1";

#[test]
fn docker_s_memory_limit_is_shown_and_not_blamed() {
    if !can_run() {
        return;
    }
    let lab = Lab::new();
    let Some(daemon) = Daemon::start(&lab.bench) else { return };
    let archive = lab.bench.path("root.tar");
    run(Command::new("tar").arg("-C").arg(lab.bench.path("root")).arg("-cf").arg(&archive).arg("."));
    run(daemon.client("docker").arg("import").arg(&archive).arg(IMAGE));

    let weights = format!("{}:/weights:ro", lab.bench.path("weights").display());
    let traced = |trace: &str, options: &[&str]| {
        let mut command = daemon.client(recipe("capture-docker"));
        command.args(["-o", trace, "--", "--rm", "--pull", "never", "--network", "none", "-v", &weights]);
        command.args(options).arg(IMAGE);
        command
    };
    let inside = figures(&run(traced("limited", &["--memory=2g"]).args(SERVE)).stdout);
    lab.compare_limited("limited", &inside, LIMIT);
    let trace = Trace::read(&lab.bench.path("limited"));
    assert!(trace.events("process").iter().all(|process| process["label"] == "container"));
    // The preload was in the container alone: the docker client left no file.
    assert_eq!(trace.files.len(), 2, "{trace:?}");
    assert!(!trace.events("log").is_empty(), "the log lines come through");

    // The image decides who writes the trace.
    let inside = figures(&run(traced("user", &["--user", "65534", "--memory=2g"]).args(SERVE)).stdout);
    lab.compare_limited("user", &inside, LIMIT);

    // As careful images are run: nothing may be written but what is mounted for it.
    let options = ["--user", "65534", "--read-only", "--tmpfs", "/tmp", "--memory=2g"];
    let inside = figures(&run(traced("readonly", &options).args(SERVE)).stdout);
    lab.compare_limited("readonly", &inside, LIMIT);
    all_views_or_why_not(&Trace::read(&lab.bench.path("readonly")));

    let (code, output, complaint) = outcome(traced("failed", &[]).args(["sh", "-c", "echo out; exit 7"]));
    assert_eq!((code, output.as_str()), (Some(7), "out\n"), "{complaint}");
}

/// What a container may see of the machine is there, what not is missing with a reason, and what it is shows by its signs.
fn all_views_or_why_not(trace: &Trace) {
    let fact = |name: &str| trace.events("fact").into_iter().find(|fact| fact["name"] == name);
    let missing = |what: &str| trace.events("missing").into_iter().find(|missing| missing["what"] == what);
    for name in ["kernel.release", "kernel.boot_id", "kernel.cmdline", "vm.min_free_kbytes", "vm.swappiness"] {
        assert!(fact(name).is_some(), "{name}: {:?}", missing(name));
    }
    for name in ["thp.enabled", "swaps", "nvidia.version", "dmi.product_name", "mount.root", "mount.shm"] {
        assert!(fact(name).is_some() != missing(name).is_some(), "{name}: {:?} {:?}", fact(name), missing(name));
    }
    assert!(
        trace.events("missing").iter().all(|missing| missing["reason"].as_str().is_some_and(|why| !why.is_empty()))
    );
    let text = |name: &str| fact(name).unwrap_or_else(|| panic!("no {name}"))["text"].as_str().unwrap().to_owned();
    assert_eq!(text("marker.dockerenv"), "present");
    assert!(
        text("mount.root").split(' ').nth(2).is_some_and(|options| options.split(',').any(|option| option == "ro"))
    );
    for (name, first) in [("ns.pid", "pid:[4026531836]"), ("ns.mnt", "mnt:[4026531832]")] {
        assert_ne!(text(name), first, "{name}: a namespace of its own");
    }
    assert_eq!(text("status.CapEff"), "0000000000000000");
    let views = trace.events("view");
    assert!(!views.is_empty());
    for view in &views {
        let zones = trace.events("zone").into_iter().filter(|zone| zone["of"] == view["of"]).count();
        assert!(zones > 0 || missing("zones").is_some(), "{view}");
        assert!(view["meminfo"]["MemTotal"].is_u64() && view["meminfo"]["Percpu"].is_u64(), "{view}");
    }
    // The container's group is all that is mounted of the hierarchy.
    let groups = trace.events("group").len();
    assert!(groups > 0 || missing("groups").is_some_and(|why| why["reason"].as_str().unwrap().contains("not mounted")));
}
