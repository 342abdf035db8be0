//! Device, managed and pinned host memory.

use crate::context::with_context;
use crate::driver::{self, Address};
use crate::error::{INVALID_VALUE, SUCCESS, done};
use crate::pointer;
use core::ffi::c_void;

/// Runs an allocation for a caller that must want the address.
pub(crate) fn allocate(place: *mut *mut c_void, act: impl FnOnce(*mut Address) -> i32) -> i32 {
    if place.is_null() { done(INVALID_VALUE) } else { with_context(|| act(place.cast())) }
}

pub extern "C" fn cudaMemGetInfo(free: *mut usize, total: *mut usize) -> i32 {
    with_context(|| driver::cuMemGetInfo(free, total))
}

/// No bytes are legal, and give the null address.
pub extern "C" fn cudaMalloc(address: *mut *mut c_void, bytes: usize) -> i32 {
    allocate(address, |place| if bytes == 0 { pointer::write(place, 0) } else { driver::cuMemAlloc(place, bytes) })
}

/// Freeing the null address makes the context and no more; programs use it for that.
pub extern "C" fn cudaFree(address: *mut c_void) -> i32 {
    with_context(|| if address.is_null() { SUCCESS } else { driver::cuMemFree(address as Address) })
}

pub extern "C" fn cudaMallocManaged(address: *mut *mut c_void, bytes: usize, flags: u32) -> i32 {
    allocate(address, |place| driver::cuMemAllocManaged(place, bytes, flags))
}

pub extern "C" fn cudaMallocHost(address: *mut *mut c_void, bytes: usize) -> i32 {
    cudaHostAlloc(address, bytes, 0)
}

pub extern "C" fn cudaHostAlloc(address: *mut *mut c_void, bytes: usize, flags: u32) -> i32 {
    allocate(address, |place| driver::cuMemHostAlloc(place, bytes, flags))
}

pub extern "C" fn cudaFreeHost(address: *mut c_void) -> i32 {
    with_context(|| if address.is_null() { SUCCESS } else { driver::cuMemFreeHost(address as Address) })
}

pub extern "C" fn cudaHostRegister(address: *mut c_void, bytes: usize, flags: u32) -> i32 {
    with_context(|| driver::cuMemHostRegister(address as Address, bytes, flags))
}

pub extern "C" fn cudaHostUnregister(address: *mut c_void) -> i32 {
    with_context(|| driver::cuMemHostUnregister(address as Address))
}

pub extern "C" fn cudaHostGetDevicePointer(device: *mut *mut c_void, host: *mut c_void, flags: u32) -> i32 {
    allocate(device, |place| driver::cuMemHostGetDevicePointer(place, host as Address, flags))
}

pub extern "C" fn cudaHostGetFlags(flags: *mut u32, host: *mut c_void) -> i32 {
    with_context(|| driver::cuMemHostGetFlags(flags, host as Address))
}

pub extern "C" fn cudaMallocPitch(address: *mut *mut c_void, pitch: *mut usize, width: usize, height: usize) -> i32 {
    allocate(address, |place| driver::cuMemAllocPitch(place, pitch, width, height, 4))
}

/// `cudaExtent`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Extent {
    width: usize,
    height: usize,
    depth: usize,
}

/// `cudaPitchedPtr`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Pitched {
    address: Address,
    pitch: usize,
    width: usize,
    height: usize,
}

pub extern "C" fn cudaMalloc3D(pitched: *mut Pitched, extent: Extent) -> i32 {
    let Some(rows) = extent.height.checked_mul(extent.depth) else { return done(INVALID_VALUE) };
    let (mut address, mut pitch) = (core::ptr::null_mut(), 0);
    match cudaMallocPitch(&mut address, &mut pitch, extent.width, rows) {
        SUCCESS => {
            let made = Pitched { address: address as Address, pitch, width: extent.width, height: extent.height };
            done(pointer::write(pitched, made))
        }
        failure => failure,
    }
}

const UNREGISTERED: i32 = 0;
const MANAGED: i32 = 3;
const MEMORY_TYPE: i32 = 2;
const IS_MANAGED: i32 = 8;
const ORDINAL: i32 = 9;

/// The part of `cudaPointerAttributes` that is not reserved.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct PointerAttributes {
    kind: i32,
    device: i32,
    device_pointer: Address,
    host_pointer: Address,
}

/// A pointer that the driver does not know is unregistered host memory: no error since CUDA 11.
pub extern "C" fn cudaPointerGetAttributes(attributes: *mut PointerAttributes, address: *const c_void) -> i32 {
    const HOST: i32 = 1;
    let address = address as Address;
    with_context(|| {
        let (mut kind, mut managed) = (UNREGISTERED, 0i32);
        let known = driver::cuPointerGetAttribute((&raw mut kind).cast(), MEMORY_TYPE, address) == SUCCESS
            && driver::cuPointerGetAttribute((&raw mut managed).cast(), IS_MANAGED, address) == SUCCESS;
        let mut device = 0i32;
        if known {
            driver::cuPointerGetAttribute((&raw mut device).cast(), ORDINAL, address);
        }
        let kind = if managed != 0 { MANAGED } else { kind };
        let found = PointerAttributes {
            kind,
            device: if known { device } else { -2 },
            device_pointer: if known { address } else { 0 },
            host_pointer: if known && kind != HOST && kind != MANAGED { 0 } else { address },
        };
        pointer::write(attributes, found)
    })
}
