//! Trace directory -> events in memory. One pass, one file at a time, one thread per trace.

pub mod build;
pub mod events;
pub mod machine;
pub mod weights;

use crate::failure::Failure;
pub use events::Trace;
use kvtrace_trace::read::{ReadError, Reader};
use std::path::{Path, PathBuf};

/// Complaints kept word for word; the rest is counted.
const KEPT_PROBLEMS: usize = 20;

const HINT_DIRECTORY: &str = "give the directory that `kvtrace run -o DIR` or KVTRACE_OUT named";

/// Reads a trace directory.
///
/// # Errors
/// Bad input if it is no directory, holds no trace or one of another major version; no answer if nothing was traced.
pub fn trace(directory: &Path) -> Result<Trace, Failure> {
    let files = files(directory)?;
    let mut builder = build::Builder::new(directory);
    for path in &files {
        read_file(path, &mut builder)?;
    }
    let trace = builder.finish();
    match trace.processes.is_empty() {
        true => Err(empty(directory)),
        false => Ok(trace),
    }
}

/// Reads two traces at once.
///
/// # Errors
/// Those of [`trace`], the first side's first.
pub fn pair(a: &Path, b: &Path) -> Result<(Trace, Trace), Failure> {
    std::thread::scope(|scope| {
        let other = scope.spawn(|| trace(b));
        let first = trace(a);
        let second = other.join().unwrap_or_else(|_| Err(Failure::internal("the loader stopped", "")));
        Ok((first?, second?))
    })
}

/// The files of a trace directory.
///
/// # Errors
/// As of [`trace`].
pub fn files(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let shown = directory.display();
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
            return Err(Failure::input(format!("{shown}: not a trace directory"), HINT_DIRECTORY));
        }
        Err(error) => return Err(Failure::input(format!("{shown}: {error}"), HINT_DIRECTORY)),
    };
    let mut files = Vec::new();
    let mut others = 0;
    for entry in entries {
        let path = entry.map_err(|error| Failure::input(format!("{shown}: {error}"), HINT_DIRECTORY))?.path();
        match path.extension().is_some_and(|extension| extension == "jsonl") {
            true => files.push(path),
            false => others += 1,
        }
    }
    files.sort();
    match (files.is_empty(), others) {
        (false, _) => Ok(files),
        (true, 0) => Err(empty(directory)),
        (true, _) => Err(Failure::input(format!("{shown}: no trace file (*.jsonl) in it"), HINT_DIRECTORY)),
    }
}

fn empty(directory: &Path) -> Failure {
    Failure::no_answer(
        format!("{}: the trace is empty", directory.display()),
        "no process asked for memory while traced: check that LD_PRELOAD reaches the server and KVTRACE_DISABLE is unset",
    )
}

fn read_file(path: &Path, builder: &mut build::Builder) -> Result<(), Failure> {
    let mut reader = Reader::open(path)?;
    loop {
        match reader.next() {
            Ok(Some(record)) => builder.add(record),
            Ok(None) => break,
            // A process killed before its header was whole: nothing of it can be read, and nothing is wrong with the rest.
            Err(ReadError::NotATrace { .. }) if std::fs::metadata(path).is_ok_and(|meta| meta.len() == 0) => {
                builder.problem(format!("{}: an empty file", path.display()));
                return Ok(());
            }
            Err(error @ ReadError::Malformed { .. }) => builder.problem(error.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    if reader.torn() {
        builder.problem(format!("{}: ends inside line {}, the process was killed", path.display(), reader.line()));
    }
    Ok(())
}
