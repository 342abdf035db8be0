//! Pointers of C callers that are written or read here and not by the driver.

use crate::error::{INVALID_VALUE, SUCCESS};
use kvtrace_cuda_sim::abi::Out;

/// The caller's place for a `T`, with the trust that the API's contract asks for.
pub(crate) fn out<T>(place: *mut T) -> Out<T> {
    // SAFETY: a caller of a CUDA function passes null or the address of a `T` that may be written.
    unsafe { Out::from_raw(place) }
}

/// Writes `value` where the caller wants it; a null pointer is an invalid value.
pub(crate) fn write<T>(place: *mut T, value: T) -> i32 {
    if out(place).set(value) == SUCCESS { SUCCESS } else { INVALID_VALUE }
}
