//! Which version of the runtime this is. Two shared libraries and the static form are built from the same functions.

use core::sync::atomic::{AtomicI32, Ordering};

/// CUDA 12.9, unless the library says otherwise.
static NUMBER: AtomicI32 = AtomicI32::new(12_090);

/// Sets what `cudaRuntimeGetVersion` answers. A shared library calls it while it is loaded, before any other function.
pub fn set_version(number: i32) {
    NUMBER.store(number, Ordering::Relaxed);
}

/// Thousand times the major version, plus ten times the minor one.
pub(crate) fn number() -> i32 {
    NUMBER.load(Ordering::Relaxed)
}

pub(crate) fn major() -> i32 {
    number() / 1000
}
