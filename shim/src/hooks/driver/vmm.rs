use super::{Device, Handle, Layer, Pointer, Stream, hooks, out};
use crate::effect::{alloc, alloc_on, free, map, note, retain, unmap};
use crate::hooks::layouts::place;
use core::ffi::c_void;

const VMM: &str = "vmm";
/// Of another process, by a handle.
const IMPORTED: &str = "vmm-foreign";

hooks! { Layer::Driver, i32, ();
    cuMemCreate as "cuMemCreate" 10020..99999
        (handle: *mut Handle, size: usize, properties: *const c_void, flags: u64) -> 3
        |call, rc| {
            let (kind, dev) = place(properties);
            alloc_on(&call, rc.into(), kind, dev, size as u64, out!(rc, handle).unwrap_or(0));
        };
    cuMemRelease as "cuMemRelease" 10020..99999 (handle: Handle) -> 3
        |call, rc| free(&call, rc.into(), VMM, handle);
    cuMemRetainAllocationHandle as "cuMemRetainAllocationHandle" 11000..99999
        (handle: *mut Handle, at: *mut c_void) -> 3
        |call, rc| retain(&call, rc.into(), out!(rc, handle).unwrap_or(0), at as u64);
    cuMemMap as "cuMemMap" 10020..99999
        (at: Pointer, size: usize, offset: usize, handle: Handle, flags: u64) -> 3
        |call, rc| map(&call, rc.into(), at, size as u64, handle);
    cuMemUnmap as "cuMemUnmap" 10020..99999 (at: Pointer, size: usize) -> 3
        |call, rc| unmap(&call, rc.into(), at, size as u64);
    cuMemAddressReserve as "cuMemAddressReserve" 10020..99999
        (at: *mut Pointer, size: usize, alignment: usize, wanted: Pointer, flags: u64) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, at).unwrap_or(0), size as u64);
    cuMemAddressFree as "cuMemAddressFree" 10020..99999 (at: Pointer, size: usize) -> 3
        |call, rc| note(&call, rc.into(), at, size as u64);
    cuMemSetAccess as "cuMemSetAccess" 10020..99999
        (at: Pointer, size: usize, access: *const c_void, count: usize) -> 3
        |call, rc| note(&call, rc.into(), at, size as u64);
    cuMemMapArrayAsync as "cuMemMapArrayAsync" 11010..99999 (maps: *mut c_void, count: u32, stream: Stream) -> 3
        |call, rc| note(&call, rc.into(), maps as u64, 0);
    cuMemMapArrayAsync_ptsz as "cuMemMapArrayAsync" 11010..99999 [per_thread]
        (maps: *mut c_void, count: u32, stream: Stream) -> 3
        |call, rc| note(&call, rc.into(), maps as u64, 0);
    cuMemExportToShareableHandle as "cuMemExportToShareableHandle" 10020..99999
        (shareable: *mut c_void, handle: Handle, kind: i32, flags: u64) -> 3
        |call, rc| note(&call, rc.into(), handle, 0);
    cuMemImportFromShareableHandle as "cuMemImportFromShareableHandle" 10020..99999
        (handle: *mut Handle, shareable: *mut c_void, kind: i32) -> 3
        |call, rc| alloc(&call, rc.into(), IMPORTED, 0, out!(rc, handle).unwrap_or(0));
    cuMemGetHandleForAddressRange as "cuMemGetHandleForAddressRange" 11070..99999
        (handle: *mut c_void, at: Pointer, size: usize, kind: i32, flags: u64) -> 3
        |call, rc| note(&call, rc.into(), at, size as u64);

    // A multicast object is a window onto memory that each device gives by a handle of its own.
    cuMulticastCreate as "cuMulticastCreate" 12010..99999 (handle: *mut Handle, properties: *const c_void) -> 3
        |call, rc| alloc(&call, rc.into(), IMPORTED, 0, out!(rc, handle).unwrap_or(0));
    cuMulticastAddDevice as "cuMulticastAddDevice" 12010..99999 (handle: Handle, dev: Device) -> 3
        |call, rc| note(&call, rc.into(), handle, 0);
    cuMulticastBindMem as "cuMulticastBindMem" 12010..13010
        (handle: Handle, offset: usize, memory: Handle, from: usize, size: usize, flags: u64) -> 3
        |call, rc| note(&call, rc.into(), memory, size as u64);
    cuMulticastBindMem_v2 as "cuMulticastBindMem" 13010..99999
        (handle: Handle, dev: Device, offset: usize, memory: Handle, from: usize, size: usize, flags: u64) -> 3
        |call, rc| note(&call, rc.into(), memory, size as u64);
    cuMulticastBindAddr as "cuMulticastBindAddr" 12010..13010
        (handle: Handle, offset: usize, at: Pointer, size: usize, flags: u64) -> 3
        |call, rc| note(&call, rc.into(), at, size as u64);
    cuMulticastBindAddr_v2 as "cuMulticastBindAddr" 13010..99999
        (handle: Handle, dev: Device, offset: usize, at: Pointer, size: usize, flags: u64) -> 3
        |call, rc| note(&call, rc.into(), at, size as u64);
    cuMulticastUnbind as "cuMulticastUnbind" 12010..99999
        (handle: Handle, dev: Device, offset: usize, size: usize) -> 3
        |call, rc| note(&call, rc.into(), handle, size as u64);
    cuMulticastGetGranularity as "cuMulticastGetGranularity" 12010..99999
        (size: *mut usize, properties: *const c_void, option: i32) -> 3
        |call, rc| note(&call, rc.into(), 0, out!(rc, size).unwrap_or(0));
}
