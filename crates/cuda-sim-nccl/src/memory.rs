//! Memory that is allocated through the library, and windows onto it.

use crate::info::{INVALID_ARGUMENT, SUCCESS, fail};
use core::ffi::c_void;
use kvtrace_cuda_sim_quiet::abi::Out;
use kvtrace_cuda_sim_quiet::fresh_handle;
use kvtrace_cuda_sim_runtime as cudart;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The real library takes whole pieces of this size.
const GRANULE: usize = 2 << 20;

static WINDOWS: Mutex<BTreeMap<usize, usize>> = Mutex::new(BTreeMap::new());

fn windows() -> MutexGuard<'static, BTreeMap<usize, usize>> {
    WINDOWS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// By way of the runtime that the library has inside.
#[unsafe(no_mangle)]
pub extern "C" fn ncclMemAlloc(address: Out<*mut c_void>, size: usize) -> i32 {
    const UNHANDLED_CUDA_ERROR: i32 = 1;
    let Some(size) = size.checked_next_multiple_of(GRANULE) else { return INVALID_ARGUMENT };
    let mut got = core::ptr::null_mut();
    match cudart::cudaMalloc(&mut got, size) {
        SUCCESS => address.set(got),
        error => fail(UNHANDLED_CUDA_ERROR, &format!("CUDA error {error}")),
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclMemFree(address: *mut c_void) -> i32 {
    cudart::cudaFree(address)
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclCommRegister(_communicator: usize, _buffer: usize, _size: usize, handle: Out<usize>) -> i32 {
    handle.set(fresh_handle())
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclCommWindowRegister(
    _communicator: usize,
    buffer: usize,
    _size: usize,
    window: Out<usize>,
    _flags: i32,
) -> i32 {
    let new = fresh_handle();
    windows().insert(new, buffer);
    window.set(new)
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclCommWindowDeregister(_communicator: usize, window: usize) -> i32 {
    windows().remove(&window);
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclWinGetUserPtr(_communicator: usize, window: usize, buffer: Out<usize>) -> i32 {
    windows().get(&window).map_or(INVALID_ARGUMENT, |address| buffer.set(*address))
}

/// The library itself holds nothing that its callers could suspend.
#[unsafe(no_mangle)]
pub extern "C" fn ncclCommMemStats(_communicator: usize, _which: i32, value: Out<u64>) -> i32 {
    value.set(0)
}
