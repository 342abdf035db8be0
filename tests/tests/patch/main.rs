//! Answers that the user wants changed: what programs are told in every way to ask, who is told it, and what the trace
//! says of it.

/// Page cache that is given back.
mod eviction;
/// Several arms, several runs.
mod experiment;
/// Files about memory, in every language that reads them.
mod files;
/// What a rule may promise.
mod limits;
/// The commands around it.
mod run;
/// For whom a rule is.
mod scopes;
/// A server that believes it.
mod serving;
/// Every API, every kind of rule.
mod ways;

use kvtrace_tests::{Bench, Trace, run as run_command};
use std::collections::BTreeMap;
use std::process::Command;

/// In bytes.
/// In bytes.
pub const GIB: u64 = 1 << 30;
/// In bytes.
/// In bytes.
pub const MIB: u64 = 1 << 20;

/// The program that asks.
pub fn ask(bench: &Bench) -> std::path::PathBuf {
    bench.compile("patch/ask", "ask", &["-ldl"])
}

/// What the program printed: the ways to ask, with free and total.
pub type Answers = Vec<(String, u64, u64)>;

/// A run of the program under the preload, on the GPU `gpu`, with the rules `patch`.
pub struct Asked {
    /// Lines of the form "way free total".
    pub answers: Answers,
    /// All that it printed.
    pub text: String,
    /// Its trace.
    pub trace: Trace,
}

/// Asks in these ways on the GPU `gpu`, with the rules `patch`.
pub fn asked(bench: &Bench, gpu: &str, patch: &str, ways: &[&str]) -> Asked {
    asked_by(bench, &mut command(bench, gpu, patch, ways))
}

/// The command that asks.
pub fn command(bench: &Bench, gpu: &str, patch: &str, ways: &[&str]) -> Command {
    let mut command = bench.traced(ask(bench));
    command.env("KVTRACE_SIM_GPU", gpu).env("KVTRACE_PATCH", patch).args(ways);
    command
}

/// What comes of such a command.
pub fn asked_by(bench: &Bench, command: &mut Command) -> Asked {
    let _ = std::fs::remove_dir_all(bench.path("trace"));
    let text = String::from_utf8(run_command(command).stdout).unwrap();
    let answers = text.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (way, free, total) = (words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some((way.to_owned(), free, total))
    });
    Asked { answers: answers.collect(), trace: bench.trace(), text }
}

/// One changed answer: which figure, real and told, and the rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Which figure.
    pub field: String,
    /// What it really was, bytes.
    pub real: u64,
    /// What the program was told.
    pub told: u64,
    /// What the rule wanted beyond that.
    pub wanted: Option<u64>,
    /// The rule as it was written.
    pub rule: String,
}

/// The changed answers of a trace by the function that gave them, in order.
pub fn changes(trace: &Trace) -> Vec<(String, Changed)> {
    let mut all = Vec::new();
    for file in &trace.files {
        let by_number: BTreeMap<u64, &serde_json::Value> =
            file.lines.iter().filter_map(|line| Some((line["n"].as_u64()?, line))).collect();
        for event in file.lines.iter().filter(|line| line["ev"] == "patch") {
            let subject = by_number[&event["of"].as_u64().unwrap()];
            assert_eq!(subject["depth"], 0, "only what the program itself asks: {subject}");
            let changed = Changed {
                field: event["field"].as_str().unwrap().to_owned(),
                real: event["real"].as_u64().unwrap(),
                told: event["reported"].as_u64().unwrap(),
                wanted: event["wanted"].as_u64(),
                rule: event["rule"].as_str().unwrap().to_owned(),
            };
            if subject["ev"] == "query" {
                assert_eq!(subject[&changed.field], changed.told, "the query says what the program was told");
            }
            all.push((subject["fn"].as_str().unwrap().to_owned(), changed));
        }
    }
    all
}

/// The one change of a field.
pub fn only(trace: &Trace, field: &str) -> Changed {
    let all: Vec<_> = changes(trace).into_iter().filter(|(_, changed)| changed.field == field).collect();
    assert_eq!(all.len(), 1, "{all:?}");
    all[0].1.clone()
}

/// A file mapped and touched.
pub struct Mapped {
    at: *mut libc::c_void,
    size: usize,
}

impl Mapped {
    /// Maps all of it, and reads every page.
    pub fn of(path: &std::path::Path) -> Mapped {
        use std::os::fd::AsRawFd;
        let file = std::fs::File::open(path).unwrap();
        let size = file.metadata().unwrap().len() as usize;
        let (protection, flags) = (libc::PROT_READ, libc::MAP_SHARED | libc::MAP_POPULATE);
        // SAFETY: a new mapping of the whole file.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), size, protection, flags, file.as_raw_fd(), 0) };
        assert_ne!(at, libc::MAP_FAILED);
        Mapped { at, size }
    }

    /// Bytes of it in memory.
    pub fn resident(&self) -> u64 {
        let mut pages = vec![0u8; self.size.div_ceil(4096)];
        // SAFETY: the mapping is ours, and the vector has a byte for each of its pages.
        assert_eq!(unsafe { libc::mincore(self.at, self.size, pages.as_mut_ptr()) }, 0);
        pages.iter().filter(|page| **page & 1 != 0).count() as u64 * 4096
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nobody else's.
        unsafe { libc::munmap(self.at, self.size) };
    }
}

/// Bytes of a file in the page cache.
pub fn resident(path: &std::path::Path) -> u64 {
    use std::os::fd::AsRawFd;
    let file = std::fs::File::open(path).unwrap();
    let size = file.metadata().unwrap().len() as usize;
    // SAFETY: a new mapping of the whole file, which nothing touches.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), size, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0) };
    assert_ne!(at, libc::MAP_FAILED);
    Mapped { at, size }.resident()
}
