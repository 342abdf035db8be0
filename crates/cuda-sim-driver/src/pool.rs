//! Stream-ordered memory. Every pool is the device's default one and keeps nothing back: what is freed is free at once.

use crate::memory::{allocate, free};
use crate::{INVALID_VALUE, SUCCESS, gpu};
use kvtrace_cuda_sim::abi::Out;
use kvtrace_cuda_sim::{Error, Kind};

/// A pool handle; nobody looks into it.
type Pool = usize;

const DEFAULT_POOL: Pool = 0x6b76_7000;

#[unsafe(no_mangle)]
pub extern "C" fn cuMemAllocAsync(address: Out<u64>, bytes: usize, _stream: usize) -> i32 {
    allocate(address, Kind::Async, bytes)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemAllocFromPoolAsync(address: Out<u64>, bytes: usize, _pool: Pool, _stream: usize) -> i32 {
    allocate(address, Kind::Async, bytes)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemFreeAsync(address: u64, _stream: usize) -> i32 {
    free(address)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetDefaultMemPool(pool: Out<Pool>, _device: i32) -> i32 {
    pool.set(DEFAULT_POOL)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetMemPool(pool: Out<Pool>, _device: i32) -> i32 {
    pool.set(DEFAULT_POOL)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemGetDefaultMemPool(pool: Out<Pool>, _location: usize, _kind: i32) -> i32 {
    pool.set(DEFAULT_POOL)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemGetMemPool(pool: Out<Pool>, _location: usize, _kind: i32) -> i32 {
    pool.set(DEFAULT_POOL)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemPoolCreate(pool: Out<Pool>, _properties: usize) -> i32 {
    pool.set(DEFAULT_POOL)
}

/// Attributes 1 to 3 are switches of 32 bits, 4 is the release threshold, 5 to 8 are reserved and used bytes.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemPoolGetAttribute(_pool: Pool, attribute: i32, value: Out<u64>) -> i32 {
    gpu().map_or_else(Error::code, |gpu| match attribute {
        1..=3 => {
            // SAFETY: by the API's contract the caller's value has 32 bits for these attributes.
            unsafe { Out::from_raw(core::mem::transmute::<Out<u64>, *mut i32>(value)) }.set(1)
        }
        4 => value.set(0),
        5..=8 => value.set(gpu.live(Kind::Async)),
        _ => INVALID_VALUE,
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemPoolGetAccess(flags: Out<i32>, _pool: Pool, _location: usize) -> i32 {
    flags.offer(3);
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetGraphMemAttribute(_device: i32, _attribute: i32, value: Out<u64>) -> i32 {
    value.set(0)
}
