//! What the end-to-end tests share: the built layout, C programs compiled on the spot, and traces read back.
//!
//! The tests run what a user installs. `scripts/build` makes it, and `scripts/test` calls that first.

pub mod browser;
pub mod docker;
pub mod elf;
pub mod hooks;

use kvtrace_trace::event::Event;
use kvtrace_trace::read::{ReadError, Reader};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// A file of the built layout.
///
/// # Panics
/// If it is not there.
pub fn kit(path: &str) -> PathBuf {
    let kit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/kvtrace").join(path);
    kit.canonicalize().unwrap_or_else(|error| panic!("{}: {error}: run scripts/build first", kit.display()))
}

/// One test's directory: programs are compiled into it and traces written into it.
pub struct Bench {
    dir: TempDir,
}

impl Bench {
    /// A fresh one.
    ///
    /// # Panics
    /// If there is no room for a temporary directory.
    #[expect(clippy::new_without_default, reason = "makes a directory")]
    pub fn new() -> Self {
        Bench { dir: tempfile::tempdir().expect("a temporary directory") }
    }

    /// One below `folder`, for tests that need its file system.
    ///
    /// # Panics
    /// As [`Bench::new`].
    pub fn new_in(folder: &str) -> Self {
        Bench { dir: tempfile::tempdir_in(folder).expect("a temporary directory") }
    }

    /// A path in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Compiles `programs/NAME.c` with `flags` behind it.
    ///
    /// # Panics
    /// If the compiler fails.
    pub fn compile(&self, name: &str, output: &str, flags: &[&str]) -> PathBuf {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs").join(name).with_extension("c");
        let binary = self.path(output);
        let status = Command::new("cc")
            .args(["-O1", "-g", "-Wall", "-Werror", "-pthread", "-o"])
            .arg(&binary)
            .arg(&source)
            .args(flags)
            .status()
            .expect("cc runs");
        assert!(status.success(), "cc {}", source.display());
        binary
    }

    /// A command under the preload, tracing into `trace`, with the simulated GPU's libraries at hand.
    pub fn traced(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = self.plain(program);
        command.env("LD_PRELOAD", kit("lib/libkvtrace.so")).env("KVTRACE_OUT", self.path("trace"));
        command
    }

    /// The same command without the preload.
    pub fn plain(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env("LD_LIBRARY_PATH", Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/kvtrace/lib/sim"))
            .env("KVTRACE_SIM_STATE", self.path("gpu.state"))
            .current_dir(self.dir.path());
        command
    }

    /// The trace that the commands wrote.
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn trace(&self) -> Trace {
        Trace::read(&self.path("trace"))
    }
}

/// Says aloud that something could not be tested here; `scripts/test` repeats all of it at its end.
///
/// # Panics
/// If the note cannot be left.
pub fn skip(what: &str) {
    let note = format!("SKIPPED: {what}\n");
    eprint!("{note}");
    let path = kit("").join("skipped");
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    // One write a line: tests run side by side.
    let written = file.and_then(|mut file| file.write_all(note.as_bytes()));
    written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Folder of NVIDIA's own runtime and headers of a major version, fetched by `scripts/cudart-wheels`; where it is not,
/// what it would have tested is skipped aloud.
///
/// # Panics
/// As [`skip`].
pub fn cudart(major: u32, tests: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/cudart");
    if !folder.join("complete").is_file() {
        skip(&format!("{tests}: no NVIDIA runtime: run scripts/cudart-wheels"));
        return None;
    }
    Some(folder.join(major.to_string()))
}

/// Whether a program is in PATH; if not, what it would have tested is skipped aloud.
///
/// # Panics
/// As [`skip`].
pub fn have(program: &str, tests: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if !found {
        skip(&format!("{tests}: no {program} in PATH"));
    }
    found
}

/// Runs a command to its end.
///
/// # Panics
/// If it does not start, or fails.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// A trace in memory.
#[derive(Debug, Default)]
pub struct Trace {
    /// One per process, in the order of their names.
    pub files: Vec<File>,
}

/// The events of one process.
#[derive(Debug)]
pub struct File {
    /// Where they stood.
    pub path: PathBuf,
    /// The lines as JSON, for tests that look at single fields.
    pub lines: Vec<serde_json::Value>,
    /// Whether the file ended inside a line.
    pub torn: bool,
}

impl Trace {
    /// Reads every file of a trace; each must be whole but for a torn end, its events numbered without a gap.
    ///
    /// # Panics
    /// If a file is not.
    pub fn read(directory: &Path) -> Trace {
        let Ok(entries) = std::fs::read_dir(directory) else { return Trace::default() };
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        Trace { files: paths.iter().map(|path| File::read(path)).collect() }
    }

    /// Every event of a kind.
    pub fn events(&self, kind: &str) -> Vec<&serde_json::Value> {
        self.files.iter().flat_map(|file| &file.lines).filter(|line| line["ev"] == kind).collect()
    }

    /// Every event of a kind about a function.
    pub fn calls(&self, kind: &str, function: &str) -> Vec<&serde_json::Value> {
        self.events(kind).into_iter().filter(|line| line["fn"] == function).collect()
    }
}

impl File {
    fn read(path: &Path) -> File {
        let mut reader = Reader::open(path).expect("opens");
        let mut numbers = Vec::new();
        loop {
            match reader.next() {
                Ok(Some(record)) => {
                    assert!(!matches!(record.event, Event::Unknown(_)), "{}: {record:?}", path.display());
                    numbers.push(record.stamp.n);
                }
                Ok(None) => break,
                // Killed inside its very first write.
                Err(ReadError::NotATrace { .. }) if numbers.is_empty() => break,
                Err(error) => panic!("{error}"),
            }
        }
        // Threads take their numbers before they write.
        numbers.sort_unstable();
        let torn = reader.torn();
        let text = std::fs::read_to_string(path).expect("text");
        let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        File { path: path.to_owned(), lines, torn }
    }
}
