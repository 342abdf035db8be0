//! A file that a command writes: whole, or not at all.

use crate::failure::Failure;
use std::fs::Permissions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Where the text goes. A file that is there stays as it is until the new one is whole.
pub enum Output {
    Stdout,
    File { aside: NamedTempFile, path: PathBuf },
}

impl Output {
    /// `-` is standard output. Opened before the work, which may take long. Only the user can read the file, as a trace.
    ///
    /// # Errors
    /// Bad input, if there can be no such file.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        Self::with_mode(path, 0o600)
    }

    /// As [`Self::open`], for others to read too where the user's umask lets them.
    ///
    /// # Errors
    /// As there.
    pub fn open_for_all(path: &Path) -> Result<Self, Failure> {
        Self::with_mode(path, 0o666)
    }

    fn with_mode(path: &Path, mode: u32) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Output::Stdout);
        }
        if path.is_dir() {
            return Err(Failure::input(format!("{}: is a directory", path.display()), "name a file with -o"));
        }
        Ok(Output::File { aside: Output::aside(path, mode)?, path: path.to_owned() })
    }

    /// A file beside `path`, that goes if it does not take its place.
    fn aside(path: &Path, mode: u32) -> Result<NamedTempFile, Failure> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = tempfile::Builder::new().permissions(Permissions::from_mode(mode)).tempfile_in(folder);
        // The error itself names the file aside, of which the user knows nothing.
        file.map_err(|error| failed(path, &error.kind().into()))
    }

    /// The file aside, for who writes into it bit by bit.
    ///
    /// # Errors
    /// As of [`Self::open`].
    pub fn private_aside(path: &Path) -> Result<NamedTempFile, Failure> {
        Self::aside(path, 0o600)
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// Bad input, if there is no room; nothing is left behind then.
    pub fn write(self, bytes: &[u8]) -> Result<(), Failure> {
        self.write_with(|to| to.write_all(bytes))
    }

    /// As [`Self::write`], by who has it in parts.
    ///
    /// # Errors
    /// As there.
    pub fn write_with(self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
        match self {
            Output::Stdout => match write(&mut io::stdout().lock()) {
                // `kvtrace report -o - | head` is no failure.
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
                _ => Ok(()),
            },
            Output::File { mut aside, path } => {
                let mut to = BufWriter::new(&mut aside);
                write(&mut to).and_then(|()| to.flush()).map_err(|error| failed(&path, &error))?;
                drop(to);
                aside.persist(&path).map_err(|error| failed(&path, &error.error))?;
                Ok(())
            }
        }
    }
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::input(format!("{}: {error}", path.display()), "name a file that can be written, with -o")
}
