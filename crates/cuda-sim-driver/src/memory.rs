//! Device, managed and pinned host memory, and what is asked about it.

use crate::{INVALID_VALUE, NOT_SUPPORTED, SUCCESS, code, gpu, gpu_at, gpus};
use kvtrace_cuda_sim::abi::Out;
use kvtrace_cuda_sim::{Block, Device, Error, Kind, Result};

/// Pitches are whole multiples of this, in bytes.
const PITCH: usize = 512;

pub(crate) fn allocate(address: Out<u64>, kind: Kind, bytes: usize) -> i32 {
    if address.is_null() {
        return INVALID_VALUE;
    }
    gpu().and_then(|gpu| gpu.alloc(kind, bytes as u64)).map_or_else(Error::code, |got| address.set(got))
}

/// Freeing the null address is legal and does nothing.
pub(crate) fn free_with(address: u64, free: impl FnOnce(&Device, u64) -> Result<Block>) -> i32 {
    if address == 0 { SUCCESS } else { code(gpu_at(address).and_then(|gpu| free(gpu, address).map(drop))) }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemGetInfo_v2(free: Out<usize>, total: Out<usize>) -> i32 {
    gpu().map_or_else(Error::code, |gpu| {
        let memory = gpu.memory();
        free.offer(memory.free as usize);
        total.offer(memory.total as usize);
        SUCCESS
    })
}

/// The ABI of CUDA 2: sizes have 32 bits.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemGetInfo(free: Out<u32>, total: Out<u32>) -> i32 {
    gpu().map_or_else(Error::code, |gpu| {
        let memory = gpu.memory();
        free.offer(memory.free.try_into().unwrap_or(u32::MAX));
        total.offer(memory.total.try_into().unwrap_or(u32::MAX));
        SUCCESS
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemAlloc_v2(address: Out<u64>, bytes: usize) -> i32 {
    allocate(address, Kind::Device, bytes)
}

/// The ABI of CUDA 2: an address of 32 bits cannot hold ours.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemAlloc(_address: Out<u32>, _bytes: u32) -> i32 {
    NOT_SUPPORTED
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemAllocPitch_v2(
    address: Out<u64>,
    pitch: Out<usize>,
    width: usize,
    height: usize,
    _element: u32,
) -> i32 {
    let row = width.checked_next_multiple_of(PITCH);
    let Some((row, bytes)) = row.and_then(|row| Some((row, row.checked_mul(height)?))) else {
        return INVALID_VALUE;
    };
    match allocate(address, Kind::Device, bytes) {
        SUCCESS => pitch.set(row),
        failure => failure,
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemFree_v2(address: u64) -> i32 {
    free_with(address, Device::free)
}

/// The ABI of CUDA 2: an address of 32 bits is never one of ours.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemFree(address: u32) -> i32 {
    if address == 0 { SUCCESS } else { INVALID_VALUE }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemAllocManaged(address: Out<u64>, bytes: usize, _flags: u32) -> i32 {
    allocate(address, Kind::Managed, bytes)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemPrefetchAsync(address: u64, bytes: usize, device: i32, _stream: usize) -> i32 {
    const HOST: i32 = -1;
    let known =
        device == HOST || usize::try_from(device).is_ok_and(|device| gpus().is_ok_and(|all| device < all.len()));
    if !known {
        return crate::INVALID_DEVICE;
    }
    // Managed memory is charged to the device that it was allocated on, wherever it goes.
    code(gpu_at(address).and_then(|gpu| gpu.prefetch(address, bytes as u64, device != HOST)))
}

/// The location is a structure of two words, by value: what it is, and which.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemPrefetchAsync_v2(address: u64, bytes: usize, location: u64, _flags: u32, stream: usize) -> i32 {
    const DEVICE: u32 = 1;
    const HOSTS: core::ops::RangeInclusive<u32> = 2..=4;
    match (location as u32, location >> 32) {
        (DEVICE, device) => cuMemPrefetchAsync(address, bytes, device as i32, stream),
        (kind, _) if HOSTS.contains(&kind) => cuMemPrefetchAsync(address, bytes, -1, stream),
        _ => INVALID_VALUE,
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemHostAlloc(address: Out<u64>, bytes: usize, _flags: u32) -> i32 {
    allocate(address, Kind::Host, bytes)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemAllocHost_v2(address: Out<u64>, bytes: usize) -> i32 {
    allocate(address, Kind::Host, bytes)
}

/// The ABI of CUDA 2: the size has 32 bits.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemAllocHost(address: Out<u64>, bytes: u32) -> i32 {
    allocate(address, Kind::Host, bytes as usize)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemFreeHost(address: u64) -> i32 {
    free_with(address, Device::free_host)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemHostRegister_v2(address: u64, bytes: usize, _flags: u32) -> i32 {
    code(gpu_at(address).and_then(|gpu| gpu.register(address, bytes as u64)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemHostRegister(address: u64, bytes: usize, flags: u32) -> i32 {
    cuMemHostRegister_v2(address, bytes, flags)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemHostUnregister(address: u64) -> i32 {
    code(gpu_at(address).and_then(|gpu| gpu.unregister(address).map(drop)))
}

/// Device and host see the same addresses.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemHostGetDevicePointer_v2(device: Out<u64>, host: u64, _flags: u32) -> i32 {
    device.set(host)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemHostGetFlags(flags: Out<u32>, _host: u64) -> i32 {
    flags.set(0)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemGetAddressRange_v2(base: Out<u64>, bytes: Out<usize>, address: u64) -> i32 {
    let found = gpu_at(address).and_then(|gpu| gpu.find(address).ok_or(Error::InvalidValue));
    found.map_or_else(Error::code, |(start, size, _)| {
        base.offer(start);
        bytes.offer(size as usize);
        SUCCESS
    })
}

const TYPE_HOST: u32 = 1;
const TYPE_DEVICE: u32 = 2;

/// `cuPointerGetAttribute`, for the attributes that allocators ask for. The value's size depends on the attribute.
#[unsafe(no_mangle)]
pub extern "C" fn cuPointerGetAttribute(value: Out<u64>, attribute: i32, address: u64) -> i32 {
    let Ok(gpu) = gpu_at(address) else { return INVALID_VALUE };
    let Some((base, size, kind)) = gpu.find(address) else { return INVALID_VALUE };
    let host = matches!(kind, Kind::Host | Kind::Registered);
    // SAFETY: by the API's contract the caller's value has the attribute's type: 32 bits for the small ones.
    let small = unsafe { Out::from_raw(core::mem::transmute::<Out<u64>, *mut u32>(value)) };
    match attribute {
        1 => value.set(crate::context::context_of(gpu) as u64),
        2 => small.set(if host { TYPE_HOST } else { TYPE_DEVICE }), // memory type
        3 | 4 => value.set(address),                                // device, host pointer
        6 => small.set(1),                                          // synchronous operations
        7 => value.set(base),                                       // buffer number
        8 => small.set(u32::from(kind == Kind::Managed)),
        9 => small.set(crate::ordinal_of(gpu) as u32),
        10 | 13 => small.set(0), // IPC, GPUDirect
        11 => value.set(base),
        12 => value.set(size),
        14 => small.set(1), // mapped
        _ => INVALID_VALUE,
    }
}
