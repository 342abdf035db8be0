//! How much of a simulated machine's memory is held, told to whoever reads this process's memory figures: a file that
//! all processes of the device map. `kvtrace_patch::Pool` is its content.

use kvtrace_patch::Pool;
use std::fs::OpenOptions;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where in the file the word is that changes.
const HELD: usize = 16;

/// The mapped file. Mapped, and not written through a descriptor: programs close descriptors that they did not open.
#[derive(Debug)]
pub(crate) struct PoolFile(&'static AtomicU64);

impl PoolFile {
    /// The file beside the state file `state`, of a machine with `total` bytes of memory. `None` where it cannot be had:
    /// then the memory figures of this machine stay as they are.
    pub fn beside(state: &Path, total: u64) -> Option<Self> {
        let mut path = state.as_os_str().to_owned();
        path.push(".pool");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.custom_flags(libc::O_CLOEXEC | libc::O_NOFOLLOW).open(&path).ok()?;
        if file.metadata().ok()?.len() < Pool::SIZE as u64 {
            file.write_all_at(&Pool { total, held: 0 }.to_bytes(), 0).ok()?;
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new shared mapping of our own descriptor.
        let start =
            unsafe { libc::mmap(core::ptr::null_mut(), Pool::SIZE, protection, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED {
            return None;
        }
        // SAFETY: the mapping is page-aligned, reaches beyond the word and lives until exit; other processes may change
        // it, as an atomic allows.
        Some(Self(unsafe { &*start.byte_add(HELD).cast::<AtomicU64>() }))
    }

    /// Tells how much is held now, without what of it is in this machine's memory. Bytes.
    pub fn tell(&self, held: u64) {
        self.0.store(held.to_le(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_read_what_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let first = PoolFile::beside(&state, 120).unwrap();
        first.tell(7);
        PoolFile::beside(&state, 120).unwrap();
        let content = std::fs::read(directory.path().join("state.pool")).unwrap();
        assert_eq!(Pool::from_bytes(&content), Some(Pool { total: 120, held: 7 }));
    }
}
