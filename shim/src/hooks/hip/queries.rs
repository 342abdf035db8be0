use super::layouts::{OLD_HIP_TOTAL, TOTAL, word_of};
use super::{Device, Handle, Layer, Location, Pointer, hooks, out};
use crate::effect::note;
use crate::hooks::{query_free, query_total};
use crate::resolve;
use crate::weights::evict;
use core::ffi::{c_char, c_void};

hooks! { Layer::Hip, i32, ();
    hipGetProcAddress as "hipGetProcAddress" 0..0
        (name: *const c_char, function: *mut usize, version: i32, flags: u64, status: *mut i32) -> 3
        |call, rc| resolve::looked_up(&call, rc, name, function);
    hipGetProcAddress_spt as "hipGetProcAddress" 0..0 [per_thread]
        (name: *const c_char, function: *mut usize, version: i32, flags: u64, status: *mut i32) -> 3
        |call, rc| resolve::looked_up(&call, rc, name, function);
    hipGetDriverEntryPoint as "hipGetDriverEntryPoint" 0..0
        (name: *const c_char, function: *mut usize, flags: u64, status: *mut i32) -> 3
        |call, rc| resolve::looked_up(&call, rc, name, function);
    hipGetDriverEntryPoint_spt as "hipGetDriverEntryPoint" 0..0 [per_thread]
        (name: *const c_char, function: *mut usize, flags: u64, status: *mut i32) -> 3
        |call, rc| resolve::looked_up(&call, rc, name, function);

    hipMemGetInfo as "hipMemGetInfo" 0..0 (free: *mut usize, total: *mut usize) -> 3 first _done = evict::before(&call);
        |call, rc| query_free!(call, rc, free, total);
    hipDeviceTotalMem as "hipDeviceTotalMem" 0..0 (total: *mut usize, dev: Device) -> 3
        |call, rc| query_total!(call, rc, dev, total);
    // Under its plain name the function is still that of HIP 5: newer headers ask for the one with the release behind it.
    hipGetDeviceProperties as "hipGetDeviceProperties" 0..0 (properties: *mut usize, dev: Device) -> 3
        |call, rc| query_total!(call, rc, dev, word_of(properties, OLD_HIP_TOTAL));
    hipGetDevicePropertiesR0000 as "hipGetDeviceProperties" 0..0 (properties: *mut usize, dev: Device) -> 3
        |call, rc| query_total!(call, rc, dev, word_of(properties, OLD_HIP_TOTAL));
    hipGetDevicePropertiesR0600 as "hipGetDeviceProperties" 0..0 (properties: *mut usize, dev: Device) -> 3
        |call, rc| query_total!(call, rc, dev, word_of(properties, TOTAL));

    hipMemPtrGetInfo as "hipMemPtrGetInfo" 0..0 (at: Pointer, size: *mut usize) -> 3
        |call, rc| note(&call, rc.into(), at as u64, out!(rc, size).unwrap_or(0));
    hipMemGetAddressRange as "hipMemGetAddressRange" 0..0 (base: *mut Pointer, size: *mut usize, at: Pointer) -> 3
        |call, rc| note(&call, rc.into(), at as u64, out!(rc, size).unwrap_or(0));
    hipPointerGetAttributes as "hipPointerGetAttributes" 0..0 (attributes: *mut c_void, at: Pointer) -> 3
        |call, rc| note(&call, rc.into(), at as u64, 0);
    hipMemGetAllocationGranularity as "hipMemGetAllocationGranularity" 0..0
        (size: *mut usize, properties: *const c_void, option: i32) -> 3
        |call, rc| note(&call, rc.into(), 0, out!(rc, size).unwrap_or(0));
    hipMemGetAllocationPropertiesFromHandle as "hipMemGetAllocationPropertiesFromHandle" 0..0
        (properties: *mut c_void, handle: Handle) -> 3
        |call, rc| note(&call, rc.into(), handle as u64, 0);
    hipMemGetAccess as "hipMemGetAccess" 0..0 (flags: *mut u64, location: *const Location, at: Pointer) -> 3
        |call, rc| note(&call, rc.into(), at as u64, 0);
    hipMemRangeGetAttribute as "hipMemRangeGetAttribute" 0..0
        (data: *mut c_void, size: usize, attribute: i32, at: Pointer, count: usize) -> 3
        |call, rc| note(&call, rc.into(), at as u64, count as u64);
    hipMemRangeGetAttributes as "hipMemRangeGetAttributes" 0..0
        (data: *mut *mut c_void, sizes: *mut usize, attributes: *mut i32, number: usize, at: Pointer, count: usize) -> 3
        |call, rc| note(&call, rc.into(), at as u64, count as u64);
}
