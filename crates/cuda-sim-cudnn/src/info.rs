//! Versions and texts.

use core::ffi::{CStr, c_char};
use kvtrace_cuda_sim_quiet::abi::Out;
use kvtrace_cuda_sim_quiet::property;

/// Of the headers that the list of names was read beside.
const VERSION: (i32, i32, i32) = (9, 26, 0);

#[unsafe(no_mangle)]
pub extern "C" fn cudnnGetVersion() -> usize {
    (VERSION.0 * 10_000 + VERSION.1 * 100 + VERSION.2) as usize
}

#[unsafe(no_mangle)]
pub extern "C" fn cudnnGetMaxDeviceVersion() -> usize {
    1210
}

#[unsafe(no_mangle)]
pub extern "C" fn cudnnGetCudartVersion() -> usize {
    13_000
}

#[unsafe(no_mangle)]
pub extern "C" fn cudnnGetProperty(kind: i32, value: Out<i32>) -> i32 {
    const BAD_PARAMETER: i32 = 2000;
    if property(VERSION, kind, value) { 0 } else { BAD_PARAMETER }
}

#[unsafe(no_mangle)]
pub extern "C" fn cudnnGetErrorString(status: i32) -> *const c_char {
    let text: &CStr = match status {
        0 => c"CUDNN_STATUS_SUCCESS",
        2000 => c"CUDNN_STATUS_BAD_PARAM",
        3000 => c"CUDNN_STATUS_NOT_SUPPORTED",
        _ => c"unknown status",
    };
    text.as_ptr()
}

#[unsafe(no_mangle)]
pub extern "C" fn cudnnGetLastErrorString(message: Out<u8>, size: usize) {
    if size > 0 {
        message.offer(0);
    }
}
