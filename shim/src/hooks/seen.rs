//! Calls of which few are ours: opening a file, mapping it and giving advice about it, becoming another program, looking
//! up a symbol, `sysconf`, limits. All others are handed on untouched, and the real function returns to the caller
//! itself.

mod opening;

use crate::answer::query_machine;
use crate::effect::Call;
use crate::hooks::{Effect, host};
use crate::resolve::{self, Answer};
use crate::trace::Event;
use crate::weights;
use crate::weights::uses::{self, How, Use};
use crate::{arch, elf, helper, process, sys};
use core::ffi::{CStr, c_char, c_int, c_long, c_void};
use core::sync::atomic::{AtomicUsize, Ordering};

/// No program owns memory below, nor in the half of the kernel, which is negative here; passing such a pointer is how
/// tests ask for EFAULT.
const LOWEST_POINTER: isize = 65536;

/// The real functions. The stubs jump through them, so a slot is filled before its first use.
macro_rules! seen {
    ($($symbol:ident $slot:ident $filter:path => $effect:ident $($all:ident)?;)*) => {
        $(
            static $slot: AtomicUsize = AtomicUsize::new(0);
            stub!($symbol, $filter, $slot $(, $all)?);
        )*
        /// Their names, and what the calls that are ours do.
        pub static NAMES: &[(&str, Effect)] = &[$((stringify!($symbol), Effect::$effect)),*];

        /// Finds what stands behind the stubs.
        pub fn prepare() {
            $(find(&$slot, stringify!($symbol).as_bytes());)*
        }
    };
}

/// `all`: the filter looks at more than three arguments.
macro_rules! stub {
    ($symbol:ident, $filter:path, $slot:ident) => {
        arch::filter_stub!($symbol, $filter, $slot);
    };
    ($symbol:ident, $filter:path, $slot:ident, all) => {
        arch::filter_all_stub!($symbol, $filter, $slot);
    };
}

/// What a hook of the table has by its row.
macro_rules! row {
    ($name:literal, $stub:path) => {{
        static HOOK: $crate::hooks::Hook = $crate::hooks::Hook {
            symbol: $name,
            name: $name,
            layer: $crate::hooks::Layer::Libc,
            versions: (0, 0),
            per_thread: false,
            effect: $crate::hooks::Effect::Asks,
            arguments: "",
            stub: $stub,
            found_stub: $stub,
            own: $crate::modules::Found::new(),
            behind: once_cell::race::OnceNonZeroUsize::new(),
        };
        &HOOK
    }};
}
use row;

seen! {
    open OPEN opening::opens => Opens;
    open64 OPEN64 opening::opens => Opens;
    __open_2 OPEN_2 opening::opens => Opens;
    __open64_2 OPEN64_2 opening::opens => Opens;
    openat OPENAT opening::opens_at => Opens;
    openat64 OPENAT64 opening::opens_at => Opens;
    __openat_2 OPENAT_2 opening::opens_at => Opens;
    __openat64_2 OPENAT64_2 opening::opens_at => Opens;
    fopen FOPEN opening::opens_stream => Opens;
    fopen64 FOPEN64 opening::opens_stream => Opens;
    freopen FREOPEN opening::reopens_stream => Opens;
    freopen64 FREOPEN64 opening::reopens_stream => Opens;
    mmap MMAP maps => Uses all;
    mmap64 MMAP64 maps_64 => Uses all;
    posix_fadvise FADVISE advises => Uses all;
    posix_fadvise64 FADVISE64 advises => Uses all;
    madvise MADVISE advises_memory => Uses;
    posix_madvise POSIX_MADVISE advises_memory_posix => Uses;
    execve EXECVE executes => Execs;
    execv EXECV executes => Execs;
    execvp EXECVP executes => Execs;
    execvpe EXECVPE executes => Execs;
    sysconf SYSCONF configures => Asks;
    get_avphys_pages AVPHYS_PAGES counts_free => Asks;
    get_phys_pages PHYS_PAGES counts_all => Asks;
    getrlimit GETRLIMIT limits => Asks;
    getrlimit64 GETRLIMIT64 limits => Asks;
    prlimit PRLIMIT limits_of => Asks;
    prlimit64 PRLIMIT64 limits_of => Asks;
    dlsym DLSYM looks_up => LooksUp;
    dlvsym DLVSYM looks_up_version => LooksUp;
}

/// Where a libc lacks the function (musl has no `__open_2`, and nobody there calls it).
extern "C" fn missing() -> c_int {
    -1
}

#[cold]
fn find(slot: &AtomicUsize, symbol: &[u8]) {
    let found = elf::next(symbol).unwrap_or(missing as *const () as usize);
    slot.store(found, Ordering::Release);
}

/// A library that the loader initialises before this one may call a stub before the constructor ran.
fn ready() {
    if DLVSYM.load(Ordering::Acquire) == 0 {
        resolve::prepare();
    }
}

type Map = unsafe extern "C" fn(usize, usize, c_int, c_int, c_int, usize) -> usize;

unsafe extern "C" fn maps(
    at: usize,
    size: usize,
    protection: usize,
    flags: usize,
    fd: usize,
    offset: usize,
    return_address: usize,
) -> usize {
    map(&MMAP, (at, size, protection as c_int, flags as c_int, fd as c_int, offset), return_address)
}

unsafe extern "C" fn maps_64(
    at: usize,
    size: usize,
    protection: usize,
    flags: usize,
    fd: usize,
    offset: usize,
    return_address: usize,
) -> usize {
    map(&MMAP64, (at, size, protection as c_int, flags as c_int, fd as c_int, offset), return_address)
}

/// Allocators map memory all day, and early: that goes by at once. The mapping of a file of weights is made here, to
/// learn where it is.
#[inline]
fn map(
    slot: &AtomicUsize,
    (at, size, protection, flags, fd, offset): (usize, usize, c_int, c_int, c_int, usize),
    return_address: usize,
) -> usize {
    ready();
    if flags & libc::MAP_ANONYMOUS != 0 || fd < 0 {
        return 0;
    }
    let Some((table, file)) = uses::file_of(fd) else { return 0 };
    let site = weights::site("mmap", return_address);
    // SAFETY: the slot holds the real mmap, and the arguments are the program's.
    let start = unsafe {
        core::mem::transmute::<usize, Map>(slot.load(Ordering::Acquire))(at, size, protection, flags, fd, offset)
    };
    if start != usize::MAX {
        let what = Use { how: How::Map, at: offset as u64, size: size as u64, number: flags as u32 };
        uses::mapped(table, file, start, &what, &site);
    }
    // A failure is 0 here: the real function then fails once more.
    start.wrapping_add(1)
}

unsafe extern "C" fn advises(
    fd: usize,
    offset: usize,
    size: usize,
    advice: usize,
    _: usize,
    _: usize,
    return_address: usize,
) -> usize {
    ready();
    if let Some((table, file)) = uses::file_of(fd as c_int) {
        let what = Use { how: How::FileAdvice, at: offset as u64, size: size as u64, number: advice as u32 };
        uses::note(table, file, &what, &weights::site("posix_fadvise", return_address));
    }
    0
}

unsafe extern "C" fn advises_memory(at: usize, size: usize, advice: usize, return_address: usize) -> usize {
    ready();
    uses::advised(at, size, advice as u32, "madvise", return_address);
    0
}

unsafe extern "C" fn advises_memory_posix(at: usize, size: usize, advice: usize, return_address: usize) -> usize {
    ready();
    uses::advised(at, size, advice as u32, "posix_madvise", return_address);
    0
}

unsafe extern "C" fn executes(path: *const c_char, _: usize, _: usize, _: usize) -> usize {
    ready();
    // A vfork child borrows this memory, its parent's trace included, but is not the process that the trace is about.
    if path as isize >= LOWEST_POINTER && process::is_tracing() {
        // SAFETY: the program passes a path.
        let path = unsafe { CStr::from_ptr(path) }.to_bytes();
        if let Some(mut event) = Event::begin("exec", sys::clock(libc::CLOCK_MONOTONIC)) {
            event.write(|line| {
                line.text("path", path);
            });
        }
    }
    0
}

unsafe extern "C" fn configures(name: usize, _: usize, _: usize, return_address: usize) -> usize {
    ready();
    // The upper half of the register is not part of an int.
    let name = name as c_int;
    if name != libc::_SC_AVPHYS_PAGES && name != libc::_SC_PHYS_PAGES || helper::is_asking() {
        return 0;
    }
    // SAFETY: the slot holds the real sysconf.
    let real: extern "C" fn(c_int) -> c_long = unsafe { core::mem::transmute(SYSCONF.load(Ordering::Acquire)) };
    let call = Call::seen(row!("sysconf", sysconf), return_address);
    count_pages(call, name == libc::_SC_AVPHYS_PAGES, || real(name))
}

unsafe extern "C" fn counts_free(_: usize, _: usize, _: usize, return_address: usize) -> usize {
    ready();
    // SAFETY: the slot holds the real get_avphys_pages.
    let real: extern "C" fn() -> c_long = unsafe { core::mem::transmute(AVPHYS_PAGES.load(Ordering::Acquire)) };
    count_pages(Call::seen(row!("get_avphys_pages", get_avphys_pages), return_address), true, || real())
}

unsafe extern "C" fn counts_all(_: usize, _: usize, _: usize, return_address: usize) -> usize {
    ready();
    // SAFETY: the slot holds the real get_phys_pages.
    let real: extern "C" fn() -> c_long = unsafe { core::mem::transmute(PHYS_PAGES.load(Ordering::Acquire)) };
    count_pages(Call::seen(row!("get_phys_pages", get_phys_pages), return_address), false, || real())
}

/// libc is asked for a number of pages: those that are free, or all.
fn count_pages(mut call: Call, is_free: bool, real: impl FnOnce() -> c_long) -> usize {
    let mut pages = real();
    call.returned();
    let bytes = host::bytes(pages);
    let answer = match is_free {
        true => query_machine(&call, 0, bytes, None).0,
        false => query_machine(&call, 0, None, bytes).1,
    };
    if answer != bytes
        && let Some(answer) = answer
    {
        pages = host::pages(answer);
    }
    // Of the answers only -1 cannot be given this way: the real function then gives it once more.
    pages.wrapping_add(1) as usize
}

unsafe extern "C" fn limits(resource: usize, _: usize, _: usize, return_address: usize) -> usize {
    ready();
    note_limit(resource, return_address);
    0
}

/// Of this process and without a new limit: then it is a question.
unsafe extern "C" fn limits_of(pid: usize, resource: usize, new: *const c_void, return_address: usize) -> usize {
    ready();
    if new.is_null() && (pid as c_int == 0 || pid as u32 == sys::getpid()) {
        note_limit(resource, return_address);
    }
    0
}

/// Logs the limits that bound memory, in a trace that was begun: `sort` and shells ask for them too. They are read here
/// once more: the answer goes to the program alone.
fn note_limit(resource: usize, return_address: usize) {
    const OF_MEMORY: [(u32, &str); 3] =
        [(libc::RLIMIT_AS, "as"), (libc::RLIMIT_DATA, "data"), (libc::RLIMIT_MEMLOCK, "memlock")];
    let Some((number, name)) = OF_MEMORY.iter().find(|(number, _)| *number == resource as u32) else { return };
    if !process::is_tracing() {
        return;
    }
    if let Some((soft, hard)) = sys::limits(*number as i32) {
        Call::seen(row!("getrlimit", getrlimit), return_address).limit(name, soft, hard);
    }
}

unsafe extern "C" fn looks_up(handle: usize, name: *const c_char, _: usize, return_address: usize) -> usize {
    ready();
    answer(resolve::by_name(handle, name, return_address, |handle, name| {
        // SAFETY: the slot holds the real dlsym, and the arguments are the program's.
        unsafe { core::mem::transmute::<usize, DlSym>(DLSYM.load(Ordering::Acquire))(handle, name) }
    }))
}

unsafe extern "C" fn looks_up_version(
    handle: usize,
    name: *const c_char,
    version: *const c_char,
    return_address: usize,
) -> usize {
    ready();
    answer(resolve::by_name(handle, name, return_address, |handle, name| {
        // SAFETY: the slot holds the real dlvsym, and the arguments are the program's.
        unsafe { core::mem::transmute::<usize, DlVSym>(DLVSYM.load(Ordering::Acquire))(handle, name, version) }
    }))
}

/// As a filter gives it to its stub: 0 to hand on, else one more than the answer.
fn answer(answer: Answer) -> usize {
    match answer {
        Answer::HandOn => 0,
        Answer::Address(address) => address.wrapping_add(1),
    }
}

type DlSym = unsafe extern "C" fn(usize, *const c_char) -> usize;
type DlVSym = unsafe extern "C" fn(usize, *const c_char, *const c_char) -> usize;
