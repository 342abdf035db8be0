use super::{Device, Layer, Location, Pointer, Pool, Stream, hooks, out};
use crate::effect::{alloc_foreign, free, note, pool_alloc, pool_call, pool_gone, pool_made};
use crate::hooks::layouts::place;
use crate::{device, pools};
use core::ffi::c_void;

const ASYNC: &str = "async";

hooks! { Layer::Hip, i32, ();
    hipMallocAsync as "hipMallocAsync" 0..0 (at: *mut Pointer, size: usize, stream: Stream) -> 3
        |call, rc| pool_alloc(&call, rc.into(), 0, stream as u64, size as u64, out!(rc, at).unwrap_or(0));
    hipMallocFromPoolAsync as "hipMallocFromPoolAsync" 0..0
        (at: *mut Pointer, size: usize, pool: Pool, stream: Stream) -> 3
        |call, rc| pool_alloc(&call, rc.into(), pool as u64, stream as u64, size as u64, out!(rc, at).unwrap_or(0));
    hipFreeAsync as "hipFreeAsync" 0..0 (at: Pointer, stream: Stream) -> 3
        |call, rc| free(&call, rc.into(), ASYNC, at as u64);

    hipMemPoolCreate as "hipMemPoolCreate" 0..0 (pool: *mut Pool, properties: *const c_void) -> 3
        |call, rc| pool_made(&call, rc.into(), out!(rc, pool).unwrap_or(0), place(properties).1);
    hipMemPoolDestroy as "hipMemPoolDestroy" 0..0 (pool: Pool) -> 3
        first forgotten = pools::forget(device::api(Layer::Hip), pool as u64);
        |call, rc| pool_gone(&call, rc.into(), pool as u64, forgotten);
    hipMemPoolTrimTo as "hipMemPoolTrimTo" 0..0 (pool: Pool, keep: usize) -> 3
        |call, rc| pool_call(&call, rc.into(), pool as u64, keep as u64);
    hipMemPoolSetAttribute as "hipMemPoolSetAttribute" 0..0 (pool: Pool, attribute: i32, value: *mut c_void) -> 3
        |call, rc| pool_call(&call, rc.into(), pool as u64, 0);
    hipMemPoolGetAttribute as "hipMemPoolGetAttribute" 0..0 (pool: Pool, attribute: i32, value: *mut c_void) -> 3
        |call, rc| note(&call, rc.into(), pool as u64, 0);
    hipMemPoolSetAccess as "hipMemPoolSetAccess" 0..0 (pool: Pool, access: *const c_void, count: usize) -> 3
        |call, rc| pool_call(&call, rc.into(), pool as u64, 0);
    hipMemPoolGetAccess as "hipMemPoolGetAccess" 0..0 (flags: *mut i32, pool: Pool, location: *mut Location) -> 3
        |call, rc| note(&call, rc.into(), pool as u64, 0);
    hipMemPoolExportToShareableHandle as "hipMemPoolExportToShareableHandle" 0..0
        (handle: *mut c_void, pool: Pool, kind: i32, flags: u32) -> 3
        |call, rc| note(&call, rc.into(), pool as u64, 0);
    hipMemPoolImportFromShareableHandle as "hipMemPoolImportFromShareableHandle" 0..0
        (pool: *mut Pool, handle: *mut c_void, kind: i32, flags: u32) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, pool).unwrap_or(0), 0);
    hipMemPoolExportPointer as "hipMemPoolExportPointer" 0..0 (data: *mut c_void, at: Pointer) -> 3
        |call, rc| note(&call, rc.into(), at as u64, 0);
    hipMemPoolImportPointer as "hipMemPoolImportPointer" 0..0 (at: *mut Pointer, pool: Pool, data: *mut c_void) -> 3
        |call, rc| alloc_foreign(&call, rc.into(), out!(rc, at).unwrap_or(0));

    hipDeviceGetDefaultMemPool as "hipDeviceGetDefaultMemPool" 0..0 (pool: *mut Pool, dev: Device) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, pool).unwrap_or(0), 0);
    hipDeviceGetMemPool as "hipDeviceGetMemPool" 0..0 (pool: *mut Pool, dev: Device) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, pool).unwrap_or(0), 0);
    hipDeviceSetMemPool as "hipDeviceSetMemPool" 0..0 (dev: Device, pool: Pool) -> 3
        |call, rc| note(&call, rc.into(), pool as u64, 0);
    hipMemGetDefaultMemPool as "hipMemGetDefaultMemPool" 0..0
        (pool: *mut Pool, location: *mut Location, kind: i32) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, pool).unwrap_or(0), 0);
    hipMemGetMemPool as "hipMemGetMemPool" 0..0 (pool: *mut Pool, location: *mut Location, kind: i32) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, pool).unwrap_or(0), 0);
    hipMemSetMemPool as "hipMemSetMemPool" 0..0 (location: *mut Location, kind: i32, pool: Pool) -> 3
        |call, rc| note(&call, rc.into(), pool as u64, 0);
}
