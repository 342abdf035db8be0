//! The machine's memory, read past any preloaded library.
//!
//! A real driver learns this inside the kernel, where no preload looks. Going through `open` here would show up in a
//! trace as if the program had asked.

use std::ffi::CStr;

/// Lines of `/proc/meminfo`, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemInfo {
    /// `MemTotal`.
    pub total: u64,
    /// `MemFree`: page cache counts as used.
    pub free: u64,
    /// `MemAvailable`: what the kernel would give up counts as free.
    pub available: u64,
}

impl MemInfo {
    /// The machine at this instant; `None` where `/proc` is not mounted.
    pub fn read() -> Option<Self> {
        let mut buffer = [0u8; 512];
        let text = read_start(c"/proc/meminfo", &mut buffer)?;
        let free = field(text, "MemFree:")?;
        // Kernels before 3.14 do not have the line.
        let available = field(text, "MemAvailable:").unwrap_or(free);
        Some(Self { total: field(text, "MemTotal:")?, free, available })
    }
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

fn read_start<'a>(path: &CStr, buffer: &'a mut [u8]) -> Option<&'a str> {
    // SAFETY: plain system calls; the path is NUL-terminated and the buffer is ours with its own length.
    let got = unsafe {
        let fd = libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC, 0);
        if fd < 0 {
            return None;
        }
        let got = libc::syscall(libc::SYS_read, fd, buffer.as_mut_ptr(), buffer.len());
        libc::syscall(libc::SYS_close, fd);
        got
    };
    core::str::from_utf8(buffer.get(..usize::try_from(got).ok()?)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_memory() {
        let info = MemInfo::read().unwrap();
        assert!(info.total > info.free && info.free > 0, "{info:?}");
    }

    #[test]
    fn kilobytes_become_bytes() {
        assert_eq!(field("MemTotal:  5 kB\nMemFree: 3 kB\n", "MemFree:"), Some(3072));
        assert_eq!(field("MemTotal:  5 kB", "MemFree:"), None);
    }
}
