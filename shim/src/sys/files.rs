//! System calls about the program's own files: who they are, and what of them is in the page cache.

use super::call;
use crate::arch;
use core::ffi::{CStr, c_char};

/// The working directory, as `*at` calls name it.
pub const HERE: i32 = -100;

/// What a file is.
#[derive(Clone, Copy)]
pub struct Stat {
    /// `MAJOR << 32 | MINOR`.
    pub device: u64,
    /// Inode.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// ns since 1970.
    pub mtime: u64,
    /// Owner.
    pub uid: u32,
    /// Whether it is a regular file.
    pub is_regular: bool,
}

/// What `cachestat` says of a file, in pages.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct CacheStat {
    /// In the page cache.
    pub cached: u64,
    /// To be written back.
    pub dirty: u64,
    writeback: u64,
    /// Were there, and are not any more.
    pub evicted: u64,
    recently_evicted: u64,
}

/// Of a path that the program passes. Negative numbers are `-errno`.
pub fn stat_at(dir: i32, path: &CStr) -> Result<Stat, i32> {
    statx(dir, path.as_ptr(), 0)
}

/// Of a descriptor.
pub fn stat(fd: i32) -> Result<Stat, i32> {
    const AT_EMPTY_PATH: usize = 0x1000;
    statx(fd, c"".as_ptr(), AT_EMPTY_PATH)
}

fn statx(dir: i32, path: *const c_char, flags: usize) -> Result<Stat, i32> {
    const STATX_BASIC_STATS: usize = 0x7ff;
    /// `struct statx`.
    #[repr(C, align(8))]
    struct Statx([u8; 256]);
    let mut out = core::mem::MaybeUninit::<Statx>::uninit();
    // SAFETY: the path ends in NUL, and the buffer has the size of struct statx.
    let rc = unsafe {
        call(libc::SYS_statx, dir as usize, path as usize, flags, STATX_BASIC_STATS, out.as_mut_ptr() as usize)
    };
    if rc < 0 {
        return Err(rc as i32);
    }
    let at = out.as_ptr().cast::<u8>();
    // SAFETY: the call succeeded, so the kernel wrote the whole structure; all offsets are inside it and aligned.
    let word = |offset: usize| unsafe { at.add(offset).cast::<u64>().read() };
    // SAFETY: as above.
    let half = |offset: usize| unsafe { at.add(offset).cast::<u32>().read() };
    let seconds = word(112);
    Ok(Stat {
        device: u64::from(half(136)) << 32 | u64::from(half(140)),
        inode: word(32),
        size: word(40),
        mtime: seconds.wrapping_mul(1_000_000_000).wrapping_add(half(120).into()),
        uid: half(20),
        is_regular: half(28) & libc::S_IFMT == libc::S_IFREG,
    })
}

/// Opens a file to look at it: without waiting, and without a new access time where we may. Negative: `-errno`.
pub fn look_into(dir: i32, path: &CStr) -> i32 {
    let flags = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;
    let open = |flags: i32| {
        // SAFETY: the path ends in NUL.
        unsafe { call(libc::SYS_openat, dir as usize, path.as_ptr() as usize, flags as usize, 0, 0) as i32 }
    };
    match open(flags | libc::O_NOATIME) {
        error if error == -libc::EPERM => open(flags),
        fd => fd,
    }
}

/// Closes what [`look_into`] opened. Closing any descriptor of a file takes its POSIX locks from the process: where
/// somebody holds one, the descriptor stays, and the answer is false.
pub fn close_unlocked(fd: i32) -> bool {
    const F_OFD_GETLK: usize = 36;
    // SAFETY: all zero is a valid struct flock.
    let mut lock: libc::flock = unsafe { core::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as i16;
    // A lock of our own descriptor would meet those of every process, this one's too.
    // SAFETY: the kernel reads and writes one struct flock.
    let rc = unsafe { call(libc::SYS_fcntl, fd as usize, F_OFD_GETLK, (&raw mut lock) as usize, 0, 0) };
    if rc == 0 && lock.l_type != libc::F_UNLCK as i16 {
        return false;
    }
    super::close(fd);
    true
}

/// Reads at `offset`. Negative: `-errno`.
pub fn read_at(fd: i32, buf: &mut [u8], offset: u64) -> isize {
    // SAFETY: the buffer is ours for its whole length.
    unsafe { call(libc::SYS_pread64, fd as usize, buf.as_mut_ptr() as usize, buf.len(), offset as usize, 0) }
}

/// Asks that reading from this descriptor of ours brings in what is read and no more.
pub fn read_exactly(fd: i32) {
    // SAFETY: takes no pointer.
    unsafe { call(libc::SYS_fadvise64, fd as usize, 0, 0, libc::POSIX_FADV_RANDOM as usize, 0) };
}

/// Advises the kernel that nobody needs the pages of the file.
pub fn evict(fd: i32) {
    // SAFETY: takes no pointer.
    unsafe { call(libc::SYS_fadvise64, fd as usize, 0, 0, libc::POSIX_FADV_DONTNEED as usize, 0) };
}

/// What of a file is in the page cache, all of it. `Err` is `-errno`.
pub fn cachestat(fd: i32) -> Result<CacheStat, i32> {
    const SYS_CACHESTAT: i64 = 451;
    let (range, mut out) = ([0u64; 2], CacheStat::default());
    // SAFETY: a range of two words, and room for struct cachestat.
    let rc = unsafe { call(SYS_CACHESTAT, fd as usize, range.as_ptr() as usize, (&raw mut out) as usize, 0, 0) };
    if rc == 0 { Ok(out) } else { Err(rc as i32) }
}

/// Which pages of the mapping at `at` are in memory, a byte each. `Err` is `-errno`.
pub fn mincore(at: usize, size: usize, pages: &mut [u8]) -> Result<(), i32> {
    if pages.len() < size.div_ceil(4096) {
        return Err(-libc::EINVAL);
    }
    // SAFETY: the vector has a byte for each page of the smallest size.
    let rc = unsafe { call(libc::SYS_mincore, at, size, pages.as_mut_ptr() as usize, 0, 0) };
    if rc == 0 { Ok(()) } else { Err(rc as i32) }
}

/// Maps a piece of a file to look at its pages with [`mincore`]; nothing of it can be touched.
pub fn map(fd: i32, offset: u64, size: usize) -> Option<usize> {
    let arguments = [0, size, libc::PROT_NONE as usize, libc::MAP_SHARED as usize, fd as usize, offset as usize];
    // SAFETY: asks for a new mapping anywhere.
    let result = unsafe { arch::call6(libc::SYS_mmap, arguments) };
    (!(-4095..=0).contains(&result)).then_some(result as usize)
}

/// Takes away what [`map`] made.
pub fn unmap(at: usize, size: usize) {
    // SAFETY: a mapping of ours that nobody else knows.
    unsafe { call(libc::SYS_munmap, at, size, 0, 0, 0) };
}

/// Whether this process may write to the file, by its effective ids.
pub fn may_write(dir: i32, path: &CStr) -> bool {
    const SYS_FACCESSAT2: i64 = 439;
    const AT_EACCESS: usize = 0x200;
    // SAFETY: the path ends in NUL.
    unsafe { call(SYS_FACCESSAT2, dir as usize, path.as_ptr() as usize, libc::W_OK as usize, AT_EACCESS, 0) == 0 }
}

/// Effective user id.
pub fn user() -> u32 {
    // SAFETY: takes no pointer.
    unsafe { call(libc::SYS_geteuid, 0, 0, 0, 0, 0) as u32 }
}

/// Kind of the file system that a descriptor lies on, as `statfs` numbers them; 0 if it does not say.
pub fn file_system(fd: i32) -> u64 {
    let mut out = [0u64; 15];
    // SAFETY: struct statfs is 15 words.
    let rc = unsafe { call(libc::SYS_fstatfs, fd as usize, out.as_mut_ptr() as usize, 0, 0, 0) };
    let [kind, ..] = out;
    if rc == 0 { kind } else { 0 }
}
