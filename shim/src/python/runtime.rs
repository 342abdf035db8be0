//! Finding the CPython in the process, be it the program itself, a library of its or one that was loaded late.

use super::guard::Memory;
use super::layout::{self, Layout};
use crate::modules::Found;
use crate::process::Process;
use crate::{elf, sys};
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// `_PyRuntime`, while its module stays.
static RUNTIME: Found = Found::new();
/// `PyCode_Type`, `PyUnicode_Type` and `PyBytes_Type`.
static TYPES: [AtomicUsize; 3] = [const { AtomicUsize::new(0) }; 3];
/// `PY_VERSION_HEX`.
static VERSION: AtomicU32 = AtomicU32::new(0);
/// The loader's count of loaded modules when there was no CPython among them, plus 1.
static WITHOUT: AtomicU64 = AtomicU64::new(0);

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

/// Whether there is a CPython. Costs a walk through all modules at first and after others were loaded.
pub fn is_there(process: &Process) -> bool {
    RUNTIME.get().is_some() || search(process).is_some()
}

/// The CPython that [`is_there`], if it is of a version that is known.
pub fn known(memory: &Memory) -> Option<Runtime> {
    let at = RUNTIME.get()?;
    let layout = layout::of(memory, at, VERSION.load(Ordering::Relaxed))?;
    let [code, text, bytes] = TYPES.each_ref().map(|address| address.load(Ordering::Relaxed));
    Some(Runtime { at, layout, code, text, bytes })
}

fn search(process: &Process) -> Option<()> {
    let without = WITHOUT.load(Ordering::Relaxed);
    // Where the loader has a lock, a fork child takes it no more often than it must.
    if without != 0 && process.forked_from.load(Ordering::Relaxed) != 0 {
        return None;
    }
    let loads = elf::walk(&mut |module| Some(module.loads())).unwrap_or(0).wrapping_add(1);
    if without == loads {
        return None;
    }
    // In the loader's order of search, so that data which the program has a copy of is found where it is used.
    let first = |name: &[u8]| elf::walk(&mut |module| module.symbol(name));
    let Some(at) = first(b"_PyRuntime") else {
        WITHOUT.store(loads, Ordering::Relaxed);
        return None;
    };
    for (address, name) in TYPES.iter().zip([&b"PyCode_Type"[..], b"PyUnicode_Type", b"PyBytes_Type"]) {
        address.store(first(name).unwrap_or(0), Ordering::Relaxed);
    }
    let version = match first(b"Py_Version") {
        Some(at) => final_version(at),
        // Both came with a version: this one with 3.10, the other with 3.11.
        None if first(b"PyIter_Send").is_some() => 0x030a_00f0,
        None => 0,
    };
    VERSION.store(version, Ordering::Relaxed);
    RUNTIME.set(at);
    Some(())
}

/// The version that stands at `at`, 0 if it is none or not that of a final release.
fn final_version(at: usize) -> u32 {
    let version = Memory::new().and_then(|memory| memory.word(at)).and_then(|version| u32::try_from(version).ok());
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
