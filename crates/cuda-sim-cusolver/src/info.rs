//! Versions.

use crate::LIBRARY;
use kvtrace_cuda_sim_quiet::abi::Out;
use kvtrace_cuda_sim_quiet::property;

/// Of the headers that the list of names was read beside.
const MINOR: (i32, i32) = (2, 0);

fn version() -> (i32, i32, i32) {
    (LIBRARY.major() as i32, MINOR.0, MINOR.1)
}

#[unsafe(no_mangle)]
pub extern "C" fn cusolverGetVersion(place: Out<i32>) -> i32 {
    place.set(version().0 * 1000 + MINOR.0 * 100 + MINOR.1)
}

#[unsafe(no_mangle)]
pub extern "C" fn cusolverGetProperty(kind: i32, value: Out<i32>) -> i32 {
    const INVALID_VALUE: i32 = 3;
    if property(version(), kind, value) { 0 } else { INVALID_VALUE }
}
