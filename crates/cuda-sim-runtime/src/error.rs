//! Error codes: from the driver's to the runtime's, and the last one of each thread.

use crate::error_names::{ERRORS, Row};
use core::ffi::{CStr, c_char};
use std::cell::Cell;

pub(crate) const SUCCESS: i32 = 0;
pub(crate) const INVALID_VALUE: i32 = 1;
pub(crate) const INVALID_DEVICE: i32 = 101;
/// `cudaErrorInsufficientDriver`: what the runtime says where there is no driver. No driver returns it.
pub(crate) const NO_DRIVER: i32 = 35;
const UNKNOWN: i32 = 999;

thread_local! {
    static LAST: Cell<i32> = const { Cell::new(SUCCESS) };
}

fn row(code: i32) -> Option<&'static Row> {
    let index = ERRORS.binary_search_by_key(&code, |(code, ..)| *code).ok()?;
    ERRORS.get(index)
}

/// The `cudaError` of a `CUresult`. Both have the same numbers since CUDA 10.1; the driver alone has a few more.
pub(crate) fn from_driver(result: i32) -> i32 {
    if row(result).is_some() { result } else { UNKNOWN }
}

/// Ends a function: translates the driver's result and keeps a failure for `cudaGetLastError`.
pub(crate) fn done(result: i32) -> i32 {
    let code = from_driver(result);
    if code != SUCCESS {
        LAST.set(code);
    }
    code
}

pub extern "C" fn cudaGetLastError() -> i32 {
    LAST.replace(SUCCESS)
}

pub extern "C" fn cudaPeekAtLastError() -> i32 {
    LAST.get()
}

pub extern "C" fn cudaGetErrorName(error: i32) -> *const c_char {
    row(error).map_or(c"unrecognized error code", |(_, name, _)| name).as_ptr()
}

/// The name stands for the text of an error that this library never returns.
pub extern "C" fn cudaGetErrorString(error: i32) -> *const c_char {
    let text: &CStr = row(error).map_or(c"unrecognized error code", |(_, name, text)| text.unwrap_or(name));
    text.as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_sorted_for_the_search() {
        assert!(ERRORS.is_sorted_by(|(a, ..), (b, ..)| a < b));
    }

    #[test]
    fn driver_codes_keep_their_number() {
        for code in [0, 1, 2, 3, 100, 101, 201, 400, 500, 600, 801, 802, 999] {
            assert_eq!(from_driver(code), code);
        }
        // CUDA_ERROR_CONTEXT_ALREADY_CURRENT has no counterpart in the runtime.
        assert_eq!(from_driver(202), UNKNOWN);
    }

    #[test]
    fn the_last_error_stays_until_it_is_read() {
        assert_eq!(done(2), 2);
        assert_eq!(done(0), 0);
        assert_eq!(cudaPeekAtLastError(), 2);
        assert_eq!(cudaGetLastError(), 2);
        assert_eq!(cudaGetLastError(), 0);
    }
}
