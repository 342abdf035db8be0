//! The interpreters that are there.

use kvtrace_tests::{Bench, kit, skip};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A CPython.
#[derive(Debug)]
pub struct Python {
    /// `3.12.1`.
    pub version: String,
    pub path: PathBuf,
}

impl Python {
    /// `3.12`.
    pub fn short(&self) -> &str {
        self.version.rsplit_once('.').expect("three numbers").0
    }

    pub fn minor(&self) -> u32 {
        self.short().split_once('.').expect("two numbers").1.parse().expect("a number")
    }

    /// A command that runs `programs/python/SCRIPT` traced.
    pub fn traced(&self, bench: &Bench, flags: &[&str], script: &str) -> Command {
        let mut command = bench.traced(&self.path);
        command.env("PYTHONDONTWRITEBYTECODE", "1").args(flags).arg(programs().join(script));
        command.arg(kit("lib/sim/libcudart.so.12")).arg(bench.path(""));
        command
    }
}

pub fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs/python")
}

/// Every CPython from 3.10 to 3.14 on this machine; of versions that are missing it is said aloud.
pub fn all() -> &'static [Python] {
    static FOUND: OnceLock<Vec<Python>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/python-versions");
        let output = Command::new(script).arg("--found").output().expect("runs");
        let text = String::from_utf8(output.stdout).expect("text");
        let of = |line: &str| {
            let (version, path) = line.split_once('\t').expect("two columns");
            Python { version: version.to_owned(), path: path.into() }
        };
        let found: Vec<Python> = text.lines().map(of).collect();
        for minor in 10..=14 {
            if !found.iter().any(|python| python.minor() == minor) {
                skip(&format!("stacks of CPython 3.{minor}: not found: run scripts/python-versions"));
            }
        }
        found
    })
}
