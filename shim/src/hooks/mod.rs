//! The hook table. A row says which function, which of its ABIs, its arguments, and what the call does to memory;
//! from it come the exported stub, the wrapper's body, and the entry by which [`crate::resolve`] finds it.

pub mod driver;
pub mod files;
pub mod host;
pub mod runtime;

use crate::resolve;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Whose function it is. Bytes are counted on the driver's layer; the others are labels.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// libcuda
    Driver,
    /// libcudart
    Runtime,
    /// libc
    Libc,
}

impl Layer {
    /// As the trace spells it.
    pub fn name(self) -> &'static str {
        match self {
            Layer::Driver => "driver",
            Layer::Runtime => "runtime",
            Layer::Libc => "libc",
        }
    }

    /// How the library's file name begins; empty for libc, whose functions are looked for behind this library.
    pub fn library(self) -> &'static [u8] {
        match self {
            Layer::Driver => b"libcuda.so",
            Layer::Runtime => b"libcudart",
            Layer::Libc => b"",
        }
    }
}

/// One hooked function in one of its ABIs.
pub struct Hook {
    /// The name that the library exports.
    pub symbol: &'static str,
    /// The name that programs ask `cuGetProcAddress` for, and that the trace shows.
    pub name: &'static str,
    /// Whose function it is.
    pub layer: Layer,
    /// `cuGetProcAddress` versions that mean this ABI: from the first, below the second.
    pub versions: (u32, u32),
    /// Whether it is the per-thread-default-stream variant.
    pub per_thread: bool,
    /// The exported stub.
    pub stub: unsafe extern "C" fn(),
    /// The real function, 0 until it was found.
    pub real: AtomicUsize,
}

impl Hook {
    /// The real function. Found on a module that is already loaded: this library loads none.
    pub fn real(&self) -> Option<usize> {
        match self.real.load(Ordering::Acquire) {
            0 => {
                let found = match self.layer {
                    Layer::Libc => crate::elf::next(self.symbol.as_bytes()),
                    layer => resolve::in_library(layer.library(), self.symbol.as_bytes()),
                }?;
                self.real.store(found, Ordering::Release);
                Some(found)
            }
            at => Some(at),
        }
    }

    /// Remembers where a lookup of the program's own found the function. The first answer stands.
    pub fn learn(&self, real: usize) {
        let _ = self.real.compare_exchange(0, real, Ordering::AcqRel, Ordering::Relaxed);
    }
}

/// Every row that programs may look up by name.
pub fn all() -> impl Iterator<Item = &'static Hook> {
    driver::TABLE.iter().chain(runtime::TABLE).copied()
}

/// `name as "base" since..until (arguments) -> failure |call, rc| effect;`
///
/// `failure` is what the function itself would return where its library is not loaded.
macro_rules! hooks {
    ($layer:expr, $result:ty;
     $($symbol:ident as $name:literal $since:literal..$until:literal $([$variant:ident])?
       ($($arg:ident: $type:ty),*) -> $failure:literal |$call:ident, $rc:ident| $effect:expr;)*) => {
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
                    stub: super::$symbol,
                    real: core::sync::atomic::AtomicUsize::new(0),
                };

                pub unsafe extern "C" fn body($($arg: $type),*) -> $result {
                    let mut $call = $crate::effect::Call::enter(&HOOK);
                    let Some(real) = HOOK.real() else {
                        $call.returned();
                        return $failure;
                    };
                    // SAFETY: `real` is the library's function of this name in the ABI that the row states.
                    let real: unsafe extern "C" fn($($type),*) -> $result = unsafe { core::mem::transmute(real) };
                    // SAFETY: the program's own arguments, unchanged.
                    let $rc = unsafe { real($($arg),*) };
                    $call.returned();
                    $effect;
                    $rc
                }
            }
            $crate::arch::wrapper_stub!($symbol, $symbol::body);
        )*

        /// The rows of this table.
        #[allow(dead_code, reason = "libc's functions are linked, not looked up")]
        pub static TABLE: &[&$crate::hooks::Hook] = &[$(&$symbol::HOOK),*];
    };
}
pub(crate) use hooks;

macro_rules! is_per_thread {
    () => {
        false
    };
    (per_thread) => {
        true
    };
}
pub(crate) use is_per_thread;

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
