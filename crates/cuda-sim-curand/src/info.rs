//! Versions.

use kvtrace_cuda_sim_quiet::abi::Out;
use kvtrace_cuda_sim_quiet::property;

/// Of the headers that the list of names was read beside.
const VERSION: (i32, i32, i32) = (10, 4, 2);

#[unsafe(no_mangle)]
pub extern "C" fn curandGetVersion(place: Out<i32>) -> i32 {
    place.set(VERSION.0 * 1000 + VERSION.1 * 100 + VERSION.2)
}

#[unsafe(no_mangle)]
pub extern "C" fn curandGetProperty(kind: i32, value: Out<i32>) -> i32 {
    const INVALID_VALUE: i32 = 103;
    if property(VERSION, kind, value) { 0 } else { INVALID_VALUE }
}
