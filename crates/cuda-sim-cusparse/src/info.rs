//! Versions.

use kvtrace_cuda_sim_quiet::abi::Out;
use kvtrace_cuda_sim_quiet::property;

/// Of the headers that the list of names was read beside.
const VERSION: (i32, i32, i32) = (12, 7, 0);

#[unsafe(no_mangle)]
pub extern "C" fn cusparseGetVersion(_handle: usize, place: Out<i32>) -> i32 {
    place.set(VERSION.0 * 1000 + VERSION.1 * 100 + VERSION.2)
}

#[unsafe(no_mangle)]
pub extern "C" fn cusparseGetProperty(kind: i32, value: Out<i32>) -> i32 {
    const INVALID_VALUE: i32 = 3;
    if property(VERSION, kind, value) { 0 } else { INVALID_VALUE }
}

#[unsafe(no_mangle)]
pub extern "C" fn cusparseGetErrorName(_status: i32) -> *const core::ffi::c_char {
    c"a status of the simulated library".as_ptr()
}

#[unsafe(no_mangle)]
pub extern "C" fn cusparseGetErrorString(_status: i32) -> *const core::ffi::c_char {
    c"a status of the simulated library".as_ptr()
}
