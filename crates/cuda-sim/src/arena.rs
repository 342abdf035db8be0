//! Where simulated device addresses lie: one sparse memory file per process.
//!
//! A file rather than anonymous memory for two reasons: physical allocations can be mapped at several addresses, and
//! the kernel tells how many of its bytes are really there. On a unified device those are already in the machine's
//! used memory, and must not be counted twice.

use crate::{Error, GRANULE, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// The file's size: never reached, since offsets are given out once and device memory is far smaller.
const LENGTH: u64 = 1 << 60;

/// A process's device memory.
#[derive(Debug)]
pub struct Arena {
    file: OwnedFd,
    next: AtomicU64,
}

impl Arena {
    /// A new, empty arena. [`Error::NotReady`] where the kernel gives no memory file.
    pub fn new() -> Result<Self> {
        // SAFETY: a NUL-terminated name; the descriptor is checked and owned by nobody else.
        let file = unsafe {
            let fd = libc::memfd_create(c"kvtrace-sim".as_ptr(), libc::MFD_CLOEXEC);
            if fd < 0 {
                return Err(Error::NotReady);
            }
            OwnedFd::from_raw_fd(fd)
        };
        // SAFETY: sets the size of our own file.
        if unsafe { libc::ftruncate(file.as_raw_fd(), LENGTH as libc::off_t) } != 0 {
            return Err(Error::NotReady);
        }
        Ok(Self { file, next: AtomicU64::new(0) })
    }

    /// Takes `size` bytes (whole granules) of the file and returns their offset.
    pub fn take(&self, size: u64) -> Result<u64> {
        let fits = |next: u64| next.checked_add(size).filter(|end| *end <= LENGTH);
        self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).map_err(|_| Error::OutOfMemory)
    }

    /// Gives the pages of `size` bytes at `offset` back to the machine.
    pub fn give_back(&self, offset: u64, size: u64) {
        empty(self.file(), offset, size);
    }

    /// The file itself.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Maps `size` bytes at `offset`, readable and writable, at an address that is a whole granule.
    pub fn map(&self, offset: u64, size: u64) -> Result<u64> {
        let address = reserve(size, GRANULE)?;
        self.map_at(address, offset, size).inspect_err(|_| release(address, size))?;
        Ok(address)
    }

    /// Maps `size` bytes at `offset` over the reserved range that starts at `address`.
    pub fn map_at(&self, address: u64, offset: u64, size: u64) -> Result<()> {
        map_file(self.file(), address, offset, size)
    }

    /// Bytes of the file that are really in memory.
    pub fn resident(&self) -> u64 {
        // SAFETY: fstat fills the structure that we own; zeros are a valid value of it.
        unsafe {
            let mut stat: libc::stat = core::mem::zeroed();
            if libc::fstat(self.file.as_raw_fd(), &mut stat) != 0 {
                return 0;
            }
            stat.st_blocks as u64 * 512
        }
    }
}

/// Maps `size` bytes at `offset` of an arena's file, ours or another process's, over the reserved range at `address`.
pub fn map_file(file: BorrowedFd<'_>, address: u64, offset: u64, size: u64) -> Result<()> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_FIXED | libc::MAP_NORESERVE;
    let (start, length, offset) = (address as *mut _, size as usize, offset as libc::off_t);
    // SAFETY: the caller reserved this range, so that MAP_FIXED replaces nothing but that reservation.
    let got = unsafe { libc::mmap(start, length, protection, flags, file.as_raw_fd(), offset) };
    if got == libc::MAP_FAILED { Err(Error::OutOfMemory) } else { Ok(()) }
}

/// Gives the pages of `size` bytes at `offset` of an arena's file back to the machine.
pub fn empty(file: BorrowedFd<'_>, offset: u64, size: u64) {
    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    // SAFETY: touches a file of this crate's only; mappings of the range, if any, read zeros from then on.
    unsafe { libc::fallocate(file.as_raw_fd(), mode, offset as libc::off_t, size as libc::off_t) };
}

/// What tells one memory file from the next.
pub fn inode(file: BorrowedFd<'_>) -> Result<u64> {
    // SAFETY: fstat fills the structure that we own; zeros are a valid value of it.
    unsafe {
        let mut stat: libc::stat = core::mem::zeroed();
        if libc::fstat(file.as_raw_fd(), &mut stat) == 0 { Ok(stat.st_ino) } else { Err(Error::InvalidValue) }
    }
}

/// Another description of the file behind a path below /proc, with a position of its own. A system call, so that a
/// preloaded library does not take it for the program's.
pub fn reopen(path: &str) -> Result<OwnedFd> {
    let path = std::ffi::CString::new(path).map_err(|_| Error::InvalidValue)?;
    // SAFETY: a NUL-terminated path; the descriptor is checked and owned by nobody else.
    unsafe {
        let fd = libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC, 0);
        if fd < 0 { Err(Error::NotSupported) } else { Ok(OwnedFd::from_raw_fd(fd as i32)) }
    }
}

/// Reserves `size` bytes of address space, aligned to `align` (a power of two), with no memory behind it.
pub fn reserve(size: u64, align: u64) -> Result<u64> {
    let align = align.max(GRANULE);
    let padded = size.checked_add(align).filter(|_| size > 0).ok_or(Error::InvalidValue)?;
    let start = anonymous(padded, libc::PROT_NONE)?;
    let address = start.next_multiple_of(align);
    release(start, address - start);
    release(address + size, start + padded - (address + size));
    Ok(address)
}

/// Ordinary zeroed memory of the process, not part of any arena.
pub fn anonymous(size: u64, protection: i32) -> Result<u64> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    let length = usize::try_from(size).map_err(|_| Error::OutOfMemory)?;
    // SAFETY: a new mapping at an address of the kernel's choice.
    let got = unsafe { libc::mmap(core::ptr::null_mut(), length, protection, flags, -1, 0) };
    if got == libc::MAP_FAILED { Err(Error::OutOfMemory) } else { Ok(got as u64) }
}

/// Ends the mapping or reservation of `size` bytes at `address`, which must be one of this module's.
pub fn release(address: u64, size: u64) {
    if size > 0 {
        // SAFETY: the ledger hands only ranges here that this module mapped and that it has forgotten.
        unsafe { libc::munmap(address as *mut _, size as usize) };
    }
}

/// Takes the memory away from a mapping and leaves the address space reserved.
pub fn withdraw(address: u64, size: u64) {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED;
    // SAFETY: the range lies in a reservation of this module; the caller says that nothing is mapped there any more.
    unsafe { libc::mmap(address as *mut _, size as usize, libc::PROT_NONE, flags, -1, 0) };
}
