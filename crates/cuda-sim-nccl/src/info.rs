//! Versions, results and their texts.

use core::ffi::{CStr, c_char};
use kvtrace_cuda_sim_quiet::abi::Out;
use std::sync::atomic::{AtomicPtr, Ordering};

pub(crate) const SUCCESS: i32 = 0;
pub(crate) const INTERNAL: i32 = 3;
pub(crate) const INVALID_ARGUMENT: i32 = 4;
pub(crate) const INVALID_USAGE: i32 = 5;

/// Of the headers that the list of names was read beside: 2.30.7.
const VERSION: i32 = 23_007;

static LAST_TEXT: AtomicPtr<c_char> = AtomicPtr::new(core::ptr::null_mut());

/// Remembers why a call fails. The text is kept for ever: callers have it without a copy, and failures are few.
pub(crate) fn fail(result: i32, why: &str) -> i32 {
    if let Ok(text) = std::ffi::CString::new(format!("simulated NCCL: {why}")) {
        LAST_TEXT.store(text.into_raw(), Ordering::Release);
    }
    result
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclGetVersion(version: Out<i32>) -> i32 {
    version.set(VERSION)
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclGetErrorString(result: i32) -> *const c_char {
    let text: &CStr = match result {
        SUCCESS => c"no error",
        INTERNAL => c"internal error",
        INVALID_ARGUMENT => c"invalid argument",
        INVALID_USAGE => c"invalid usage",
        _ => c"unknown result code",
    };
    text.as_ptr()
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclGetLastError(_communicator: usize) -> *const c_char {
    let text = LAST_TEXT.load(Ordering::Acquire);
    if text.is_null() { c"".as_ptr() } else { text }
}
