//! Filling and dropping page cache, and what the machine says about it.

use crate::failure::{Failure, Result};
use crate::progress::Progress;
use crate::size;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

const BUFFER: usize = 4 << 20;

/// Has `bytes` of `file` in the page cache, and prints by how much it grew.
pub fn fill(file: &Path, bytes: u64) -> Result<()> {
    let before = meminfo::through_libc("Cached");
    lengthen(file, bytes)?;
    read(file, bytes)?;
    report("grew", before, meminfo::through_libc("Cached"));
    Ok(())
}

/// Drops files, and the files in directories, from the page cache.
pub fn drop_files(paths: &[PathBuf]) -> Result<()> {
    let before = meminfo::through_libc("Cached");
    for path in paths {
        if !path.is_dir() {
            drop_file(path)?;
            continue;
        }
        let unreadable = |error: std::io::Error| Failure::file("list", path, &error);
        for entry in fs::read_dir(path).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?.path();
            if entry.is_file() {
                drop_file(&entry)?;
            }
        }
    }
    report("shrank", meminfo::through_libc("Cached"), before);
    Ok(())
}

/// Writes `file` up to `bytes`. What is there stays.
fn lengthen(file: &Path, bytes: u64) -> Result<()> {
    let cannot = |error: std::io::Error| Failure::file("write", file, &error);
    let mut out = OpenOptions::new().append(true).create(true).open(file).map_err(cannot)?;
    let missing = bytes.saturating_sub(out.metadata().map_err(cannot)?.len());
    if missing > 0 {
        write_bytes(&mut out, missing, &mut Progress::new("writing", missing)).map_err(cannot)?;
        // Dirty pages could not be dropped by anyone who needs the memory.
        out.sync_data().map_err(cannot)?;
    }
    Ok(())
}

/// Writes `bytes` that are not all alike, so that no file system keeps them as a hole.
pub fn write_bytes(out: &mut File, bytes: u64, progress: &mut Progress) -> std::io::Result<()> {
    let buffer: Vec<u8> = (0..BUFFER as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut left = bytes;
    while left > 0 {
        let piece = left.min(BUFFER as u64);
        out.write_all(&buffer[..piece as usize])?;
        left -= piece;
        progress.add(piece);
    }
    Ok(())
}

fn read(file: &Path, bytes: u64) -> Result<()> {
    let cannot = |error: std::io::Error| Failure::file("read", file, &error);
    let mut input = File::open(file).map_err(cannot)?.take(bytes);
    let mut progress = Progress::new("reading", bytes);
    let mut buffer = vec![0; BUFFER];
    loop {
        match input.read(&mut buffer).map_err(cannot)? {
            0 => return Ok(()),
            got => progress.add(got as u64),
        }
    }
}

fn drop_file(path: &Path) -> Result<()> {
    let cannot = |error: std::io::Error| Failure::file("drop", path, &error);
    let file = File::open(path).map_err(cannot)?;
    file.sync_all().map_err(cannot)?;
    // SAFETY: a descriptor of ours and numbers.
    match unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) } {
        0 => Ok(()),
        error => Err(cannot(std::io::Error::from_raw_os_error(error))),
    }
}

fn report(verb: &str, less: Option<u64>, more: Option<u64>) {
    match less.zip(more) {
        Some((less, more)) => {
            let (sign, by) = if more >= less { ("", more - less) } else { ("-", less - more) };
            println!("Cached {verb} by {sign}{by} bytes ({sign}{})", size::show(by));
        }
        None => println!("/proc/meminfo does not say how large the page cache is"),
    }
}

/// `/proc/meminfo`.
pub mod meminfo {
    /// A field in bytes, read through libc's `open` and `read`, as Python's psutil does.
    pub fn through_libc(field: &str) -> Option<u64> {
        let mut text = Vec::new();
        let mut buffer = [0u8; 8192];
        // SAFETY: a NUL-terminated path; the buffer is ours with its own length; the descriptor is closed once.
        unsafe {
            let fd = libc::open(c"/proc/meminfo".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
            if fd < 0 {
                return None;
            }
            while let Ok(got @ 1..) = usize::try_from(libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len())) {
                text.extend_from_slice(&buffer[..got]);
            }
            libc::close(fd);
        }
        find(std::str::from_utf8(&text).ok()?, field)
    }

    /// A field in bytes.
    pub fn find(text: &str, field: &str) -> Option<u64> {
        let rest = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
        rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_meminfo() {
        let text = "MemTotal:  24 kB\nSwapCached: 9 kB\nCached:   7 kB\n";
        assert_eq!(meminfo::find(text, "Cached"), Some(7 << 10));
        assert_eq!(meminfo::find(text, "Mem"), None);
        assert!(meminfo::through_libc("MemAvailable").unwrap() > 0);
    }

    #[test]
    fn a_file_grows_to_the_bytes_and_not_beyond() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("cache.bin");
        for (bytes, length) in [(5_000_000, 5_000_000), (1000, 5_000_000), (6_000_001, 6_000_001)] {
            fill(&file, bytes).unwrap();
            assert_eq!(fs::metadata(&file).unwrap().len(), length);
        }
        drop_files(&[directory.path().to_owned(), file]).unwrap();
        assert_eq!(drop_files(&[directory.path().join("missing")]).unwrap_err().code(), 2);
    }
}
