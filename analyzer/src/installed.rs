//! Where the parts of an installation lie, as seen from this program.
//!
//! A tarball and a build keep libraries in `lib` beside `bin`. A wheel keeps them in `lib/kvtrace`: the `lib` of a
//! Python environment belongs to all its packages.

use std::path::{Path, PathBuf};

/// Folders that may hold the libraries, the likeliest first.
pub fn folders() -> std::io::Result<[PathBuf; 3]> {
    let exe = std::env::current_exe()?;
    let bin = exe.parent().unwrap_or(Path::new("/"));
    Ok([bin.join("../lib/kvtrace"), bin.join("../lib"), bin.to_owned()])
}

/// A library or folder of this installation.
pub fn library(name: &str) -> Option<PathBuf> {
    folders().ok()?.into_iter().map(|folder| folder.join(name)).find(|place| place.exists())
}
