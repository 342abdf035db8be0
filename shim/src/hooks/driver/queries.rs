use super::{Device, Handle, Layer, Location, Pointer, hooks, out};
use crate::effect::{note, out};
use crate::hooks::{query_free, query_total};
use crate::proc_address::{is_per_thread, is_per_thread_by_default, looked_up};
use crate::weights::evict;
use core::ffi::{c_char, c_void};

/// `CU_POINTER_ATTRIBUTE_RANGE_SIZE`
const RANGE_SIZE: i32 = 12;
/// There are fewer attributes; what lies beyond is not looked at.
const MOST_ATTRIBUTES: usize = 64;

/// The size of the range that `data` holds for the attribute that asks for it, if one does.
///
/// # Safety
/// The driver has just read `number` attributes and written as many values.
unsafe fn range_size(number: u32, attributes: *const i32, data: *const *mut c_void) -> Option<u64> {
    let mut indices = 0..(number as usize).min(MOST_ATTRIBUTES);
    // SAFETY: the caller's promise.
    let at = indices.find(|at| unsafe { attributes.add(*at).read_unaligned() } == RANGE_SIZE)?;
    // SAFETY: as above; the value of this attribute is a size_t.
    unsafe { out(data.add(at).read_unaligned().cast::<usize>()) }.map(|size| size as u64)
}

hooks! { Layer::Driver, i32, ();
    cuGetProcAddress as "cuGetProcAddress" 11030..12000
        (name: *const c_char, function: *mut usize, version: i32, flags: u64) -> 3
        |call, rc| looked_up(&call, rc, name, function, version, is_per_thread(flags));
    cuGetProcAddress_v2 as "cuGetProcAddress" 12000..99999
        (name: *const c_char, function: *mut usize, version: i32, flags: u64, status: *mut i32) -> 3
        |call, rc| looked_up(&call, rc, name, function, version, is_per_thread(flags));
    cuGetProcAddress_v2_ptsz as "cuGetProcAddress" 12000..99999 [per_thread]
        (name: *const c_char, function: *mut usize, version: i32, flags: u64, status: *mut i32) -> 3
        |call, rc| looked_up(&call, rc, name, function, version, is_per_thread_by_default(flags));
    cuGetExportTable as "cuGetExportTable" 3000..99999 (table: *mut *const c_void, id: *const c_void) -> 3
        |call, rc| note(&call, rc.into(), 0, 0);

    cuMemGetInfo as "cuMemGetInfo" 2000..3020 (free: *mut u32, total: *mut u32) -> 3 first _done = evict::before(&call);
        |call, rc| query_free!(call, rc, free, total);
    cuMemGetInfo_v2 as "cuMemGetInfo" 3020..99999 (free: *mut usize, total: *mut usize) -> 3 first _done = evict::before(&call);
        |call, rc| query_free!(call, rc, free, total);
    cuDeviceTotalMem as "cuDeviceTotalMem" 2000..3020 (total: *mut u32, dev: Device) -> 3
        |call, rc| query_total!(call, rc, dev, total);
    cuDeviceTotalMem_v2 as "cuDeviceTotalMem" 3020..99999 (total: *mut usize, dev: Device) -> 3
        |call, rc| query_total!(call, rc, dev, total);

    cuMemGetAddressRange as "cuMemGetAddressRange" 2000..3020 (base: *mut u32, size: *mut u32, at: u32) -> 3
        |call, rc| note(&call, rc.into(), at.into(), out!(rc, size).unwrap_or(0));
    cuMemGetAddressRange_v2 as "cuMemGetAddressRange" 3020..99999
        (base: *mut Pointer, size: *mut usize, at: Pointer) -> 3
        |call, rc| note(&call, rc.into(), at, out!(rc, size).unwrap_or(0));
    cuMemGetAllocationGranularity as "cuMemGetAllocationGranularity" 10020..99999
        (size: *mut usize, properties: *const c_void, option: i32) -> 3
        |call, rc| note(&call, rc.into(), 0, out!(rc, size).unwrap_or(0));
    cuMemGetAllocationPropertiesFromHandle as "cuMemGetAllocationPropertiesFromHandle" 10020..99999
        (properties: *mut c_void, handle: Handle) -> 3
        |call, rc| note(&call, rc.into(), handle, 0);
    cuMemGetAccess as "cuMemGetAccess" 10020..99999 (flags: *mut u64, location: *const Location, at: Pointer) -> 3
        |call, rc| note(&call, rc.into(), at, 0);
    cuMemRangeGetAttribute as "cuMemRangeGetAttribute" 8000..99999
        (data: *mut c_void, size: usize, attribute: i32, at: Pointer, count: usize) -> 3
        |call, rc| note(&call, rc.into(), at, count as u64);
    cuMemRangeGetAttributes as "cuMemRangeGetAttributes" 8000..99999
        (data: *mut *mut c_void, sizes: *mut usize, attributes: *mut i32, number: usize, at: Pointer, count: usize) -> 3
        |call, rc| note(&call, rc.into(), at, count as u64);
    // Triton asks for another attribute of each pointer at each launch: only the question for a size is worth a line.
    cuPointerGetAttribute as "cuPointerGetAttribute" 4000..99999 (data: *mut c_void, attribute: i32, at: Pointer) -> 3
        |call, rc| if attribute == RANGE_SIZE {
            note(&call, rc.into(), at, out!(rc, data.cast::<usize>()).unwrap_or(0));
        };
    cuPointerGetAttributes as "cuPointerGetAttributes" 7000..99999
        (number: u32, attributes: *mut i32, data: *mut *mut c_void, at: Pointer) -> 3
        // SAFETY: the driver succeeded.
        |call, rc| if rc == 0 && let Some(size) = unsafe { range_size(number, attributes, data) } {
            note(&call, 0, at, size);
        };
    cuMemGetLocationInfo as "cuMemGetLocationInfo" 13040..99999
        (at: Pointer, size: usize, summary: usize, sampling: usize, location: *mut Location) -> 3
        |call, rc| note(&call, rc.into(), at, size as u64);
}
