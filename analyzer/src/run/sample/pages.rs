//! How much of named files is in the page cache: cachestat(2), Linux 6.5 and later.

use super::SHARE;
use crate::run::recorder::Recorder;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The same number on every architecture.
const CACHESTAT: libc::c_long = 451;
const MOST_FILES: usize = 10_000;
const DEEPEST: usize = 16;

#[repr(C)]
#[derive(Default)]
struct Range {
    offset: u64,
    /// 0 for all of the file.
    length: u64,
}

/// Pages.
#[repr(C)]
#[derive(Default, Clone, Copy)]
struct Pages {
    cached: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// A file or a folder that the user named.
#[derive(Debug)]
pub struct Files {
    path: PathBuf,
    /// When it may be looked at again.
    again: Instant,
    /// What was said to be missing.
    told: BTreeSet<String>,
}

/// Bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub files: u64,
    pub size: u64,
    pub cached: u64,
    pub dirty: u64,
    pub evicted: u64,
}

impl Files {
    pub fn of(path: &Path) -> Self {
        Files { path: path.to_owned(), again: Instant::now(), told: BTreeSet::new() }
    }

    /// Writes what is cached of it, unless it was looked at too short a time ago for what that takes.
    pub fn look(&mut self, recorder: &Recorder) {
        if Instant::now() < self.again {
            return;
        }
        let begin = super::worked();
        let (sum, problems) = sum(&self.path);
        for problem in problems {
            if self.told.insert(problem.clone()) {
                recorder.missing("cached", &self.path, &problem);
            }
        }
        if sum.files > 0 {
            recorder.cached(&self.path, &sum);
        }
        self.again = Instant::now() + super::worked().saturating_sub(begin) * SHARE;
    }
}

/// All files of a path once, with what is in the way.
fn sum(path: &Path) -> (Sum, BTreeSet<String>) {
    let (mut sum, mut problems) = (Sum::default(), BTreeSet::new());
    let (mut seen, mut waiting) = (BTreeSet::new(), vec![(path.to_owned(), 0)]);
    while let Some((path, depth)) = waiting.pop() {
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) => {
                problems.insert(reason(&error));
                continue;
            }
        };
        if metadata.is_dir() {
            // A link to a folder may lead anywhere, or round in a circle; one that the user named is meant.
            let linked = depth > 0 && fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_symlink());
            match fs::read_dir(&path) {
                _ if linked || depth >= DEEPEST => {}
                Ok(entries) => waiting.extend(entries.flatten().map(|entry| (entry.path(), depth + 1))),
                Err(error) => {
                    problems.insert(reason(&error));
                }
            }
            continue;
        }
        // Weights are often links to one folder of blobs.
        if !metadata.is_file() || metadata.len() == 0 || !seen.insert((metadata.dev(), metadata.ino())) {
            continue;
        }
        if seen.len() > MOST_FILES {
            problems.insert(format!("more than {MOST_FILES} files: the rest was left out"));
            break;
        }
        match of_file(&path) {
            Ok(pages) => {
                let bytes = |pages: u64| pages.saturating_mul(page_size());
                sum.files += 1;
                sum.size = sum.size.saturating_add(metadata.len());
                // The last page is whole in memory.
                sum.cached = sum.cached.saturating_add(bytes(pages.cached).min(metadata.len()));
                sum.dirty = sum.dirty.saturating_add(bytes(pages.dirty));
                sum.evicted = sum.evicted.saturating_add(bytes(pages.evicted));
            }
            Err(error) => {
                problems.insert(reason(&error));
            }
        }
    }
    (sum, problems)
}

/// The file is closed at once, so that it and its file system stay free.
fn of_file(path: &Path) -> io::Result<Pages> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    cachestat(&file)
}

fn cachestat(file: &File) -> io::Result<Pages> {
    let (range, mut pages) = (Range::default(), Pages::default());
    let (range, out): (*const Range, *mut Pages) = (&range, &mut pages);
    // SAFETY: both structures are ours, laid out as the kernel's, and live through the call.
    match unsafe { libc::syscall(CACHESTAT, file.as_raw_fd(), range, out, 0) } {
        0 => Ok(pages),
        _ => Err(io::Error::last_os_error()),
    }
}

fn page_size() -> u64 {
    crate::run::recorder::page_size()
}

fn reason(error: &io::Error) -> String {
    let name = match error.raw_os_error() {
        Some(libc::EPERM) => "EPERM",
        Some(libc::EACCES) => "EACCES",
        Some(libc::ENOENT) => "ENOENT",
        Some(libc::ENOSYS) => "ENOSYS",
        Some(libc::EOPNOTSUPP) => "EOPNOTSUPP",
        _ => return error.to_string(),
    };
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_file_that_was_just_written_is_cached_and_counted_once() {
        let home = tempfile::tempdir().unwrap();
        let mut file = File::create(home.path().join("weights")).unwrap();
        file.write_all(&vec![7; 1 << 20]).unwrap();
        if let Err(error) = cachestat(&file) {
            eprintln!("skipped: cachestat(2): {error}");
            return;
        }
        fs::create_dir(home.path().join("snapshot")).unwrap();
        std::os::unix::fs::symlink("../weights", home.path().join("snapshot/link")).unwrap();
        std::os::unix::fs::symlink(home.path(), home.path().join("snapshot/round")).unwrap();
        let (all, problems) = sum(home.path());
        assert_eq!((all.files, all.size, all.cached), (1, 1 << 20, 1 << 20));
        assert!(problems.is_empty(), "{problems:?}");
        let (none, problems) = sum(&home.path().join("nothing"));
        assert_eq!((none, problems), (Sum::default(), BTreeSet::from(["ENOENT".to_owned()])));
    }
}
