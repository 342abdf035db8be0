//! The folder of an experiment: what it is, what has been run, and nobody else in it.
//!
//! ```text
//! DIR/experiment.json           the experiment, as it was begun
//! DIR/runs.jsonl                a line for each run that has ended, in their order
//! DIR/ARM/NN/                   the trace of a run; beside it NN.log, what it printed
//! DIR/report.json, report.md    what came out
//! ```
//!
//! A run counts when its line is written. What was begun and has no line is made anew.

use super::order::Planned;
use super::spec::Spec;
use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// A run that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    pub arm: String,
    pub repetition: usize,
    /// Position in the order of all runs, from 1.
    pub position: usize,
    /// How the server ended.
    pub outcome: Outcome,
    /// Exit code; 128 and the signal if one killed it.
    pub code: u8,
    /// How long it took.
    pub seconds: f64,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// By itself, with success.
    Finished,
    /// It had what it came for, and was ended.
    Stopped,
    /// By itself, with a failure.
    Failed,
    /// It took too long, and was ended.
    TimedOut,
}

impl Outcome {
    pub fn is_good(self) -> bool {
        matches!(self, Outcome::Finished | Outcome::Stopped)
    }
}

/// The folder.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Held, and the lock with it, as long as the experiment goes on.
    runs: File,
    pub ended: Vec<Ended>,
}

impl Folder {
    /// Begins an experiment in a new or empty folder, or goes on with the same one.
    ///
    /// # Errors
    /// Bad input: the folder holds something else, or somebody works in it.
    pub fn open(path: &Path, spec: &Spec) -> Result<Folder, Failure> {
        let shown = path.display();
        let failed =
            |error: std::io::Error| Failure::input(format!("{shown}: {error}"), "choose another folder with -o");
        fs::create_dir_all(path).map_err(failed)?;
        let path = path.canonicalize().map_err(failed)?;
        let described = path.join("experiment.json");
        let text = serde_json::to_string_pretty(spec).map_err(|error| Failure::internal(error.to_string(), ""))?;
        match fs::read_to_string(&described) {
            Ok(there) if there == text => {}
            Ok(_) => {
                return Err(Failure::input(
                    format!("{shown}: holds another experiment, or this one as it was before it was changed"),
                    "choose another folder with -o, or take back the change to go on",
                ));
            }
            Err(_) if fs::read_dir(&path).map_err(failed)?.count() > 0 => {
                return Err(Failure::input(format!("{shown}: not empty"), "choose another folder with -o"));
            }
            Err(_) => {
                let new = path.join("experiment.json.new");
                fs::write(&new, &text).and_then(|()| fs::rename(&new, &described)).map_err(failed)?;
            }
        }
        let list = path.join("runs.jsonl");
        let runs = OpenOptions::new().read(true).append(true).create(true).open(&list).map_err(failed)?;
        // SAFETY: a descriptor of ours; the kernel drops the lock with it, however this process ends.
        if unsafe { libc::flock(runs.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
            return Err(Failure::input(format!("{shown}: this experiment is being run"), "wait for it to end"));
        }
        let text = fs::read_to_string(&list).map_err(failed)?;
        // A last line that was torn by a crash has no newline, and does not count.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            runs.set_len(whole as u64).map_err(failed)?;
        }
        let ended = text[..whole].lines().map(serde_json::from_str).collect::<Result<Vec<Ended>, _>>();
        let ended = ended.map_err(|error| {
            Failure::input(
                format!("{}: {error}", list.display()),
                "the file was changed; choose another folder with -o",
            )
        })?;
        Ok(Folder { path, runs, ended })
    }

    /// Whether a run of the plan has ended.
    pub fn has(&self, arm: &str, repetition: usize) -> bool {
        self.ended.iter().any(|ended| ended.arm == arm && ended.repetition == repetition)
    }

    /// Where the trace of a run goes: what an interrupted one left there is removed.
    ///
    /// # Errors
    /// If it cannot be.
    pub fn fresh(&self, arm: &str, planned: Planned) -> Result<PathBuf, Failure> {
        let folder = self.path.join(arm);
        fs::create_dir_all(&folder)?;
        let trace = folder.join(format!("{:03}", planned.repetition));
        if trace.exists() {
            fs::remove_dir_all(&trace)?;
        }
        Ok(trace)
    }

    /// Notes that a run has ended.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn note(&mut self, ended: Ended) -> Result<(), Failure> {
        let mut line = serde_json::to_string(&ended).map_err(|error| Failure::internal(error.to_string(), ""))?;
        line.push('\n');
        self.runs.write_all(line.as_bytes())?;
        self.runs.sync_data()?;
        self.ended.push(ended);
        Ok(())
    }

    /// Writes a file of the report, whole or not at all.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn put(&self, name: &str, text: &str) -> Result<(), Failure> {
        let new = self.path.join(format!("{name}.new"));
        fs::write(&new, text)?;
        fs::rename(&new, self.path.join(name))?;
        Ok(())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
