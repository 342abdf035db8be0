//! A Docker daemon of a test's own.

use crate::{Bench, have, skip};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Whether this machine may run one; if not, that is skipped aloud.
///
/// # Panics
/// As [`skip`].
pub fn can_run() -> bool {
    let what = "a Docker container";
    // SAFETY: has no preconditions.
    let is_root = unsafe { libc::geteuid() == 0 };
    if !is_root {
        skip(&format!("{what}: not root"));
    }
    is_root && ["dockerd", "docker", "busybox", "unshare", "tar"].iter().all(|program| have(program, what))
}

/// A Docker daemon of this test alone. It lives in namespaces of its own, so that its processes and mounts end with it.
pub struct Daemon<'b> {
    bench: &'b Bench,
    child: Child,
    group: String,
}

impl<'b> Daemon<'b> {
    /// Starts it; what it says if it cannot is the reason to skip.
    ///
    /// # Panics
    /// If it cannot be started or watched at all.
    pub fn start(bench: &'b Bench) -> Option<Self> {
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
        self.client("docker").arg("version").output().is_ok_and(|output| output.status.success())
    }

    /// A command that talks to this daemon.
    pub fn client(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
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
