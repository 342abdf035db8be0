//! Initialisation, versions and error texts.

use crate::{INSUFFICIENT_SIZE, INVALID_ARGUMENT, SUCCESS, UNINITIALIZED, wrote};
use core::ffi::{CStr, c_char};
use kvtrace_cuda_sim::abi::Out;
use std::sync::atomic::{AtomicU32, Ordering};

/// A release of the series that goes with the CUDA version below.
const DRIVER_VERSION: &str = "615.00";
const NVML_VERSION: &str = "13.615.00";
/// As `cuDriverGetVersion` of the simulated driver answers.
const CUDA_VERSION: i32 = 13_050;

static USERS: AtomicU32 = AtomicU32::new(0);

/// Runs `act` between initialisation and shutdown only.
pub(crate) fn initialised(act: impl FnOnce() -> i32) -> i32 {
    if USERS.load(Ordering::Acquire) == 0 { UNINITIALIZED } else { act() }
}

/// Writes `text` if all of it fits.
pub(crate) fn give(place: Out<c_char>, text: &str, size: u32) -> i32 {
    if place.is_null() {
        INVALID_ARGUMENT
    } else if text.len() >= size as usize {
        INSUFFICIENT_SIZE
    } else {
        wrote(place.set_text(text, size.try_into().unwrap_or(i32::MAX)))
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlInit_v2() -> i32 {
    USERS.fetch_add(1, Ordering::AcqRel);
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlInit() -> i32 {
    nvmlInit_v2()
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlInitWithFlags(_flags: u32) -> i32 {
    nvmlInit_v2()
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlShutdown() -> i32 {
    let less = |users: u32| users.checked_sub(1);
    USERS.fetch_update(Ordering::AcqRel, Ordering::Acquire, less).map_or(UNINITIALIZED, |_| SUCCESS)
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlSystemGetDriverVersion(text: Out<c_char>, size: u32) -> i32 {
    initialised(|| give(text, DRIVER_VERSION, size))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlSystemGetNVMLVersion(text: Out<c_char>, size: u32) -> i32 {
    give(text, NVML_VERSION, size)
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlSystemGetCudaDriverVersion(version: Out<i32>) -> i32 {
    wrote(version.set(CUDA_VERSION))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlSystemGetCudaDriverVersion_v2(version: Out<i32>) -> i32 {
    nvmlSystemGetCudaDriverVersion(version)
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlErrorString(error: i32) -> *const c_char {
    let text: &CStr = match error {
        SUCCESS => c"Success",
        UNINITIALIZED => c"Uninitialized",
        INVALID_ARGUMENT => c"Invalid Argument",
        crate::NOT_SUPPORTED => c"Not Supported",
        crate::NOT_FOUND => c"Not Found",
        INSUFFICIENT_SIZE => c"Insufficient Size",
        crate::DRIVER_NOT_LOADED => c"Driver Not Loaded",
        _ => c"Unknown Error",
    };
    text.as_ptr()
}
