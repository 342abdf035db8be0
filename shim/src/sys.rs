//! System calls of our own. They bypass libc so that they never meet our hooks or another preload's, and leave `errno`
//! alone.

use crate::arch;
use crate::text::Text;
use core::ffi::CStr;

pub mod files;

/// A system call of five arguments or fewer; negative results are `-errno`.
///
/// # Safety
/// The caller guarantees that the arguments are what the kernel expects of `number`.
unsafe fn call(number: i64, a: usize, b: usize, c: usize, d: usize, e: usize) -> isize {
    // SAFETY: the caller answers for the arguments.
    unsafe { arch::call(number, [a, b, c, d, e]) }
}

const AT_FDCWD: usize = -100isize as usize;

/// Ends the process.
///
/// # Safety
/// Nothing runs after it: the caller has nothing left to do.
#[cfg(panic = "abort")]
pub unsafe fn exit_group(code: usize) -> ! {
    loop {
        // SAFETY: takes no pointer.
        unsafe { call(libc::SYS_exit_group, code, 0, 0, 0, 0) };
    }
}

/// Process id, asked of the kernel.
pub fn getpid() -> u32 {
    // SAFETY: takes no pointer.
    unsafe { call(libc::SYS_getpid, 0, 0, 0, 0, 0) as u32 }
}

/// Parent process id.
pub fn getppid() -> u32 {
    // SAFETY: takes no pointer.
    unsafe { call(libc::SYS_getppid, 0, 0, 0, 0, 0) as u32 }
}

/// Thread id.
pub fn gettid() -> u32 {
    // SAFETY: takes no pointer.
    unsafe { call(libc::SYS_gettid, 0, 0, 0, 0, 0) as u32 }
}

/// Gives the processor to another thread.
pub fn sched_yield() {
    // SAFETY: takes no pointer.
    unsafe { call(libc::SYS_sched_yield, 0, 0, 0, 0, 0) };
}

/// A path for the kernel: `bytes` must end in NUL, or the call is refused here.
fn c_path(bytes: &[u8]) -> Option<usize> {
    (bytes.last() == Some(&0)).then_some(bytes.as_ptr() as usize)
}

/// Opens a NUL-terminated path. Negative: `-errno`.
pub fn open(path: &[u8], flags: i32, mode: u32) -> i32 {
    let Some(path) = c_path(path) else { return -libc::EINVAL };
    // SAFETY: the path ends in NUL.
    unsafe { call(libc::SYS_openat, AT_FDCWD, path, (flags | libc::O_CLOEXEC) as usize, mode as usize, 0) as i32 }
}

/// Opens a NUL-terminated name in a directory for reading. Negative: `-errno`.
pub fn open_in(directory: i32, name: &[u8]) -> i32 {
    let Some(name) = c_path(name) else { return -libc::EINVAL };
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    // SAFETY: the name ends in NUL.
    unsafe { call(libc::SYS_openat, directory as usize, name, flags as usize, 0, 0) as i32 }
}

/// A directory to open files in, or to ask whether a path exists; it cannot be read. Negative: `-errno`.
pub fn open_path(path: &[u8]) -> i32 {
    open(path, libc::O_PATH, 0)
}

/// Fills `buf` with entries of a directory, as `getdents64` gives them. Negative: `-errno`.
pub fn entries(directory: i32, buf: &mut [u8]) -> isize {
    let (at, size) = (buf.as_mut_ptr() as usize, buf.len());
    // SAFETY: the buffer is ours for its whole length.
    unsafe { call(libc::SYS_getdents64, directory as usize, at, size, 0, 0) }
}

/// Makes a directory at a NUL-terminated path.
pub fn mkdir(path: &[u8], mode: u32) {
    if let Some(path) = c_path(path) {
        // SAFETY: the path ends in NUL.
        unsafe { call(libc::SYS_mkdirat, AT_FDCWD, path, mode as usize, 0, 0) };
    }
}

/// Reads at most `buf.len()` bytes. Negative: `-errno`.
pub fn read(fd: i32, buf: &mut [u8]) -> isize {
    // SAFETY: the buffer is ours for its whole length.
    unsafe { call(libc::SYS_read, fd as usize, buf.as_mut_ptr() as usize, buf.len(), 0, 0) }
}

/// Writes `bytes` in one call. Negative: `-errno`.
pub fn write(fd: i32, bytes: &[u8]) -> isize {
    // SAFETY: the buffer is readable for its whole length.
    unsafe { call(libc::SYS_write, fd as usize, bytes.as_ptr() as usize, bytes.len(), 0, 0) }
}

/// A new file in memory that is closed on exec. Negative: `-errno`.
pub fn memory_file(name: &CStr) -> i32 {
    // Where the machine asks for it; kernels before 6.3 do not know it.
    const MFD_NOEXEC_SEAL: u32 = 8;
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    let make = |flags: u32| {
        // SAFETY: the name ends in NUL.
        unsafe { call(libc::SYS_memfd_create, name.as_ptr() as usize, flags as usize, 0, 0, 0) as i32 }
    };
    match make(flags | MFD_NOEXEC_SEAL) {
        error if error == -libc::EINVAL => make(flags),
        fd => fd,
    }
}

/// Makes a file in memory one that nobody can change.
pub fn seal(fd: i32) {
    let seals = libc::F_SEAL_WRITE | libc::F_SEAL_GROW | libc::F_SEAL_SHRINK | libc::F_SEAL_SEAL;
    // SAFETY: takes no pointer.
    unsafe { call(libc::SYS_fcntl, fd as usize, libc::F_ADD_SEALS as usize, seals as usize, 0, 0) };
}

/// Opens a descriptor of ours once more, from its begin and as the program wants it: the lowest that is free. Negative:
/// `-errno`.
pub fn open_again(fd: i32, flags: i32) -> i32 {
    let path = descriptor_path(fd);
    // SAFETY: the path ends in NUL.
    unsafe { call(libc::SYS_openat, AT_FDCWD, path.get().as_ptr() as usize, flags as usize, 0, 0) as i32 }
}

/// Path of a descriptor of this process, NUL-terminated.
pub fn descriptor_path(fd: i32) -> Text<40> {
    let mut path = Text::new();
    path.push(b"/proc/self/fd/");
    path.push_number(fd as u32 as u64);
    path.push(b"\0");
    path
}

/// The calling thread's name.
pub fn thread_name(buf: &mut [u8; 16]) -> &[u8] {
    // SAFETY: the kernel writes 16 bytes.
    unsafe { call(libc::SYS_prctl, libc::PR_GET_NAME as usize, buf.as_mut_ptr() as usize, 0, 0, 0) };
    crate::text::until_nul(buf)
}

/// Closes a descriptor of ours.
pub fn close(fd: i32) {
    // SAFETY: takes no pointer; callers pass descriptors that they opened.
    unsafe { call(libc::SYS_close, fd as usize, 0, 0, 0, 0) };
}

/// Duplicates `fd` to the lowest free descriptor from `least`, close-on-exec.
pub fn dup_from(fd: i32, least: i32) -> i32 {
    // SAFETY: takes no pointer.
    unsafe { call(libc::SYS_fcntl, fd as usize, libc::F_DUPFD_CLOEXEC as usize, least as usize, 0, 0) as i32 }
}

/// Device and inode of a descriptor; `Err` is `-errno`.
pub fn identity(fd: i32) -> Result<(u64, u64), i32> {
    const AT_EMPTY_PATH: usize = 0x1000;
    const STATX_INO: usize = 0x100;
    /// `struct statx`: ino at byte 32, dev_major and dev_minor at 136.
    #[repr(C, align(8))]
    struct Statx([u8; 256]);
    let mut out = core::mem::MaybeUninit::<Statx>::uninit();
    // SAFETY: an empty path and a buffer of the size of struct statx.
    let rc = unsafe {
        call(libc::SYS_statx, fd as usize, c"".as_ptr() as usize, AT_EMPTY_PATH, STATX_INO, out.as_mut_ptr() as usize)
    };
    if rc < 0 {
        return Err(rc as i32);
    }
    let at = out.as_ptr().cast::<u8>();
    // SAFETY: the call succeeded, so the kernel wrote the whole structure; both offsets are inside it and aligned.
    unsafe { Ok((at.add(136).cast::<u64>().read(), at.add(32).cast::<u64>().read())) }
}

/// An anonymous private page of memory, or `None`.
pub fn page(size: usize) -> Option<*mut u8> {
    let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    let arguments = [0, size, prot as usize, flags as usize, usize::MAX, 0];
    // SAFETY: asks for a new mapping anywhere.
    let result = unsafe { arch::call6(libc::SYS_mmap, arguments) };
    (!(-4095..=0).contains(&result)).then_some(result as *mut u8)
}

/// Copies what this process has at `at` into `buf`, up to the first page that is not there; tells how much, or
/// `-errno`.
pub fn peek(at: usize, buf: &mut [u8]) -> isize {
    let to = [libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() }];
    let from = [libc::iovec { iov_base: at as *mut _, iov_len: buf.len() }];
    // SAFETY: the buffer is ours.
    unsafe { copy_guarded(getpid(), &to, &from) }
}

/// Soft and hard limit of a resource of this process.
pub fn limits(resource: i32) -> Option<(u64, u64)> {
    let mut limits = [0u64; 2];
    // SAFETY: asks only, and the kernel writes two 64-bit words.
    let rc = unsafe { call(libc::SYS_prlimit64, 0, resource as usize, 0, limits.as_mut_ptr() as usize, 0) };
    let [soft, hard] = limits;
    (rc == 0).then_some((soft, hard))
}

/// Asks that a fork child finds the range zeroed.
pub fn wipe_on_fork(at: *mut u8, size: usize) -> bool {
    const MADV_WIPEONFORK: usize = 18;
    /// No kernel knows it. Emulated ones (qemu-user 7) say yes to any advice, and do nothing.
    const NONSENSE: usize = 0x7f7f;
    // SAFETY: the range is a mapping of ours.
    let advise = |advice| unsafe { call(libc::SYS_madvise, at as usize, size, advice, 0, 0) == 0 };
    !advise(NONSENSE) && advise(MADV_WIPEONFORK)
}

/// Target of a symbolic link at a NUL-terminated path, cut to the buffer.
pub fn readlink<'b>(path: &[u8], buf: &'b mut [u8]) -> &'b [u8] {
    let Some(path) = c_path(path) else { return &[] };
    // SAFETY: the path ends in NUL and the buffer is ours.
    let size = unsafe { call(libc::SYS_readlinkat, AT_FDCWD, path, buf.as_mut_ptr() as usize, buf.len(), 0) };
    buf.get(..usize::try_from(size).unwrap_or(0)).unwrap_or_default()
}

/// The working directory; empty if it is longer than the buffer.
pub fn current_directory(buf: &mut [u8]) -> &[u8] {
    // SAFETY: the buffer is ours.
    let size = unsafe { call(libc::SYS_getcwd, buf.as_mut_ptr() as usize, buf.len(), 0, 0, 0) };
    crate::text::until_nul(buf.get(..usize::try_from(size).unwrap_or(0)).unwrap_or_default())
}

/// Host name, cut to the buffer.
pub fn host(buf: &mut [u8; 65]) -> &[u8] {
    let mut names = [0u8; 65 * 6];
    // SAFETY: struct utsname is six fields of 65 bytes.
    if unsafe { call(libc::SYS_uname, names.as_mut_ptr() as usize, 0, 0, 0, 0) } == 0
        && let Some(name) = names.get(65..130)
    {
        for (to, from) in buf.iter_mut().zip(name) {
            *to = *from;
        }
    }
    crate::text::until_nul(buf)
}

/// ns of `clock`.
pub fn clock(clock: i32) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one timespec. libc's version reads the kernel's page and makes no system call.
    unsafe { libc::clock_gettime(clock, &mut time) };
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}

/// How often this thread has given up the processor to wait for something.
pub fn waits() -> u64 {
    const RUSAGE_THREAD: usize = 1;
    // struct rusage: 18 words of 64 bits, the last but one is ru_nvcsw.
    let mut usage = [0u64; 18];
    // SAFETY: the kernel writes one struct rusage.
    unsafe { call(libc::SYS_getrusage, RUSAGE_THREAD, usage.as_mut_ptr() as usize, 0, 0, 0) };
    let [.., waits, _] = usage;
    waits
}

/// A whole small file, cut to the buffer; empty if it cannot be read.
pub fn read_file<'b>(path: &[u8], buf: &'b mut [u8]) -> &'b [u8] {
    load(open(path, libc::O_RDONLY, 0), buf).unwrap_or_default()
}

/// What `fd`, which [`open`] has just answered, can be read for, cut to the buffer; closes it. `Err` is an `errno`.
pub fn load(fd: i32, buf: &mut [u8]) -> Result<&[u8], i32> {
    if fd < 0 {
        return Err(fd.wrapping_neg());
    }
    let mut len = 0usize;
    let mut failure = 0;
    while let Some(room) = buf.get_mut(len..)
        && !room.is_empty()
    {
        match read(fd, room) {
            got if got > 0 => len = len.saturating_add(got as usize),
            got => {
                failure = (got as i32).wrapping_neg();
                break;
            }
        }
    }
    close(fd);
    if failure != 0 && len == 0 { Err(failure) } else { Ok(buf.get(..len).unwrap_or_default()) }
}

/// As [`load`], in one call: for files that the kernel gives whole, such as those with one figure.
pub fn load_once(fd: i32, buf: &mut [u8]) -> Result<&[u8], i32> {
    if fd < 0 {
        return Err(fd.wrapping_neg());
    }
    let got = read(fd, buf);
    close(fd);
    match usize::try_from(got) {
        Ok(len) => Ok(buf.get(..len).unwrap_or_default()),
        Err(_) => Err((got as i32).wrapping_neg()),
    }
}

/// Copies memory of process `pid`, which must share this one's, from the places in `from` to those in `to`, in order.
/// Tells how many bytes there were before the first that cannot be read; negative: `-errno`.
///
/// # Safety
/// The places in `to` are the caller's to write.
pub unsafe fn copy_guarded(pid: u32, to: &[libc::iovec], from: &[libc::iovec]) -> isize {
    let arguments = [pid as usize, to.as_ptr() as usize, to.len(), from.as_ptr() as usize, from.len(), 0];
    // SAFETY: the kernel checks every address in `from`, and the caller answers for those in `to`.
    unsafe { arch::call6(libc::SYS_process_vm_readv, arguments) }
}

/// Reads a descriptor from `offset` on, at most `buf.len()` bytes. Negative: `-errno`.
pub fn read_at(fd: i32, buf: &mut [u8], offset: usize) -> isize {
    // SAFETY: the buffer is ours for its whole length.
    unsafe { call(libc::SYS_pread64, fd as usize, buf.as_mut_ptr() as usize, buf.len(), offset, 0) }
}
