use super::layouts::place;
use super::{Handle, Layer, Pointer, Stream, hooks, out};
use crate::effect::{alloc, alloc_on, free, map, note, retain, unmap};
use core::ffi::c_void;

const VMM: &str = "vmm";
/// Of another process, by a handle.
const IMPORTED: &str = "vmm-foreign";

hooks! { Layer::Hip, i32, ();
    hipMemCreate as "hipMemCreate" 0..0
        (handle: *mut Handle, size: usize, properties: *const c_void, flags: u64) -> 3
        |call, rc| {
            let (kind, dev) = place(properties);
            alloc_on(&call, rc.into(), kind, dev, size as u64, out!(rc, handle).unwrap_or(0));
        };
    hipMemRelease as "hipMemRelease" 0..0 (handle: Handle) -> 3
        |call, rc| free(&call, rc.into(), VMM, handle as u64);
    hipMemRetainAllocationHandle as "hipMemRetainAllocationHandle" 0..0 (handle: *mut Handle, at: *mut c_void) -> 3
        |call, rc| retain(&call, rc.into(), out!(rc, handle).unwrap_or(0), at as u64);
    hipMemMap as "hipMemMap" 0..0 (at: Pointer, size: usize, offset: usize, handle: Handle, flags: u64) -> 3
        |call, rc| map(&call, rc.into(), at as u64, size as u64, handle as u64);
    hipMemUnmap as "hipMemUnmap" 0..0 (at: Pointer, size: usize) -> 3
        |call, rc| unmap(&call, rc.into(), at as u64, size as u64);
    hipMemAddressReserve as "hipMemAddressReserve" 0..0
        (at: *mut Pointer, size: usize, alignment: usize, wanted: Pointer, flags: u64) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, at).unwrap_or(0), size as u64);
    hipMemAddressFree as "hipMemAddressFree" 0..0 (at: Pointer, size: usize) -> 3
        |call, rc| note(&call, rc.into(), at as u64, size as u64);
    hipMemSetAccess as "hipMemSetAccess" 0..0 (at: Pointer, size: usize, access: *const c_void, count: usize) -> 3
        |call, rc| note(&call, rc.into(), at as u64, size as u64);
    hipMemMapArrayAsync as "hipMemMapArrayAsync" 0..0 (maps: *mut c_void, count: u32, stream: Stream) -> 3
        |call, rc| note(&call, rc.into(), maps as u64, 0);
    hipMemExportToShareableHandle as "hipMemExportToShareableHandle" 0..0
        (shareable: *mut c_void, handle: Handle, kind: i32, flags: u64) -> 3
        |call, rc| note(&call, rc.into(), handle as u64, 0);
    hipMemImportFromShareableHandle as "hipMemImportFromShareableHandle" 0..0
        (handle: *mut Handle, shareable: *mut c_void, kind: i32) -> 3
        |call, rc| alloc(&call, rc.into(), IMPORTED, 0, out!(rc, handle).unwrap_or(0));
    hipMemGetHandleForAddressRange as "hipMemGetHandleForAddressRange" 0..0
        (handle: *mut c_void, at: Pointer, size: usize, kind: i32, flags: u64) -> 3
        |call, rc| note(&call, rc.into(), at as u64, size as u64);
}
