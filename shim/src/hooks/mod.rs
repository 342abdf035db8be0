//! The hook table. A row says which function, which of its ABIs, its arguments, and what the call does to memory;
//! from it come the exported stub, the wrapper's body, and the entry by which [`crate::resolve`] finds it.

pub mod driver;
pub mod hip;
pub mod host;
pub mod layouts;
mod list;
pub mod nvml;
pub mod runtime;
pub mod seen;
pub mod shape;

use crate::effect::Call;
use crate::modules::{self, Found};
use crate::{elf, resolve};
use core::num::NonZeroUsize;
use once_cell::race::OnceNonZeroUsize;

/// Whose function it is. Bytes are counted where they are taken: by CUDA's driver, or by HIP, which has no layer below.
/// The others are labels.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// libcuda
    Driver,
    /// libcudart of one major version
    Runtime(u8),
    /// libamdhip64
    Hip,
    /// libnvidia-ml
    Nvml,
    /// libc
    Libc,
}

impl Layer {
    /// As the trace spells it.
    pub fn name(self) -> &'static str {
        match self {
            Layer::Driver => "driver",
            Layer::Runtime(_) => "runtime",
            Layer::Hip => "hip",
            Layer::Nvml => "nvml",
            Layer::Libc => "libc",
        }
    }

    /// Whether a library of this name holds the layer's functions. Wheels rename theirs: `libcudart-c3a75b33.so.12`.
    pub fn is_library(self, name: &[u8]) -> bool {
        match self {
            Layer::Driver => name.starts_with(b"libcuda.so"),
            Layer::Hip => name.starts_with(b"libamdhip64.so"),
            Layer::Nvml => name.starts_with(b"libnvidia-ml.so"),
            Layer::Runtime(major) => {
                let (Some(tens), Some(ones)) = (major.checked_div(10), major.checked_rem(10)) else { return false };
                let suffix = [b'.', b's', b'o', b'.', b'0'.wrapping_add(tens), b'0'.wrapping_add(ones)];
                name.starts_with(b"libcudart") && crate::text::contains(name, &suffix)
            }
            Layer::Libc => false,
        }
    }
}

/// What a hooked call does to memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Asks,
    Takes,
    GivesBack,
    Maps,
    Unmaps,
    Retains,
    Moves,
    Pool,
    Graph,
    Noted,
    LooksUp,
    Opens,
    Uses,
    Forks,
    Execs,
}

impl Effect {
    /// As the documentation words it.
    pub fn name(self) -> &'static str {
        match self {
            Effect::Asks => "asks",
            Effect::Takes => "takes",
            Effect::GivesBack => "gives back",
            Effect::Maps => "maps",
            Effect::Unmaps => "unmaps",
            Effect::Retains => "retains",
            Effect::Moves => "moves",
            Effect::Pool => "changes a pool",
            Effect::Graph => "may take for a graph",
            Effect::Noted => "noted",
            Effect::LooksUp => "looks up",
            Effect::Opens => "opens",
            Effect::Uses => "uses",
            Effect::Forks => "forks",
            Effect::Execs => "becomes",
        }
    }
}

/// One hooked function in one of its ABIs.
pub struct Hook {
    /// The name that the library exports.
    pub symbol: &'static str,
    /// The name that programs ask `cuGetProcAddress` or `hipGetProcAddress` for, and that the trace shows.
    pub name: &'static str,
    /// Whose function it is.
    pub layer: Layer,
    /// `cuGetProcAddress` versions that mean this ABI: from the first, below the second. 0 where there is one only.
    pub versions: (u32, u32),
    /// Whether it is the per-thread-default-stream variant.
    pub per_thread: bool,
    /// What it does to memory.
    pub effect: Effect,
    /// Its arguments as the row states them: `at: *mut usize, size: usize`.
    pub arguments: &'static str,
    /// The exported stub, which linked callers reach.
    pub stub: unsafe extern "C" fn(),
    /// The stub for callers that looked up the library's own function.
    pub found_stub: unsafe extern "C" fn(),
    /// The library's own function.
    pub own: Found,
    /// What stands between this library and the hooked one for linked callers: see [`Self::behind`].
    pub behind: OnceNonZeroUsize,
}

/// Values of [`Hook::behind`] that are no address.
const NOTHING: NonZeroUsize = NonZeroUsize::MIN;
const LIBRARY: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);

impl Hook {
    /// The real function of one call: what the caller would have reached without this library. All of it is on modules
    /// that are loaded already: this library loads none.
    pub fn real(&self, call: &mut Call) -> Option<usize> {
        if self.layer == Layer::Libc || call.is_found() {
            return self.own();
        }
        match self.behind() {
            LIBRARY => self.own(),
            NOTHING => modules::own_function(call.return_address(), self.symbol.as_bytes())
                .or_else(|| self.own())
                .or_else(|| elf::next(self.symbol.as_bytes())),
            other => {
                call.goes_by();
                Some(other.get())
            }
        }
    }

    /// The library's own function.
    pub fn own(&self) -> Option<usize> {
        self.own.get().or_else(|| {
            let symbol = self.symbol.as_bytes();
            let found = match self.layer {
                Layer::Libc => elf::next(symbol),
                // A caller linked without a version got the wrapper of another major than the library may be.
                Layer::Runtime(_) => resolve::in_library(|name| self.layer.is_library(name), symbol)
                    .or_else(|| resolve::in_library(|name| name.starts_with(b"libcudart"), symbol)),
                Layer::Driver | Layer::Hip | Layer::Nvml => {
                    resolve::in_library(|name| self.layer.is_library(name), symbol)
                }
            }?;
            self.own.set(found);
            Some(found)
        })
    }

    /// Whether `found`, which a lookup of the program's own came to, is the function that the stubs go to: where a process
    /// has two copies of a library, the other one's is left alone. Of a runtime that is the copy that was loaded first,
    /// which linked callers come to, for a lookup may be in another: wheels bring renamed ones along.
    pub fn is_own(&self, found: usize) -> bool {
        let own = match self.layer {
            Layer::Runtime(_) => self.own(),
            _ => self.own.get(),
        };
        match own {
            Some(own) => own == found,
            None => {
                self.own.set(found);
                true
            }
        }
    }

    /// Which function linked callers come to behind this library, in the scope that all share: another preload's, the
    /// hooked library's own, or none. That scope is what the process started with, and is never unloaded.
    fn behind(&self) -> NonZeroUsize {
        self.behind.get_or_init(|| match resolve::behind(self.layer, self.symbol.as_bytes()) {
            None => NOTHING,
            Some(other) => other.and_then(NonZeroUsize::new).unwrap_or(LIBRARY),
        })
    }

    /// What a lookup is answered with in place of the library's own function.
    pub fn answer(&self) -> usize {
        // One function has one address, unless linked callers come to another one: behind this library, or in front of
        // it, where the loader has bound the name to that one here too.
        let stub = self.stub as usize;
        if self.behind() <= LIBRARY && elf::is_here(stub) { stub } else { self.found_stub as usize }
    }
}

/// Every row that programs may look up by name.
pub fn all() -> impl Iterator<Item = &'static Hook> + Clone {
    let driver = driver::TABLES.iter().flat_map(|table| table.iter());
    let runtime = runtime::v11::TABLE.iter().chain(runtime::v12::TABLE).chain(runtime::v13::TABLE);
    let hip = hip::TABLES.iter().flat_map(|table| table.iter());
    driver.chain(runtime).chain(hip).chain(nvml::TABLE).copied()
}

/// `name as "base" since..until (arguments) -> failure |call, rc| effect;`
///
/// The group behind the result type is `()`, or a prefix for the linker and the version node to export under.
/// `failure` is what the function itself would return where its library is not loaded. Between it and the effect may
/// stand `first name = expression;`: what has to be known or done before the real function runs.
macro_rules! hooks {
    ($layer:expr, $result:ty, $export:tt;
     $($symbol:ident as $name:literal $since:literal..$until:literal $([$variant:ident])?
       ($($arg:ident: $type:ty),*) -> $failure:literal $(first $known:ident = $before:expr;)?
       |$call:ident, $rc:ident| $effect:expr;)*) => {
        $(
            #[allow(non_snake_case, reason = "named like the function that it hooks")]
            pub mod $symbol {
                use super::*;

                pub static HOOK: $crate::hooks::Hook = $crate::hooks::Hook {
                    symbol: stringify!($symbol),
                    name: $name,
                    layer: $layer,
                    versions: ($since, $until),
                    per_thread: $crate::hooks::is_per_thread!($($variant)?),
                    effect: const { $crate::hooks::effect_of(stringify!($effect)) },
                    arguments: $crate::hooks::arguments!($($arg: $type),*),
                    stub: super::$symbol,
                    found_stub: found,
                    own: $crate::modules::Found::new(),
                    behind: once_cell::race::OnceNonZeroUsize::new(),
                };

                $crate::arch::found_stub!(found, body);

                pub unsafe extern "C" fn body($($arg: $type),*) -> $result {
                    let mut $call = $crate::effect::Call::enter(&HOOK);
                    let Some(real) = HOOK.real(&mut $call) else {
                        $call.returned();
                        return $failure;
                    };
                    $(let $known = $before;)?
                    // SAFETY: `real` is the library's function of this name in the ABI that the row states.
                    let real: unsafe extern "C" fn($($type),*) -> $result = unsafe { core::mem::transmute(real) };
                    // SAFETY: the program's own arguments, unchanged.
                    let $rc = unsafe { real($($arg),*) };
                    $call.returned();
                    if !$call.is_our_own() {
                        $effect;
                    }
                    $rc
                }
            }
            $crate::arch::wrapper_stub!($symbol, $symbol::body, $export);
        )*

        /// The rows of this table.
        #[allow(dead_code, reason = "libc's functions are linked, not looked up")]
        pub static TABLE: &[&$crate::hooks::Hook] = &[$(&$symbol::HOOK),*];
    };
}
pub(crate) use hooks;
pub(crate) use list::effect as effect_of;

macro_rules! arguments {
    () => {
        ""
    };
    ($first:ident: $type:ty $(, $arg:ident: $next:ty)*) => {
        concat!(stringify!($first), ": ", stringify!($type) $(, ", ", stringify!($arg), ": ", stringify!($next))*)
    };
}
pub(crate) use arguments;

macro_rules! is_per_thread {
    () => {
        false
    };
    (per_thread) => {
        true
    };
}
pub(crate) use is_per_thread;

/// The program asked for free and total memory of the current device, and finds them in `free` and `total`.
macro_rules! query_free {
    ($call:ident, $rc:ident, $free:expr, $total:expr) => {
        // SAFETY: the pointers are NULL or were written by the real function, if it succeeded.
        unsafe { $crate::answer::query_free(&$call, $rc.into(), $free.into(), $total.into()) }
    };
}
pub(crate) use query_free;

/// The program asked for all memory of a device, and finds it in `total`.
macro_rules! query_total {
    ($call:ident, $rc:ident, $dev:expr, $total:expr) => {
        // SAFETY: the pointer is NULL or was written by the real function, if it succeeded.
        unsafe { $crate::answer::query_total(&$call, $rc.into(), $dev, $total.into()) }
    };
}
pub(crate) use query_total;

/// Reads through an out pointer of a call that returned `rc`.
macro_rules! out {
    ($rc:ident, $at:expr) => {
        if $rc == 0 {
            // SAFETY: the real function succeeded, so the pointer is NULL or was written by it.
            unsafe { $crate::effect::out($at) }.map(|value| value as u64)
        } else {
            None
        }
    };
}
pub(crate) use out;
