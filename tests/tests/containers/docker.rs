use crate::{Lab, SERVE, figures, is_root, outcome, recipe};
use kvtrace_tests::{Bench, Trace, have, run, skip};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

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

fn can_run() -> bool {
    let what = "a Docker container";
    if !is_root() {
        skip(&format!("{what}: not root"));
    }
    is_root() && ["dockerd", "docker", "busybox", "unshare", "tar"].iter().all(|program| have(program, what))
}

/// A Docker daemon of this test alone. It lives in namespaces of its own, so that its processes and mounts end with it.
struct Daemon<'b> {
    bench: &'b Bench,
    child: Child,
    group: String,
}

impl<'b> Daemon<'b> {
    /// Starts it; what it says if it cannot is the reason to skip.
    fn start(bench: &'b Bench) -> Option<Self> {
        let log = std::fs::File::create(bench.path("dockerd.log")).unwrap();
        let group = format!("kvtrace-test-{}", std::process::id());
        // Without a bridge and firewall rules, so that the machine's network stays as it is.
        let child = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc", "dockerd"])
            .args(["--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"])
            .args(["--storage-driver=vfs", "--cgroup-parent", &group])
            .arg("--data-root")
            .arg(bench.path("docker-data"))
            .arg("--exec-root")
            .arg(bench.path("docker-exec"))
            .arg("--pidfile")
            .arg(bench.path("docker.pid"))
            .arg("--host")
            .arg(socket(bench))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut daemon = Daemon { bench, child, group };
        let deadline = Instant::now() + Duration::from_secs(30);
        while !daemon.answers() {
            let ended = daemon.child.try_wait().unwrap().is_some();
            if ended || Instant::now() > deadline {
                let log = std::fs::read_to_string(bench.path("dockerd.log")).unwrap_or_default();
                let last = log.lines().last().unwrap_or_default();
                skip(&format!("a Docker container: dockerd does not start here: {last}"));
                return None;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(daemon)
    }

    fn answers(&self) -> bool {
        outcome(self.client("docker").arg("version")).0 == Some(0)
    }

    /// A command that talks to this daemon.
    fn client(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = self.bench.plain(program);
        command.env("DOCKER_HOST", socket(self.bench)).env("DOCKER_CONFIG", self.bench.path("docker-config"));
        command
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        // `unshare` waits for its child, the daemon, and ends as it ends.
        let pid = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        if let Some(daemon) = children.split_whitespace().next().and_then(|pid| pid.parse().ok()) {
            // SAFETY: a plain system call. The parent is our child and not reaped, and reaps the daemon itself.
            unsafe { libc::kill(daemon, libc::SIGTERM) };
        }
        let deadline = Instant::now() + Duration::from_secs(15);
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                // The kernel ends the daemon with it, and with the daemon everything in its namespace.
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.wait();
        let mut controllers: Vec<PathBuf> = vec!["/sys/fs/cgroup".into()];
        controllers
            .extend(std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path()));
        for controller in controllers {
            let _ = std::fs::remove_dir(controller.join(&self.group));
        }
    }
}

fn socket(bench: &Bench) -> String {
    format!("unix://{}", bench.path("docker.sock").display())
}
