//! Stream-ordered memory and its pools.

use crate::memory::free_with;
use crate::{INVALID_VALUE, NOT_SUPPORTED, SUCCESS, code, gpu, gpu_of};
use kvtrace_cuda_sim::abi::{In, Out};
use kvtrace_cuda_sim::{Device, Error, PoolFigure, Result};

/// A pool handle; nobody looks into it.
type Pool = u64;

const ON_DEVICE: i32 = 1;

/// `CUmemPoolProps`, up to what is looked at.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct PoolProperties {
    kind: i32,
    handle_types: i32,
    location: i32,
    location_id: i32,
}

/// The device of a pool.
fn owner(pool: Pool) -> Result<&'static Device> {
    gpu_of(|gpu| gpu.has_pool(pool))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemAllocAsync(address: Out<u64>, bytes: usize, _stream: usize) -> i32 {
    gpu().map_or_else(Error::code, |gpu| cuMemAllocFromPoolAsync(address, bytes, gpu.pool(), 0))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemAllocFromPoolAsync(address: Out<u64>, bytes: usize, pool: Pool, _stream: usize) -> i32 {
    if address.is_null() {
        return INVALID_VALUE;
    }
    let got = owner(pool).and_then(|gpu| gpu.alloc_from(pool, bytes as u64));
    got.map_or_else(Error::code, |got| address.set(got))
}

/// Also frees what did not come from a pool, as a real driver does.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemFreeAsync(address: u64, _stream: usize) -> i32 {
    free_with(address, Device::free_ordered)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetDefaultMemPool(pool: Out<Pool>, device: i32) -> i32 {
    crate::device::on_device(device, |gpu| pool.set(gpu.default_pool()))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetMemPool(pool: Out<Pool>, device: i32) -> i32 {
    crate::device::on_device(device, |gpu| pool.set(gpu.pool()))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceSetMemPool(device: i32, pool: Pool) -> i32 {
    crate::device::on_device(device, |gpu| code(gpu.set_pool(pool)))
}

/// The device of a `CUmemLocation`: what it is, and which. One that is no device is taken for the first.
fn device_of(location: In<[i32; 2]>) -> i32 {
    location.get().filter(|[kind, _]| *kind == ON_DEVICE).map_or(0, |[_, number]| number)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemGetDefaultMemPool(pool: Out<Pool>, location: In<[i32; 2]>, _kind: i32) -> i32 {
    cuDeviceGetDefaultMemPool(pool, device_of(location))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemGetMemPool(pool: Out<Pool>, location: In<[i32; 2]>, _kind: i32) -> i32 {
    cuDeviceGetMemPool(pool, device_of(location))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemSetMemPool(location: In<[i32; 2]>, _kind: i32, pool: Pool) -> i32 {
    cuDeviceSetMemPool(device_of(location), pool)
}

/// Pools of the host's memory are not modelled.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemPoolCreate(pool: Out<Pool>, properties: In<PoolProperties>) -> i32 {
    match properties.get() {
        Some(properties) if properties.location == ON_DEVICE => {
            crate::device::on_device(properties.location_id, |gpu| {
                if pool.is_null() { INVALID_VALUE } else { pool.set(gpu.create_pool()) }
            })
        }
        Some(_) => NOT_SUPPORTED,
        None => INVALID_VALUE,
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemPoolDestroy(pool: Pool) -> i32 {
    code(owner(pool).and_then(|gpu| gpu.destroy_pool(pool)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemPoolTrimTo(pool: Pool, keep: usize) -> i32 {
    code(owner(pool).and_then(|gpu| gpu.trim_pool(pool, keep as u64)))
}

/// Attributes 1 to 3 are switches for reuse between streams; it makes no difference here.
fn figure(attribute: i32) -> Option<PoolFigure> {
    use PoolFigure::{Reserved, ReservedHigh, Threshold, Used, UsedHigh};
    [Threshold, Reserved, ReservedHigh, Used, UsedHigh].into_iter().find(|figure| *figure as i32 == attribute)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemPoolGetAttribute(pool: Pool, attribute: i32, value: Out<u64>) -> i32 {
    owner(pool).map_or_else(Error::code, |gpu| match (figure(attribute), attribute) {
        (Some(figure), _) => gpu.pool_figure(pool, figure).map_or_else(Error::code, |got| value.set(got)),
        (None, 1..=3) if gpu.has_pool(pool) => {
            // SAFETY: by the API's contract the caller's value has 32 bits for these attributes.
            unsafe { Out::from_raw(core::mem::transmute::<Out<u64>, *mut i32>(value)) }.set(1)
        }
        _ => INVALID_VALUE,
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemPoolSetAttribute(pool: Pool, attribute: i32, value: In<u64>) -> i32 {
    owner(pool).map_or_else(Error::code, |gpu| match (figure(attribute), attribute) {
        (Some(figure), _) => value.get().map_or(INVALID_VALUE, |value| code(gpu.set_pool_figure(pool, figure, value))),
        (None, 1..=3) if gpu.has_pool(pool) => SUCCESS,
        _ => INVALID_VALUE,
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemPoolGetAccess(flags: Out<i32>, _pool: Pool, _location: usize) -> i32 {
    flags.offer(3);
    SUCCESS
}
