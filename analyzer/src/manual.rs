//! `kvtrace completions` and `kvtrace man`: what a package installs beside the program, from the one definition of the
//! command line.

use crate::failure::Failure;
use clap::Command;
use clap_complete::Shell;
use std::io::{ErrorKind, Write};
use std::path::Path;

/// Prints the completions for a shell.
///
/// # Errors
/// Internal, if they cannot be written.
pub fn completions(shell: Shell, mut command: Command) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, "kvtrace", &mut text);
    match std::io::stdout().write_all(&text) {
        // `kvtrace completions bash | head` is no failure.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Writes `kvtrace.1` and one page for each command into a folder.
///
/// # Errors
/// Bad input, if the folder cannot be made or written.
pub fn pages(folder: &Path, command: Command) -> Result<(), Failure> {
    let failed =
        |error: std::io::Error| Failure::input(format!("{}: {error}", folder.display()), "choose another directory");
    std::fs::create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(command, folder).map_err(failed)
}
