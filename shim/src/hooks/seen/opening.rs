//! Files that are about to be opened: those about memory are logged, and opened from memory where the user wants other
//! figures in them; those of a model's weights are noted. All others pass.

use super::{FOPEN, FREOPEN, LOWEST_POINTER, ready, row};
use crate::effect::Call;
use crate::patch::{self, Asker};
use crate::sys::files::HERE;
use crate::weights::{self, name};
use crate::{arch, helper, python, sys, view};
use core::ffi::{CStr, c_char, c_int, c_void};
use core::sync::atomic::{AtomicUsize, Ordering};

const MEMINFO: &[u8] = b"/proc/meminfo";
const CGROUP: &[u8] = b"/sys/fs/cgroup/";
const MEMORY_FILE: &[u8] = b"memory.";

pub unsafe extern "C" fn opens(path: *const c_char, flags: usize, _: usize, return_address: usize) -> usize {
    ready();
    let flags = flags as c_int;
    let mine = note_file(Opening { dir: HERE, path, flags: Flags::Bits(flags), function: "open", return_address });
    opened_again(mine, flags)
}

pub unsafe extern "C" fn opens_at(dir: usize, path: *const c_char, flags: usize, return_address: usize) -> usize {
    ready();
    let flags = flags as c_int;
    let opening = Opening { dir: dir as c_int, path, flags: Flags::Bits(flags), function: "openat", return_address };
    opened_again(note_file(opening), flags)
}

/// Gives the program a file of ours to read in place of the one that it wanted.
#[inline]
fn opened_again(mine: Option<c_int>, flags: c_int) -> usize {
    let Some(fd) = mine else { return 0 };
    let again = sys::open_again(fd, flags & !libc::O_NOFOLLOW);
    sys::close(fd);
    // Where that fails the kernel's file is opened after all.
    usize::try_from(again).map_or(0, |fd| fd.wrapping_add(1))
}

type OpenStream = unsafe extern "C" fn(*const c_char, *const c_char, *mut c_void) -> usize;

pub unsafe extern "C" fn opens_stream(
    path: *const c_char,
    mode: *const c_char,
    _: usize,
    return_address: usize,
) -> usize {
    ready();
    let mine = note_file(Opening { dir: HERE, path, flags: Flags::Mode(mode), function: "fopen", return_address });
    stream_again(mine, &FOPEN, mode, core::ptr::null_mut())
}

pub unsafe extern "C" fn reopens_stream(
    path: *const c_char,
    mode: *const c_char,
    stream: *mut c_void,
    return_address: usize,
) -> usize {
    ready();
    let mine = note_file(Opening { dir: HERE, path, flags: Flags::Mode(mode), function: "fopen", return_address });
    stream_again(mine, &FREOPEN, mode, stream)
}

/// As [`opened_again`], as a stream.
#[inline]
fn stream_again(mine: Option<c_int>, slot: &AtomicUsize, mode: *const c_char, stream: *mut c_void) -> usize {
    let Some(fd) = mine else { return 0 };
    let path = sys::descriptor_path(fd);
    // SAFETY: the slot holds the real function, which ignores the last argument if it is fopen; the path ends in NUL, and
    // the rest is the program's.
    let again = unsafe {
        core::mem::transmute::<usize, OpenStream>(slot.load(Ordering::Acquire))(
            path.get().as_ptr().cast(),
            mode,
            stream,
        )
    };
    sys::close(fd);
    // A stream is an address, and NULL is 0: the real function then fails for itself.
    if again == 0 { 0 } else { again.wrapping_add(1) }
}

/// A file that is about to be opened.
struct Opening {
    dir: c_int,
    path: *const c_char,
    flags: Flags,
    function: &'static str,
    return_address: usize,
}

/// How, as the program says it.
enum Flags {
    Bits(c_int),
    /// Of a stream: `r`, `w+`, ...
    Mode(*const c_char),
}

impl Flags {
    fn bits(self) -> c_int {
        let mode = match self {
            Flags::Bits(bits) => return bits,
            Flags::Mode(mode) if mode as isize >= LOWEST_POINTER => mode,
            Flags::Mode(_) => return libc::O_WRONLY,
        };
        // SAFETY: the program passes a mode.
        let mode = unsafe { CStr::from_ptr(mode) }.to_bytes();
        match (mode.first(), mode.contains(&b'+')) {
            (Some(b'r'), false) => libc::O_RDONLY,
            (Some(b'r'), true) => libc::O_RDWR,
            _ => libc::O_WRONLY,
        }
    }
}

/// Logs the opening of a memory file, with what it says at this instant, and of a file of weights. Everything else
/// passes: this runs in signal handlers, vfork children and before constructors. The answer is a descriptor of ours with
/// what the program shall read instead, if it shall.
#[inline]
fn note_file(opening: Opening) -> Option<c_int> {
    let path = opening.path;
    if (path as isize) < LOWEST_POINTER {
        return None;
    }
    // SAFETY: byte by byte up to the first difference, so that nothing behind the path's end is read.
    let starts_with =
        |prefix: &[u8]| prefix.iter().enumerate().all(|(index, byte)| unsafe { path.add(index).read() as u8 } == *byte);
    let meminfo = starts_with(MEMINFO);
    if !meminfo && !starts_with(CGROUP) {
        // SAFETY: the program passes a path.
        if unsafe { name::may_be(path) } {
            note_weights(opening);
        }
        return None;
    }
    // SAFETY: the program passes a path.
    let path = unsafe { CStr::from_ptr(path) };
    let bytes = path.to_bytes();
    let wanted = if meminfo { bytes == MEMINFO } else { crate::text::base_name(bytes).starts_with(MEMORY_FILE) };
    if wanted && !helper::is_asking() { note_memory_file(path, meminfo, opening) } else { None }
}

#[cold]
fn note_weights(opening: Opening) {
    let Opening { dir, path, flags, function, return_address } = opening;
    // SAFETY: the program passes a path.
    weights::opened(dir, unsafe { CStr::from_ptr(path) }, flags.bits(), function, return_address);
}

#[cold]
fn note_memory_file(path: &CStr, meminfo: bool, opening: Opening) -> Option<c_int> {
    let call = Call::seen(row!("open", super::open), opening.return_address);
    let number = call.file(path, !meminfo);
    if meminfo && number != 0 {
        view::write(number, view::Asked::File);
        if arch::thread().depth.get() == 0 {
            python::stack(number);
        }
    }
    let reads = opening.flags.bits() & (libc::O_ACCMODE | libc::O_PATH | libc::O_DIRECTORY) == libc::O_RDONLY;
    if !reads {
        return None;
    }
    let asker = Asker::new(&call, -1);
    match meminfo {
        true => patch::meminfo(&asker, number),
        false => patch::cgroup(&asker, path.to_bytes_with_nul(), crate::text::base_name(path.to_bytes()), number),
    }
}
