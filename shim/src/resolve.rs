//! Functions that a program looks up rather than links: `dlsym`, `dlvsym` and `cuGetProcAddress`. The real lookup
//! always comes first; only what it found is ever replaced, and only by a wrapper of the same ABI.

use crate::effect::Call;
use crate::elf;
use crate::hooks::{self, Hook, Layer, seen};
use crate::modules;
use crate::text::base_name;
use crate::trace::Event;
use core::ffi::{CStr, c_char};
use core::sync::atomic::{AtomicBool, Ordering};

/// The newest CUDA version whose ABIs the hook table knows. A request for a later one may mean an ABI that it does
/// not know, and passes untouched.
const NEWEST_KNOWN: i32 = 13050;
const PER_THREAD_DEFAULT_STREAM: u64 = 2;
const RTLD_DEFAULT: usize = 0;
const RTLD_NEXT: usize = usize::MAX;

/// Finds the functions behind the stubs.
pub fn prepare() {
    seen::prepare();
}

/// Address of `symbol` in a loaded library that `is_library` knows by its file name or by its own name.
pub fn in_library(is_library: impl Fn(&[u8]) -> bool, symbol: &[u8]) -> Option<usize> {
    elf::walk(&mut |module| {
        let named = is_library(base_name(module.name())) || is_library(module.soname());
        if named { module.symbol(symbol) } else { None }
    })
}

/// Answers a `dlsym`: the wrapper's address, or 0 to let the real function answer.
pub fn by_name(
    handle: usize,
    name: *const c_char,
    return_address: usize,
    real: impl FnOnce(usize, *const c_char) -> usize,
) -> usize {
    if name.is_null() || handle == RTLD_DEFAULT || handle == RTLD_NEXT {
        return 0;
    }
    // SAFETY: the program passes a C string.
    let bytes = unsafe { CStr::from_ptr(name) }.to_bytes();
    if !bytes.starts_with(b"cu") {
        return 0;
    }
    let mut rows = hooks::all().filter(|hook| hook.symbol.as_bytes() == bytes);
    if rows.clone().next().is_none() || crate::config::get().is_none() || modules::is_never_substituted(return_address)
    {
        return 0;
    }
    let found = real(handle, name);
    // Not another preload's function, nor ours: only the library's own is replaced.
    let Some(hook) = (found != 0).then(|| rows.find(|hook| belongs(found, hook.layer))).flatten() else { return 0 };
    hook.learn(found);
    hook.stub as usize
}

/// Whether the address lies in the layer's library.
fn belongs(address: usize, layer: Layer) -> bool {
    let answer = elf::walk(&mut |module| {
        module.holds(address).then(|| layer.is_library(base_name(module.name())) || layer.is_library(module.soname()))
    });
    answer.unwrap_or(false)
}

/// After a `cuGetProcAddress`: puts the wrapper of the same name, ABI and stream kind in place of what was found.
pub fn looked_up(call: &Call, rc: i32, name: *const c_char, function: *mut usize, version: i32, flags: u64) {
    // The first question of every runtime is for the empty name, as a probe.
    if rc != 0 || name.is_null() || function.is_null() {
        return;
    }
    // SAFETY: the lookup succeeded, so the name is a C string and the pointer was written.
    let (bytes, found) = unsafe { (CStr::from_ptr(name).to_bytes(), function.read_unaligned()) };
    if found == 0 || crate::config::get().is_none() || modules::is_never_substituted(call.return_address()) {
        return;
    }
    let Some(hook) = with_abi(bytes, version, flags & PER_THREAD_DEFAULT_STREAM != 0) else { return };
    if version > NEWEST_KNOWN {
        tell_newer_once();
        return;
    }
    hook.learn(found);
    // SAFETY: written by the real function a moment ago, into memory that the program gave for it.
    unsafe { function.write_unaligned(hook.stub as usize) };
}

fn with_abi(name: &[u8], version: i32, per_thread: bool) -> Option<&'static Hook> {
    let version = u32::try_from(version).ok()?;
    let fits =
        |hook: &&&'static Hook| hook.name.as_bytes() == name && (hook.versions.0..hook.versions.1).contains(&version);
    let rows = hooks::driver::TABLE;
    // Functions without a stream have one variant for both kinds of default stream.
    rows.iter()
        .filter(fits)
        .find(|hook| hook.per_thread == per_thread)
        .or_else(|| {
            let has_variant = rows.iter().any(|hook| hook.name.as_bytes() == name && hook.per_thread);
            if has_variant { None } else { rows.iter().find(fits) }
        })
        .copied()
}

#[cold]
fn tell_newer_once() {
    static TOLD: AtomicBool = AtomicBool::new(false);
    if TOLD.swap(true, Ordering::Relaxed) {
        return;
    }
    if let Some(mut event) = Event::begin("warning", crate::sys::clock(libc::CLOCK_MONOTONIC)) {
        event.write(|line| {
            line.text("text", b"a CUDA newer than 13.5 asks for functions that this version does not know: not traced");
        });
    }
}
