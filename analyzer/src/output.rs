//! A file that a command writes: whole, or not at all.

use crate::failure::Failure;
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Where the text goes. A file that is there stays as it is until the new one is whole.
pub enum Output {
    Stdout,
    File { aside: NamedTempFile, path: PathBuf },
}

impl Output {
    /// `-` is standard output. Opened before the work, which may take long.
    ///
    /// # Errors
    /// Bad input, if there can be no such file.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Output::Stdout);
        }
        if path.is_dir() {
            return Err(Failure::input(format!("{}: is a directory", path.display()), "name a file with -o"));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // The error itself names the file aside, of which the user knows nothing.
        let aside = NamedTempFile::new_in(folder).map_err(|error| failed(path, &error.kind().into()))?;
        Ok(Output::File { aside, path: path.to_owned() })
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// Bad input, if there is no room; nothing is left behind then.
    pub fn write(self, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            Output::Stdout => crate::write_out(bytes),
            Output::File { mut aside, path } => {
                aside.write_all(bytes).and_then(|()| aside.flush()).map_err(|error| failed(&path, &error))?;
                aside.persist(&path).map_err(|error| failed(&path, &error.error))?;
                Ok(())
            }
        }
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::input(format!("{}: {error}", path.display()), "name a file that can be written, with -o")
}
