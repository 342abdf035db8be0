//! The environment variables, read once by the constructor, when the process has one thread.

use crate::sys;
use crate::text::Text;
use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char};
use core::sync::atomic::{AtomicBool, Ordering};

unsafe extern "C" {
    static environ: *const *const c_char;
}

/// What the user asked for.
pub struct Config {
    /// `KVTRACE_OUT`: the trace directory.
    pub out: Text<1024>,
    /// `KVTRACE_LABEL`: free text for the header.
    pub label: Text<256>,
    /// `KVTRACE_VIEWS`: whether queries get views.
    pub views: bool,
    /// `KVTRACE_PYTHON`: whether Python stacks are read.
    pub python: bool,
    /// `KVTRACE_EVICT`: whether the page cache of weights is given back.
    pub evict: bool,
    /// `KVTRACE_PATCH`: which answers are changed, and how.
    pub patch: Text<1024>,
    /// Beside `KVTRACE_SIM_STATE`: the file of [`crate::host`], NUL-terminated.
    pub pool: Text<1024>,
    /// A value that could not be used, and what happens instead.
    pub warning: &'static str,
}

struct Shared(UnsafeCell<Config>);

// SAFETY: written by the constructor before `READY` is set, only read afterwards.
unsafe impl Sync for Shared {}

static CONFIG: Shared = Shared(UnsafeCell::new(Config {
    out: Text::new(),
    label: Text::new(),
    views: true,
    python: true,
    evict: false,
    patch: Text::new(),
    pool: Text::new(),
    warning: "",
}));
static READY: AtomicBool = AtomicBool::new(false);

/// The configuration; `None` before the constructor ran, and for good under `KVTRACE_DISABLE=1`.
pub fn get() -> Option<&'static Config> {
    // SAFETY: READY says that nobody writes any more.
    READY.load(Ordering::Acquire).then(|| unsafe { &*CONFIG.0.get() })
}

/// Reads the environment.
pub fn read() {
    // SAFETY: the constructor runs once, before anyone is let in by READY.
    let config = unsafe { &mut *CONFIG.0.get() };
    let mut disabled = false;
    for (name, value) in variables() {
        match name {
            b"KVTRACE_OUT" if value.is_empty() => config.warning = "KVTRACE_OUT is empty: writing to ./kvtrace-out",
            b"KVTRACE_OUT" if !config.out.push(value) => {
                config.warning = "KVTRACE_OUT is longer than 1023 bytes: writing to ./kvtrace-out";
            }
            b"KVTRACE_LABEL" if !config.label.push(value) => {
                config.warning = "KVTRACE_LABEL is longer than 256 bytes: ignored";
            }
            b"KVTRACE_PATCH" if !config.patch.push(value) => {
                config.warning = "KVTRACE_PATCH is longer than 1024 bytes: nothing is changed";
            }
            b"KVTRACE_SIM_STATE" if !value.is_empty() => config.pool = beside(value),
            b"KVTRACE_DISABLE" => match value {
                b"1" => disabled = true,
                b"" | b"0" => {}
                _ => config.warning = "KVTRACE_DISABLE is neither 0 nor 1: ignored",
            },
            b"KVTRACE_VIEWS" => match value {
                b"0" => config.views = false,
                b"" | b"1" => {}
                _ => config.warning = "KVTRACE_VIEWS is neither 0 nor 1: views are on",
            },
            b"KVTRACE_PYTHON" => match value {
                b"0" => config.python = false,
                b"" | b"1" => {}
                _ => config.warning = "KVTRACE_PYTHON is neither 0 nor 1: stacks are on",
            },
            b"KVTRACE_EVICT" => match value {
                b"1" => config.evict = true,
                b"" | b"0" => {}
                _ => config.warning = "KVTRACE_EVICT is neither 0 nor 1: ignored",
            },
            b"KVTRACE_LOG" if !matches!(value, b"" | b"off" | b"error" | b"info") => {
                config.warning = "KVTRACE_LOG is none of off, error, info: off";
            }
            _ => {}
        }
    }
    if config.out.get().is_empty() {
        config.out.push(b"kvtrace-out");
    }
    if config.out.get().first() != Some(&b'/') {
        // The program may change its directory before its first event.
        let mut absolute = Text::new();
        let mut directory = [0u8; 1024];
        let fits = absolute.push(sys::current_directory(&mut directory))
            && absolute.push(b"/")
            && absolute.push(config.out.get());
        if fits {
            config.out = absolute;
        }
    }
    READY.store(!disabled, Ordering::Release);
}

/// The file of [`crate::host`] beside the state file; empty if its path is too long.
fn beside(state: &[u8]) -> Text<1024> {
    let mut path = Text::new();
    if !(path.push(state) && path.push(b".pool\0")) {
        path.clear();
    }
    path
}

/// Lets `prepare` read what the user asked to be changed; if it cannot, nothing is. From the constructor only.
pub fn check(prepare: impl FnOnce(&'static Config) -> bool) {
    if get().is_some_and(|config| !prepare(config)) {
        // SAFETY: the constructor runs once, and nobody else reads this before the first event.
        let config = unsafe { &mut *CONFIG.0.get() };
        config.warning = "KVTRACE_PATCH cannot be read: nothing is changed";
    }
}

/// The environment as name and value. Call it from the constructor only: programs change their environment later
/// without any lock that we could take.
pub fn variables() -> impl Iterator<Item = (&'static [u8], &'static [u8])> {
    // SAFETY: the environment is a NULL-terminated array of C strings, and no other thread runs yet.
    let mut at = unsafe { environ };
    core::iter::from_fn(move || {
        if at.is_null() {
            return None;
        }
        // SAFETY: as above; the walk stops at the NULL.
        let entry = unsafe { *at };
        if entry.is_null() {
            return None;
        }
        // SAFETY: entry was not the last, so there is one behind it.
        at = unsafe { at.add(1) };
        // SAFETY: a C string by the rule of the environment.
        Some(unsafe { CStr::from_ptr(entry) }.to_bytes())
    })
    .map(|entry| {
        let equals = entry.iter().position(|byte| *byte == b'=').unwrap_or(entry.len());
        (entry.get(..equals).unwrap_or_default(), entry.get(equals.saturating_add(1)..).unwrap_or_default())
    })
}
