//! Virtual memory management.

use crate::{INVALID_VALUE, NOT_SUPPORTED, SUCCESS, code, gpu, gpu_at, gpu_of, gpus};
use kvtrace_cuda_sim::abi::{In, Out};
use kvtrace_cuda_sim::{Error, GRANULE, Place};

/// `CUmemAllocationProp`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct AllocationProperties {
    kind: i32,
    handle_types: i32,
    location: i32,
    location_id: i32,
    windows_metadata: usize,
    flags: [u8; 8],
}

const HANDLE_FILE_DESCRIPTOR: i32 = 1;
const LOCATION_DEVICE: i32 = 1;
const LOCATIONS_HOST: core::ops::RangeInclusive<i32> = 2..=4;

#[unsafe(no_mangle)]
pub extern "C" fn cuMemGetAllocationGranularity(bytes: Out<usize>, _properties: usize, _option: i32) -> i32 {
    bytes.set(GRANULE as usize)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemAddressReserve(address: Out<u64>, bytes: usize, align: usize, _wish: u64, _flags: u64) -> i32 {
    let reserved = gpu().and_then(|gpu| gpu.reserve(bytes as u64, align as u64));
    reserved.map_or_else(Error::code, |got| address.set(got))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemAddressFree(address: u64, bytes: usize) -> i32 {
    code(gpu().and_then(|gpu| gpu.unreserve(address, bytes as u64)))
}

/// A handle may become a file descriptor; other types are refused, as by a driver without them.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemCreate(
    handle: Out<u64>,
    bytes: usize,
    properties: In<AllocationProperties>,
    _flags: u64,
) -> i32 {
    let Some(properties) = properties.get() else { return INVALID_VALUE };
    let place = match properties.location {
        LOCATION_DEVICE => Place::Device,
        location if LOCATIONS_HOST.contains(&location) => Place::Host,
        _ => return INVALID_VALUE,
    };
    if properties.handle_types & !HANDLE_FILE_DESCRIPTOR != 0 {
        return NOT_SUPPORTED;
    }
    let gpu = match place {
        Place::Device => gpus().and_then(|all| {
            let ordinal = usize::try_from(properties.location_id).ok();
            ordinal.and_then(|ordinal| all.get(ordinal)).ok_or(Error::InvalidDevice)
        }),
        Place::Host => gpu(),
    };
    gpu.and_then(|gpu| gpu.create(bytes as u64, place)).map_or_else(Error::code, |got| handle.set(got))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemRelease(handle: u64) -> i32 {
    code(gpu_of(|gpu| gpu.has_handle(handle)).and_then(|gpu| gpu.release(handle)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemRetainAllocationHandle(handle: Out<u64>, address: u64) -> i32 {
    gpu_at(address).and_then(|gpu| gpu.retain(address)).map_or_else(Error::code, |got| handle.set(got))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemMap(address: u64, bytes: usize, offset: usize, handle: u64, _flags: u64) -> i32 {
    code(gpu_of(|gpu| gpu.has_handle(handle)).and_then(|gpu| gpu.map(address, bytes as u64, offset as u64, handle)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemUnmap(address: u64, bytes: usize) -> i32 {
    code(gpu_at(address).and_then(|gpu| gpu.unmap(address, bytes as u64)))
}

/// Access is not modelled beyond the check that the range is ours: what is mapped can be read and written.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemSetAccess(address: u64, bytes: usize, _descriptions: usize, _count: usize) -> i32 {
    let known = gpu().is_ok_and(|gpu| gpu.reserved(address, bytes as u64));
    if known { SUCCESS } else { INVALID_VALUE }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemGetAccess(flags: Out<u64>, _location: usize, _address: u64) -> i32 {
    flags.set(3)
}
