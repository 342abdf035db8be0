//! Functions that a program looks up rather than links, by `dlsym`, `dlvsym` and HIP's own lookups. The real lookup
//! always comes first; only what it found is ever replaced, and only by the wrapper of that very symbol.

use crate::effect::Call;
use crate::elf;
use crate::hooks::{self, Layer, seen};
use crate::modules;
use crate::text::base_name;
use core::ffi::{CStr, c_char};
use core::sync::atomic::{AtomicU64, Ordering};

const RTLD_DEFAULT: usize = 0;
const RTLD_NEXT: usize = usize::MAX;

/// One bit per hash of a name in the table: most names that a program looks up are none of ours.
static NAMES: [AtomicU64; 256] = [const { AtomicU64::new(0) }; 256];

/// Finds the functions behind the stubs.
pub fn prepare() {
    for hook in hooks::all() {
        let (word, bit) = place(hook.symbol.as_bytes());
        if let Some(word) = NAMES.get(word) {
            word.fetch_or(bit, Ordering::Relaxed);
        }
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
    elf::walk(&mut |module| {
        let named = is_library(base_name(module.name())) || is_library(module.soname());
        if named { module.symbol(symbol) } else { None }
    })
}

/// What a lookup is answered with.
pub enum Answer {
    /// The real function shall answer the caller itself.
    HandOn,
    /// This address; 0 for a name that is not there.
    Address(usize),
}

/// Answers a `dlsym`.
pub fn by_name(
    handle: usize,
    name: *const c_char,
    return_address: usize,
    real: impl FnOnce(usize, *const c_char) -> usize,
) -> Answer {
    if name.is_null() || handle == RTLD_NEXT {
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
    let excluded = modules::is_never_substituted(return_address);
    if handle == RTLD_DEFAULT {
        // The plain lookup would find this library, whether or not one is there that has the function.
        return match rows.find_map(|hook| in_library(|name| hook.layer.is_library(name), bytes)) {
            Some(provider) if excluded => Answer::Address(provider),
            Some(_) => Answer::HandOn,
            None => Answer::Address(real(RTLD_NEXT, name)),
        };
    }
    if excluded || crate::config::get().is_none() {
        return Answer::HandOn;
    }
    let found = real(handle, name);
    // Not another preload's function, nor ours: only the library's own is replaced.
    let own = rows.find(|hook| belongs(found, hook.layer));
    match own {
        Some(hook) => {
            hook.learn(found);
            Answer::Address(hook.stub as usize)
        }
        None => Answer::Address(found),
    }
}

/// Whether the address lies in the layer's library.
fn belongs(address: usize, layer: Layer) -> bool {
    let answer = elf::walk(&mut |module| {
        module.holds(address).then(|| layer.is_library(base_name(module.name())) || layer.is_library(module.soname()))
    });
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
        rows.find(|hook| (is_asked_for(hook.name) || is_asked_for(hook.symbol)) && hook.real() == Some(found));
    let Some(hook) = asked_for else { return };
    // SAFETY: written by the real function a moment ago, into memory that the program gave for it.
    unsafe { function.write_unaligned(hook.stub as usize) };
}
