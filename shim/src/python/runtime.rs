//! Finding the CPython in the process, be it the program itself, a library of its or one that was loaded late.

use super::guard::Memory;
use super::layout::{self, Layout};
use crate::elf::Module;
use crate::modules::Found;
use crate::process::Process;
use crate::text::{base_name, until_nul};
use crate::{modules, resolve, sys};
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// `_PyRuntime`, while its module stays.
static RUNTIME: Found = Found::new();
/// `PyCode_Type`, `PyUnicode_Type` and `PyBytes_Type`.
static TYPES: [AtomicUsize; 3] = [const { AtomicUsize::new(0) }; 3];
/// `PY_VERSION_HEX`.
static VERSION: AtomicU32 = AtomicU32::new(0);
/// The last entry of the loader's list when there was no CPython in it, and what it was about. New ones come behind it.
static LAST: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

/// Modules that are looked at, at most.
const MOST_MODULES: usize = 8192;
/// In `struct r_debug`: the first module, and whether the list is whole.
const FIRST: usize = 8;
const STATE: usize = 24;
/// In `struct link_map`: name, dynamic section, and the next one.
const LINK: [usize; 3] = [8, 16, 24];

/// A CPython whose layout is known.
pub struct Runtime {
    /// Address of `_PyRuntime`.
    pub at: usize,
    /// Where it keeps what.
    pub layout: Layout,
    /// Address of the type of code objects.
    pub code: usize,
    /// That of strings.
    pub text: usize,
    /// That of bytes objects.
    pub bytes: usize,
}

/// What [`resolve::lookups`] said at the last search, plus 1.
static SEARCHED: AtomicU64 = AtomicU64::new(0);

/// Whether there is a CPython. Costs a walk through all modules at first and after others were loaded, and nothing where
/// the program has looked nothing up since: a CPython that was loaded late is called by what was looked up in it.
pub fn is_there() -> bool {
    if RUNTIME.get().is_some() {
        return true;
    }
    let now = resolve::lookups().wrapping_add(1);
    if SEARCHED.load(Ordering::Relaxed) == now {
        return false;
    }
    let found = Memory::new().and_then(|memory| search(&memory)).is_some();
    SEARCHED.store(now, Ordering::Relaxed);
    found
}

/// The CPython that [`is_there`], if it is of a version that is known.
pub fn known(memory: &Memory) -> Option<Runtime> {
    let at = RUNTIME.get()?;
    let layout = layout::of(memory, at, VERSION.load(Ordering::Relaxed))?;
    let [code, text, bytes] = TYPES.each_ref().map(|address| address.load(Ordering::Relaxed));
    Some(Runtime { at, layout, code, text, bytes })
}

/// Looks for it in the program and in what is called like its library. The loader's own walk takes a lock, for which a
/// fork child may wait for ever; its list is read without one instead, as if it could lead anywhere.
fn search(memory: &Memory) -> Option<()> {
    let [last, about] = LAST.each_ref().map(|word| word.load(Ordering::Relaxed));
    if last != 0 && memory.words(last, LINK).is_some_and(|[_, dynamic, next]| next == 0 && dynamic == about) {
        return None;
    }
    let list = modules::list()?;
    let mut link = memory.word(list.checked_add(FIRST)?)?;
    let (mut last, mut is_program) = ([0, 0], true);
    for _ in 0..MOST_MODULES {
        if link == 0 {
            break;
        }
        let [name, dynamic, next] = memory.words(link, LINK)?;
        if (is_program || is_library(memory, name))
            && modules::show(dynamic, |module| take(memory, module)).flatten().is_some()
        {
            return Some(());
        }
        is_program = false;
        last = [link, dynamic];
        link = next;
    }
    // While a module is being loaded or unloaded the list is looked at once more the next time.
    if memory.word(list.checked_add(STATE)?)? as u32 == 0 {
        for (word, value) in LAST.iter().zip(last) {
            word.store(value, Ordering::Relaxed);
        }
    }
    None
}

/// Whether the file of this name is CPython's library.
fn is_library(memory: &Memory, name: usize) -> bool {
    let mut path = [0u8; 512];
    let got = memory.read(name, &mut path);
    base_name(until_nul(path.get(..got).unwrap_or_default())).starts_with(b"libpython")
}

/// Notes where things are in a module that is CPython.
fn take(memory: &Memory, module: Module) -> Option<()> {
    let at = module.symbol(b"_PyRuntime")?;
    for (address, name) in TYPES.iter().zip([&b"PyCode_Type"[..], b"PyUnicode_Type", b"PyBytes_Type"]) {
        address.store(module.symbol(name).unwrap_or(0), Ordering::Relaxed);
    }
    let version = match module.symbol(b"Py_Version") {
        Some(at) => final_version(memory, at),
        // Both came with a version: this one with 3.10, the other with 3.11.
        None if module.symbol(b"PyIter_Send").is_some() => 0x030a_00f0,
        None => 0,
    };
    VERSION.store(version, Ordering::Relaxed);
    RUNTIME.set(at);
    Some(())
}

/// The version that stands at `at`, 0 if it is none or not that of a final release.
fn final_version(memory: &Memory, at: usize) -> u32 {
    let version = memory.word(at).and_then(|version| u32::try_from(version).ok());
    version.filter(|version| version & 0xf0 == 0xf0).unwrap_or(0)
}

/// The calling thread, as `pthread_self` names it.
pub fn this_thread() -> usize {
    // SAFETY: takes no argument and reads a register.
    unsafe { libc::pthread_self() as usize }
}

/// The id by which the kernel knows the calling thread, if it is the one that it had when Python began it: a child of
/// `fork` or `vfork` goes on as a thread of its parent.
pub fn kernel_thread(process: &Process, memory: &Memory) -> Option<usize> {
    let original = process.forked_from.load(Ordering::Relaxed) == 0 && memory.pid() == crate::process::pid();
    original.then(|| sys::gettid() as usize)
}
