use crate::Arm;
use kvtrace_tests::{Bench, Trace, kit, run, skip};
use std::path::PathBuf;
use std::process::Command;

/// The kernel's line for Arm's executables; `F` has it open the emulator now, outside of the container.
const RULE: &str = concat!(
    r":kvtrace-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00",
    r":\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:"
);

/// `$1` is the emulator with [`RULE`] before it, `$2` the container's root, the rest the command.
const ENTER: &str = "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
printf %s \"$1\" >/proc/sys/fs/binfmt_misc/register
mount -t proc proc \"$2/proc\"
shift
exec chroot \"$@\"";

/// An Arm system in namespaces of its own: in them the kernel starts Arm programs, whoever asks for it, and outside it
/// does not (Linux 6.7).
struct Container {
    arm: Arm,
    root: PathBuf,
}

impl Container {
    /// One whose every process has the preload; `None` where the kernel has no such namespaces, which is said aloud.
    fn new() -> Option<Container> {
        let arm = Arm::new()?;
        let root = arm.bench.path("root");
        for folder in ["bin", "lib", "kit", "proc", "etc", "tmp"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        let libraries = arm.target.join("aarch64/tools/usr/aarch64-linux-gnu/lib");
        for name in
            ["ld-linux-aarch64.so.1", "libc.so.6", "libm.so.6", "libgcc_s.so.1", "libdl.so.2", "libpthread.so.0"]
        {
            std::fs::copy(libraries.join(name), root.join("lib").join(name)).unwrap();
        }
        std::fs::copy(arm.kit("lib/libkvtrace.so"), root.join("kit/libkvtrace.so")).unwrap();
        std::fs::write(root.join("etc/ld.so.preload"), "/kit/libkvtrace.so\n").unwrap();
        let container = Container { arm, root };
        container.add("coexist/greeting", "greeting");
        let probe = container.command("/bin/greeting").output().unwrap();
        if !probe.status.success() {
            let error = String::from_utf8_lossy(&probe.stderr).into_owned();
            skip(&format!("an Arm container: {}", error.lines().next().unwrap_or("unshare fails")));
            return None;
        }
        std::fs::remove_dir_all(container.root.join("trace")).unwrap();
        Some(container)
    }

    /// Compiles a program into `/bin`.
    fn add(&self, program: &str, name: &str) {
        std::fs::copy(self.arm.compile(program, name, &[]), self.root.join("bin").join(name)).unwrap();
    }

    fn command(&self, program: &str) -> Command {
        let qemu = self.arm.target.join("aarch64/bin/qemu-aarch64").canonicalize().unwrap();
        let mut command = self.arm.bench.plain("unshare");
        command.args(["--user", "--map-root-user", "--mount", "--pid", "--fork", "sh", "-euc", ENTER, "sh"]);
        command.arg(format!("{RULE}{}:F", qemu.display())).arg(&self.root).arg(program);
        command.env("KVTRACE_OUT", "/trace").env("KVTRACE_SIM_STATE", "/tmp/gpu.state");
        command
            .env("KVTRACE_SIM_GPU", "h100-80")
            .env("LD_LIBRARY_PATH", "/kit")
            .env("PATH", "/bin:/usr/bin:/usr/sbin:/sbin");
        command
    }

    fn trace(&self) -> Trace {
        Trace::read(&self.root.join("trace"))
    }
}

/// As `forks_and_execs_make_a_tree` of the ordinary tests: what a traced program becomes is traced too.
#[test]
fn forks_and_execs_make_a_tree() {
    let Some(container) = Container::new() else { return };
    for (program, name) in [("family", "family"), ("stdio", "cat"), ("aarch64/nothing", "true")] {
        container.add(program, name);
    }
    run(&mut container.command("/bin/family"));
    let trace = container.trace();
    let headers = trace.events("process");
    assert_eq!(headers.len(), 3, "the parent, its fork, and the program that the parent became");
    let ends = |header: &serde_json::Value, name: &str| header["exe"].as_str().unwrap().ends_with(name);
    let parent = headers.iter().find(|header| header["forked_from"] == 0 && ends(header, "family")).unwrap();
    let child = headers.iter().find(|header| header["forked_from"] == parent["pid"]).unwrap();
    assert_eq!(trace.events("fork")[0]["child"], child["pid"]);
    let image = headers.iter().find(|header| ends(header, "cat")).unwrap();
    assert_eq!(image["pid"], parent["pid"], "exec keeps the pid");
    assert_eq!(trace.events("exec").len(), 1, "a vfork child's exec is not the parent's");
}

/// Ranks that the launcher starts as programs of their own, on the simulated GPU: as on this machine.
#[test]
fn spawned_workers_have_their_own_traces() {
    let Some(container) = Container::new() else { return };
    let options = ["serve", "--model", "tiny", "--workers", "2", "--start", "spawn"];
    let here = Bench::new();
    run(here.traced(kit("bin/kvtrace-workload")).env("KVTRACE_SIM_GPU", "h100-80").args(options));

    let copy = |from: &str, to: &str| std::fs::copy(container.arm.kit(from), container.root.join(to)).unwrap();
    copy("bin/kvtrace-workload", "bin/kvtrace-workload");
    for library in ["libcuda.so.1", "libcudart.so.12", "libcudart.so.13", "libnvidia-ml.so.1"] {
        copy(&format!("lib/sim/{library}"), &format!("kit/{library}"));
    }
    run(container.command("/bin/kvtrace-workload").args(options));
    let counts = |trace: Trace| -> Vec<[usize; 3]> {
        let kinds = ["query", "alloc", "free"];
        let count =
            |kind: &str, file: &kvtrace_tests::File| file.lines.iter().filter(|line| line["ev"] == kind).count();
        let mut counts: Vec<_> = trace.files.iter().map(|file| kinds.map(|kind| count(kind, file))).collect();
        counts.sort_unstable();
        counts
    };
    let ours = counts(here.trace());
    assert_eq!(counts(container.trace()), ours);
    assert!(ours.len() >= 2, "{ours:?}");
}
