use super::{Device, Layer, Location, Pointer, Stream, hooks, out};
use crate::effect::{alloc_foreign, free, note, pool_alloc, pool_call, pool_gone, pool_made};
use crate::hooks::layouts::place;
use crate::{device, pools};
use core::ffi::c_void;

const ASYNC: &str = "async";

type Pool = u64;

hooks! { Layer::Driver, i32, ();
    cuMemAllocAsync as "cuMemAllocAsync" 11020..99999 (at: *mut Pointer, size: usize, stream: Stream) -> 3
        |call, rc| pool_alloc(&call, rc.into(), 0, stream as u64, size as u64, out!(rc, at).unwrap_or(0));
    cuMemAllocAsync_ptsz as "cuMemAllocAsync" 11020..99999 [per_thread]
        (at: *mut Pointer, size: usize, stream: Stream) -> 3
        |call, rc| pool_alloc(&call, rc.into(), 0, stream as u64, size as u64, out!(rc, at).unwrap_or(0));
    cuMemAllocFromPoolAsync as "cuMemAllocFromPoolAsync" 11020..99999
        (at: *mut Pointer, size: usize, pool: Pool, stream: Stream) -> 3
        |call, rc| pool_alloc(&call, rc.into(), pool, stream as u64, size as u64, out!(rc, at).unwrap_or(0));
    cuMemAllocFromPoolAsync_ptsz as "cuMemAllocFromPoolAsync" 11020..99999 [per_thread]
        (at: *mut Pointer, size: usize, pool: Pool, stream: Stream) -> 3
        |call, rc| pool_alloc(&call, rc.into(), pool, stream as u64, size as u64, out!(rc, at).unwrap_or(0));
    cuMemFreeAsync as "cuMemFreeAsync" 11020..99999 (at: Pointer, stream: Stream) -> 3
        |call, rc| free(&call, rc.into(), ASYNC, at);
    cuMemFreeAsync_ptsz as "cuMemFreeAsync" 11020..99999 [per_thread] (at: Pointer, stream: Stream) -> 3
        |call, rc| free(&call, rc.into(), ASYNC, at);

    cuMemPoolCreate as "cuMemPoolCreate" 11020..99999 (pool: *mut Pool, properties: *const c_void) -> 3
        |call, rc| pool_made(&call, rc.into(), out!(rc, pool).unwrap_or(0), place(properties).1);
    cuMemPoolDestroy as "cuMemPoolDestroy" 11020..99999 (pool: Pool) -> 3
        first forgotten = pools::forget(device::api(Layer::Driver), pool);
        |call, rc| pool_gone(&call, rc.into(), pool, forgotten);
    cuMemPoolTrimTo as "cuMemPoolTrimTo" 11020..99999 (pool: Pool, keep: usize) -> 3
        |call, rc| pool_call(&call, rc.into(), pool, keep as u64);
    cuMemPoolSetAttribute as "cuMemPoolSetAttribute" 11020..99999
        (pool: Pool, attribute: i32, value: *mut c_void) -> 3
        |call, rc| pool_call(&call, rc.into(), pool, 0);
    cuMemPoolGetAttribute as "cuMemPoolGetAttribute" 11020..99999
        (pool: Pool, attribute: i32, value: *mut c_void) -> 3
        |call, rc| note(&call, rc.into(), pool, 0);
    cuMemPoolSetAccess as "cuMemPoolSetAccess" 11020..99999 (pool: Pool, access: *const c_void, count: usize) -> 3
        |call, rc| pool_call(&call, rc.into(), pool, 0);
    cuMemPoolGetAccess as "cuMemPoolGetAccess" 11020..99999
        (flags: *mut i32, pool: Pool, location: *mut Location) -> 3
        |call, rc| note(&call, rc.into(), pool, 0);
    cuMemPoolExportToShareableHandle as "cuMemPoolExportToShareableHandle" 11020..99999
        (handle: *mut c_void, pool: Pool, kind: i32, flags: u64) -> 3
        |call, rc| note(&call, rc.into(), pool, 0);
    cuMemPoolImportFromShareableHandle as "cuMemPoolImportFromShareableHandle" 11020..99999
        (pool: *mut Pool, handle: *mut c_void, kind: i32, flags: u64) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, pool).unwrap_or(0), 0);
    cuMemPoolExportPointer as "cuMemPoolExportPointer" 11020..99999 (data: *mut c_void, at: Pointer) -> 3
        |call, rc| note(&call, rc.into(), at, 0);
    cuMemPoolImportPointer as "cuMemPoolImportPointer" 11020..99999
        (at: *mut Pointer, pool: Pool, data: *mut c_void) -> 3
        |call, rc| alloc_foreign(&call, rc.into(), out!(rc, at).unwrap_or(0));

    cuDeviceGetDefaultMemPool as "cuDeviceGetDefaultMemPool" 11020..99999 (pool: *mut Pool, dev: Device) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, pool).unwrap_or(0), 0);
    cuDeviceGetMemPool as "cuDeviceGetMemPool" 11020..99999 (pool: *mut Pool, dev: Device) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, pool).unwrap_or(0), 0);
    cuDeviceSetMemPool as "cuDeviceSetMemPool" 11020..99999 (dev: Device, pool: Pool) -> 3
        |call, rc| note(&call, rc.into(), pool, 0);
    cuMemGetDefaultMemPool as "cuMemGetDefaultMemPool" 13000..99999
        (pool: *mut Pool, location: *mut Location, kind: i32) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, pool).unwrap_or(0), 0);
    cuMemGetMemPool as "cuMemGetMemPool" 13000..99999 (pool: *mut Pool, location: *mut Location, kind: i32) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, pool).unwrap_or(0), 0);
    cuMemSetMemPool as "cuMemSetMemPool" 13000..99999 (location: *mut Location, kind: i32, pool: Pool) -> 3
        |call, rc| note(&call, rc.into(), pool, 0);
}
