//! Stream-ordered memory and its pools.

use crate::context::with_context;
use crate::driver::{self, Address, Handle};
use crate::error::{INVALID_VALUE, SUCCESS, done};
use crate::memory::allocate;
use core::ffi::c_void;

pub extern "C" fn cudaMallocAsync(address: *mut *mut c_void, bytes: usize, stream: Handle) -> i32 {
    allocate(address, |place| driver::cuMemAllocAsync(place, bytes, stream))
}

pub extern "C" fn cudaMallocFromPoolAsync(
    address: *mut *mut c_void,
    bytes: usize,
    pool: Handle,
    stream: Handle,
) -> i32 {
    allocate(address, |place| driver::cuMemAllocFromPoolAsync(place, bytes, pool, stream))
}

pub extern "C" fn cudaFreeAsync(address: *mut c_void, stream: Handle) -> i32 {
    with_context(|| if address.is_null() { SUCCESS } else { driver::cuMemFreeAsync(address as Address, stream) })
}

pub extern "C" fn cudaDeviceGetDefaultMemPool(pool: *mut Handle, device: i32) -> i32 {
    with_context(|| driver::cuDeviceGetDefaultMemPool(pool, device))
}

pub extern "C" fn cudaDeviceGetMemPool(pool: *mut Handle, device: i32) -> i32 {
    with_context(|| driver::cuDeviceGetMemPool(pool, device))
}

pub extern "C" fn cudaDeviceSetMemPool(device: i32, pool: Handle) -> i32 {
    with_context(|| driver::cuDeviceSetMemPool(device, pool))
}

/// The device of a `cudaMemLocation`: what it is, and which.
fn device_of(location: *const [i32; 2]) -> i32 {
    const DEVICE: i32 = 1;
    // SAFETY: a caller of a CUDA function passes null or the address of a location.
    match unsafe { location.as_ref() } {
        Some([DEVICE, number]) => *number,
        _ => 0,
    }
}

/// Added in CUDA 13.
pub extern "C" fn cudaMemGetDefaultMemPool(pool: *mut Handle, location: *const [i32; 2], _kind: i32) -> i32 {
    cudaDeviceGetDefaultMemPool(pool, device_of(location))
}

pub extern "C" fn cudaMemGetMemPool(pool: *mut Handle, location: *const [i32; 2], _kind: i32) -> i32 {
    cudaDeviceGetMemPool(pool, device_of(location))
}

pub extern "C" fn cudaMemPoolCreate(pool: *mut Handle, properties: *const c_void) -> i32 {
    with_context(|| driver::cuMemPoolCreate(pool, properties as Handle))
}

pub extern "C" fn cudaMemPoolDestroy(pool: Handle) -> i32 {
    with_context(|| driver::cuMemPoolDestroy(pool))
}

pub extern "C" fn cudaMemPoolGetAttribute(pool: Handle, attribute: i32, value: *mut c_void) -> i32 {
    if value.is_null() {
        return done(INVALID_VALUE);
    }
    with_context(|| driver::cuMemPoolGetAttribute(pool, attribute, value))
}

pub extern "C" fn cudaMemPoolSetAttribute(pool: Handle, attribute: i32, value: *mut c_void) -> i32 {
    with_context(|| driver::cuMemPoolSetAttribute(pool, attribute, value))
}

pub extern "C" fn cudaMemPoolTrimTo(pool: Handle, keep: usize) -> i32 {
    with_context(|| driver::cuMemPoolTrimTo(pool, keep))
}

pub extern "C" fn cudaMemPoolGetAccess(flags: *mut i32, _pool: Handle, _location: *const c_void) -> i32 {
    const READ_AND_WRITE: i32 = 3;
    with_context(|| crate::pointer::write(flags, READ_AND_WRITE))
}
