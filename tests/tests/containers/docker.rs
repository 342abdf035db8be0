use crate::{Lab, SERVE, figures, outcome, recipe};
use kvtrace_tests::docker::{Daemon, can_run};
use kvtrace_tests::{Trace, kit, run};
use std::process::Command;

const LIMIT: u64 = 2_147_483_648;
const IMAGE: &str = "kvtrace-test:1";

/// A Docker daemon that has the lab's root as an image; `None`, aloud, where there can be none.
fn with_image(lab: &Lab) -> Option<Daemon<'_>> {
    let daemon = Daemon::start(&lab.bench)?;
    let archive = lab.bench.path("root.tar");
    run(Command::new("tar").arg("-C").arg(lab.bench.path("root")).arg("-cf").arg(&archive).arg("."));
    run(daemon.client("docker").arg("import").arg(&archive).arg(IMAGE));
    Some(daemon)
}

#[test]
fn docker_s_memory_limit_is_shown_and_not_blamed() {
    if !can_run() {
        return;
    }
    let lab = Lab::new();
    let Some(daemon) = with_image(&lab) else { return };

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

const ARMS: [&str; 3] = ["host", "docker", "told"];
const REPETITIONS: usize = 5;

/// Protects: an experiment on the host and in containers goes on where it was killed, without losing a run or making one
/// twice.
#[test]
fn an_experiment_survives_a_kill() {
    if !can_run() {
        return;
    }
    let lab = Lab::new();
    let Some(daemon) = with_image(&lab) else { return };
    let weights = lab.bench.path("weights");
    let docker = format!(
        "launcher = ['{}', '-o', '{{trace}}', '--label', '{{arm}}', '--', '--rm', '--pull', 'never', '--network', 'none', \
         '-v', '{}:/weights:ro', '{IMAGE}', 'env', 'LD_LIBRARY_PATH=/kit/sim', 'KVTRACE_SIM_STATE=/tmp/gpu.state', \
         '/kit/kvtrace-workload']",
        recipe("capture-docker").display(),
        weights.display()
    );
    let host = format!(
        "launcher = ['{}', 'run', '-q', '-o', '{{trace}}', '--', '{}']",
        kit("bin/kvtrace").display(),
        kit("bin/kvtrace-workload").display()
    );
    let text = format!(
        "command = ['serve', '--model', 'tiny', '--weights', 'weights']\nrepetitions = {REPETITIONS}\n\
         [[arm]]\nname = 'host'\n{host}\n[[arm]]\nname = 'docker'\n{docker}\n\
         [[arm]]\nname = 'told'\npatch = ['free=-5GiB']\n{docker}\n"
    );
    std::fs::write(lab.bench.path("containers.toml"), text).unwrap();
    let experiment = || {
        let mut command = daemon.client(kit("bin/kvtrace"));
        command.args(["experiment", "containers.toml", "-o", "answer", "--format", "json"]);
        command
    };
    let lines = || std::fs::read_to_string(lab.bench.path("answer/runs.jsonl")).unwrap_or_default();

    let mut first = experiment().stdout(std::process::Stdio::null()).spawn().unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while lines().lines().count() < 5 {
        assert!(std::time::Instant::now() < deadline, "{}", lines());
        assert!(first.try_wait().unwrap().is_none(), "it ended by itself: {}", lines());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    first.kill().unwrap();
    first.wait().unwrap();
    let before = lines();
    // As a crash in the middle of a line would leave it.
    let torn = format!("{before}{{\"arm\":\"ho");
    std::fs::write(lab.bench.path("answer/runs.jsonl"), torn).unwrap();

    let output = run(&mut experiment());
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(lines().starts_with(&before), "what was done is kept");
    let all: Vec<serde_json::Value> = lines().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let made: std::collections::BTreeSet<(String, u64)> =
        all.iter().map(|run| (run["arm"].as_str().unwrap().into(), run["repetition"].as_u64().unwrap())).collect();
    assert_eq!((all.len(), made.len()), (ARMS.len() * REPETITIONS, ARMS.len() * REPETITIONS), "{all:?}");
    let positions: Vec<u64> = all.iter().map(|run| run["position"].as_u64().unwrap()).collect();
    assert_eq!(positions, (1..=15).collect::<Vec<u64>>(), "in their order");
    assert_eq!((report["ended"].as_u64(), report["without_answer"].as_u64()), (Some(15), Some(0)), "{report:#}");

    // Another container makes no difference; what it is told does.
    let arm = |name: &str| report["arms"].as_array().unwrap().iter().find(|arm| arm["name"] == name).unwrap().clone();
    let moved = |name: &str| arm(name)["change_bytes"].as_f64().unwrap() / 1_073_741_824.0;
    assert!(moved("docker").abs() < 0.5 && (moved("told") + 4.5).abs() < 0.5, "{report:#}");
    assert!((arm("told")["predicted_change_bytes"].as_f64().unwrap() / 1_073_741_824.0 + 4.5).abs() < 0.01);
    let markdown = std::fs::read_to_string(lab.bench.path("answer/report.md")).unwrap();
    assert!(markdown.contains("Patched run: ") && markdown.contains("free=-5GiB"), "{markdown}");
}
