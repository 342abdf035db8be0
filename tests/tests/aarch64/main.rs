//! The preload on 64-bit Arm, the DGX Spark's processor: what `scripts/build-aarch64` built, run by qemu's emulation of
//! one process, and its traces read by this machine's own tools. Each program is one that the other tests run here.
//!
//! The emulation is not the target. It shows faults of calling convention, structure layout, symbol version and system
//! call number; it runs with this machine's memory order, and makes an ordinary `fork` out of `vfork`.

/// What devices hold against what the ledger says, for the random programs of `ledger`.
#[allow(dead_code, reason = "shared with the ledger tests, which use more of it")]
#[path = "../ledger/compare.rs"]
mod compare;
/// A whole Arm system, as far as its kernel's namespaces make one.
mod container;
/// The stubs: arguments, results and return addresses of linked functions.
mod hooks;
/// SIGKILL, signal handlers, threads.
mod interrupted;
/// Functions that are looked up.
mod lookups;
/// Forks and execs.
mod processes;
#[allow(dead_code, reason = "shared with the ledger tests, which use more of it")]
#[path = "../ledger/sequence.rs"]
mod sequence;
/// The serving workload.
mod serving;

use kvtrace_tests::{Bench, Trace, skip};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Bytes of the GPU that the random programs share: small enough to run out now and then.
const TOTAL: u64 = 1 << 30;

/// A test's directory for the emulated machine.
struct Arm {
    bench: Bench,
    target: PathBuf,
    /// Bytes of a page, where it is not this machine's.
    page: Option<u32>,
}

impl Arm {
    /// One, or `None` where there is no preload for Arm; that is said aloud.
    fn new() -> Option<Arm> {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target").canonicalize().expect("a target folder");
        let needed =
            ["kvtrace-aarch64/lib/libkvtrace.so", "aarch64/bin/aarch64-linux-gnu-gcc", "aarch64/bin/qemu-aarch64"];
        if needed.iter().any(|path| !target.join(path).exists()) {
            skip("the preload on 64-bit Arm: run scripts/build-aarch64");
            return None;
        }
        Some(Arm { bench: Bench::new(), target, page: None })
    }

    /// A file of the built layout for Arm.
    fn kit(&self, path: &str) -> String {
        let path = self.target.join("kvtrace-aarch64").join(path);
        path.into_os_string().into_string().expect("a path in UTF-8")
    }

    /// As [`Bench::compile`], for Arm.
    fn compile(&self, name: &str, output: &str, flags: &[&str]) -> PathBuf {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs").join(name).with_extension("c");
        let binary = self.bench.path(output);
        let mut compiler = Command::new(self.target.join("aarch64/bin/aarch64-linux-gnu-gcc"));
        compiler.args(["-O1", "-g", "-Wall", "-Werror", "-pthread", "-o"]).arg(&binary).arg(&source).args(flags);
        assert!(compiler.status().expect("the cross compiler runs").success(), "{compiler:?}");
        binary
    }

    fn library(&self, name: &str, output: &str) -> PathBuf {
        self.compile(name, output, &["-shared", "-fPIC", &format!("-Wl,-soname,{output}")])
    }

    /// Words that run an Arm program here.
    fn emulator(&self) -> Vec<String> {
        let path = |path: &str| self.target.join("aarch64").join(path).into_os_string().into_string().expect("UTF-8");
        let mut words = vec![path("bin/qemu-aarch64"), "-L".into(), path("tools/usr/aarch64-linux-gnu")];
        if let Some(page) = self.page {
            words.extend(["-p".into(), page.to_string()]);
        }
        words
    }

    /// As [`Bench::plain`]. The emulator is a static program: what the loader of the emulated one is told in the
    /// environment does not concern it.
    fn plain(&self, program: impl AsRef<OsStr>) -> Command {
        let words = self.emulator();
        let mut command = self.bench.plain(&words[0]);
        command.args(&words[1..]).arg(program).env("LD_LIBRARY_PATH", self.kit("lib/sim"));
        command
    }

    /// As [`Bench::traced`].
    fn traced(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.plain(program);
        command.env("LD_PRELOAD", self.kit("lib/libkvtrace.so")).env("KVTRACE_OUT", self.bench.path("trace"));
        command
    }

    fn trace(&self) -> Trace {
        self.bench.trace()
    }
}

/// Runs both, which must end, say and complain alike; gives the traced one's output as text.
fn alike(plain: &mut Command, traced: &mut Command) -> String {
    let told = |output: Output| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.to_string(), text(&output.stdout), text(&output.stderr))
    };
    let (plain, told) = (told(plain.output().expect("starts")), told(traced.output().expect("starts")));
    assert_eq!(told, plain, "traced, plain: {traced:?}");
    told.1
}
