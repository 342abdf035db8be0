//! What ends the program early.

use std::fmt;
use std::io::Write;
use std::path::Path;

/// Result with this program's error.
pub type Result<T> = std::result::Result<T, Failure>;

/// One line that says what went wrong and what to do about it.
#[derive(Debug)]
pub enum Failure {
    /// An argument or a file cannot be used.
    Input(String),
    /// The device refused, or could not be reached.
    Cuda(String),
}

impl Failure {
    /// A file operation that failed.
    pub fn file(action: &str, path: &Path, error: &std::io::Error) -> Self {
        let hint = match error.raw_os_error() {
            Some(libc::ENOENT) => "; check the path",
            Some(libc::EACCES | libc::EPERM) => "; check its permissions",
            Some(libc::ENOSPC) => "; free some disk space or ask for fewer bytes",
            Some(libc::EISDIR) => "; name a file, not a directory",
            _ => "",
        };
        Failure::Input(format!("cannot {action} {}: {error}{hint}", path.display()))
    }

    /// Says it on stderr, whole: ranks that fail together write to the same terminal.
    pub fn report(&self, who: &str) {
        let line = format!("kvtrace-workload: {who}{self}\n");
        // Nobody is left to tell where stderr is closed.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }

    /// The program's exit code.
    pub fn code(&self) -> u8 {
        match self {
            Failure::Input(_) => 2,
            Failure::Cuda(_) => 1,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Failure::Input(text) | Failure::Cuda(text)) = self;
        f.write_str(text)
    }
}
