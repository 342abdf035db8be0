//! Functions that a program looks up rather than links, by `dlsym`, `dlvsym` and HIP's own lookups. The real lookup
//! always comes first; only what it found is ever replaced, and only by the wrapper of that very symbol.

use crate::effect::Call;
use crate::elf;
use crate::hooks::{self, Hook, Layer, seen};
use crate::modules;
use core::ffi::{CStr, c_char};
use core::num::NonZeroUsize;
use core::sync::atomic::{AtomicU64, Ordering};
use once_cell::race::OnceNonZeroUsize;

const RTLD_DEFAULT: usize = 0;
const RTLD_NEXT: usize = usize::MAX;

/// One bit per hash of a name in the table: most names that a program looks up are none of ours.
static NAMES: [AtomicU64; 256] = [const { AtomicU64::new(0) }; 256];

/// How many modules the process started with: the first ones of the loader's list, in the scope that all share.
static STARTED: OnceNonZeroUsize = OnceNonZeroUsize::new();

fn started() -> usize {
    STARTED.get().map_or(0, NonZeroUsize::get)
}

/// Finds the functions behind the stubs.
pub fn prepare() {
    for hook in hooks::all() {
        let (word, bit) = place(hook.symbol.as_bytes());
        if let Some(word) = NAMES.get(word) {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }
    // The first of two calls is right: a constructor may have loaded more by the second.
    if let Some(count) = NonZeroUsize::new(elf::count()) {
        let _ = STARTED.set(count);
    }
    modules::prepare();
    // Now, and not in a child of fork: finding takes a lock of the loader's.
    for hook in hooks::host::TABLES.iter().flat_map(|table| table.iter()) {
        hook.own();
    }
    seen::prepare();
}

/// Where the name's bit lies in a table of 16384: FNV-1a, folded.
pub fn place(name: &[u8]) -> (usize, u64) {
    let hash = name.iter().fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    let folded = hash ^ (hash >> 14) ^ (hash >> 28);
    (((folded >> 6) & 255) as usize, 1 << (folded & 63))
}

/// Whether the name may be one of the table's.
fn may_be_ours(name: &[u8]) -> bool {
    let (word, bit) = place(name);
    NAMES.get(word).is_some_and(|word| word.load(Ordering::Relaxed) & bit != 0)
}

/// Address of `symbol` in a loaded library that `is_library` knows by its file name or by its own name.
pub fn in_library(is_library: impl Fn(&[u8]) -> bool, symbol: &[u8]) -> Option<usize> {
    elf::walk(&mut |module| if module.is_named(&is_library) { module.symbol(symbol) } else { None })
}

/// What has `symbol` behind this library in the scope that the process started with: another preload, by its address, or
/// `Some(None)` for the layer's own library.
pub fn behind(layer: Layer, symbol: &[u8]) -> Option<Option<usize>> {
    let (mut left, mut behind) = (started(), false);
    elf::walk(&mut |module| {
        left = left.checked_sub(1)?;
        if !behind {
            behind = module.holds(elf::here());
            return None;
        }
        if module.is_named(|name| layer.is_library(name)) {
            return Some(None);
        }
        // Other versions of the library have the symbol in another version.
        let sibling = module.is_named(|name| name.starts_with(b"libcudart") || name.starts_with(b"libcuda.so"));
        if sibling { None } else { module.symbol(symbol).map(Some) }
    })
}

/// What a lookup is answered with.
pub enum Answer {
    /// The real function shall answer the caller itself.
    HandOn,
    /// This address; 0 for a name that is not there.
    Address(usize),
}

/// How many functions the program has looked up. Threads that do so at once may count as one.
static LOOKUPS: AtomicU64 = AtomicU64::new(0);

/// Differs from an earlier answer if the program has looked up a function since.
pub fn lookups() -> u64 {
    LOOKUPS.load(Ordering::Relaxed)
}

/// Answers a `dlsym`.
pub fn by_name(
    handle: usize,
    name: *const c_char,
    return_address: usize,
    real: impl Fn(usize, *const c_char) -> usize,
) -> Answer {
    LOOKUPS.store(lookups().wrapping_add(1), Ordering::Relaxed);
    if name.is_null() {
        return Answer::HandOn;
    }
    // SAFETY: the program passes a C string.
    let bytes = unsafe { CStr::from_ptr(name) }.to_bytes();
    if !may_be_ours(bytes) {
        return Answer::HandOn;
    }
    let mut rows = hooks::all().filter(|hook| hook.symbol.as_bytes() == bytes);
    if rows.clone().next().is_none() {
        return Answer::HandOn;
    }
    let in_scope = || in_scope(rows.clone(), handle, name, return_address, &real);
    let after = match handle {
        RTLD_DEFAULT => None,
        RTLD_NEXT => Some(return_address),
        _ => {
            let found = real(handle, name);
            // The handle of the program itself stands for the scope that all share.
            if found != 0 && elf::is_here(found) {
                return in_scope();
            }
            if found == 0 || crate::config::get().is_none() || modules::is_never_substituted(return_address) {
                return Answer::Address(found);
            }
            // Not another preload's function: only the library's own is replaced.
            let own = rows.find(|hook| belongs(found, hook.layer)).filter(|hook| hook.is_own(found));
            return Answer::Address(own.map_or(found, |hook| hook.answer()));
        }
    };
    // Somebody else's comes first in that scope.
    if !comes_here(bytes, after) {
        return Answer::HandOn;
    }
    in_scope()
}

/// Whether the module that holds the address was loaded after the start.
pub fn is_late(address: usize) -> bool {
    elf::position(address).is_some_and(|position| position >= started())
}

/// Answers a lookup that comes to this library though it asked for none: with what would be found without.
fn in_scope(
    mut rows: impl Iterator<Item = &'static Hook>,
    handle: usize,
    name: *const c_char,
    return_address: usize,
    real: &impl Fn(usize, *const c_char) -> usize,
) -> Answer {
    let excluded = modules::is_never_substituted(return_address);
    let behind = real(RTLD_NEXT, name);
    if behind != 0 {
        return if excluded { Answer::Address(behind) } else { Answer::HandOn };
    }
    // What was loaded later has a scope of its own beside the shared one, and the library may be in it.
    if !is_late(return_address) || (handle != RTLD_DEFAULT && handle != RTLD_NEXT) {
        return Answer::Address(0);
    }
    // SAFETY: the program's C string.
    let bytes = unsafe { CStr::from_ptr(name) }.to_bytes();
    let Some(provider) = rows.find_map(|hook| in_library(|name| hook.layer.is_library(name), bytes)) else {
        return Answer::Address(0);
    };
    // A lookup that succeeds, so that `dlerror` has nothing to tell of the one that did not.
    let ours = real(RTLD_DEFAULT, name);
    Answer::Address(if excluded { provider } else { ours })
}

/// Whether the first `symbol` in the shared scope, from its beginning or behind the module that holds an address, is
/// this library's.
fn comes_here(symbol: &[u8], after: Option<usize>) -> bool {
    let mut searched = after.is_none();
    let first = elf::walk(&mut |module| {
        if searched {
            return module.symbol(symbol).map(|_| module.holds(elf::here()));
        }
        searched = after.is_some_and(|address| module.holds(address));
        None
    });
    first.unwrap_or(false)
}

/// Whether the address lies in the layer's library.
fn belongs(address: usize, layer: Layer) -> bool {
    let answer = elf::walk(&mut |module| module.holds(address).then(|| module.is_named(|name| layer.is_library(name))));
    answer.unwrap_or(false)
}

/// After a `hipGetProcAddress` or its like: puts the wrapper in place of what was found. HIP gives a name one ABI and
/// exports all that it hands out, so the address says which function it is.
pub fn looked_up(call: &Call, rc: i32, name: *const c_char, function: *mut usize) {
    // The first question of every runtime is for the empty name, as a probe.
    if rc != 0 || name.is_null() || function.is_null() {
        return;
    }
    // SAFETY: the lookup succeeded, so the name is a C string and the pointer was written.
    let (bytes, found) = unsafe { (CStr::from_ptr(name).to_bytes(), function.read_unaligned()) };
    if found == 0 || crate::config::get().is_none() || modules::is_never_substituted(call.return_address()) {
        return;
    }
    let is_asked_for = |name: &str| name.as_bytes() == bytes;
    let mut rows = hooks::all().filter(|hook| hook.layer == Layer::Hip);
    let asked_for =
        rows.find(|hook| (is_asked_for(hook.name) || is_asked_for(hook.symbol)) && hook.own() == Some(found));
    let Some(hook) = asked_for else { return };
    // SAFETY: written by the real function a moment ago, into memory that the program gave for it.
    unsafe { function.write_unaligned(hook.answer()) };
}
