//! The CUDA driver API: where memory is really taken and given back. Versions are those of `cuGetProcAddress`: each
//! ABI of a name is asked for by the CUDA version that introduced it or by any later one below the next ABI's.

use super::{Layer, hooks, out};
use crate::effect::{alloc, free, map, query, unmap};
use crate::resolve;
use core::ffi::{c_char, c_void};

const DEVICE: &str = "device";
const ASYNC: &str = "async";
const VMM: &str = "vmm";
const MANAGED: &str = "managed";
const HOST: &str = "host";

type Stream = *mut c_void;

hooks! { Layer::Driver, i32, ();
    cuGetProcAddress as "cuGetProcAddress" 11030..12000
        (name: *const c_char, function: *mut usize, version: i32, flags: u64) -> 3
        |call, rc| resolve::looked_up(&call, rc, name, function, version, flags);
    cuGetProcAddress_v2 as "cuGetProcAddress" 12000..99999
        (name: *const c_char, function: *mut usize, version: i32, flags: u64, status: *mut i32) -> 3
        |call, rc| resolve::looked_up(&call, rc, name, function, version, flags);

    cuMemGetInfo as "cuMemGetInfo" 2000..3020 (free: *mut u32, total: *mut u32) -> 3
        |call, rc| query(&call, rc.into(), true, out!(rc, free), out!(rc, total));
    cuMemGetInfo_v2 as "cuMemGetInfo" 3020..99999 (free: *mut usize, total: *mut usize) -> 3
        |call, rc| query(&call, rc.into(), true, out!(rc, free), out!(rc, total));

    cuMemAlloc as "cuMemAlloc" 2000..3020 (at: *mut u32, size: u32) -> 3
        |call, rc| alloc(&call, rc.into(), DEVICE, size.into(), out!(rc, at).unwrap_or(0));
    cuMemAlloc_v2 as "cuMemAlloc" 3020..99999 (at: *mut u64, size: usize) -> 3
        |call, rc| alloc(&call, rc.into(), DEVICE, size as u64, out!(rc, at).unwrap_or(0));
    cuMemFree as "cuMemFree" 2000..3020 (at: u32) -> 3
        |call, rc| free(&call, rc.into(), DEVICE, at.into());
    cuMemFree_v2 as "cuMemFree" 3020..99999 (at: u64) -> 3
        |call, rc| free(&call, rc.into(), DEVICE, at);

    cuMemAllocAsync as "cuMemAllocAsync" 11020..99999 (at: *mut u64, size: usize, stream: Stream) -> 3
        |call, rc| alloc(&call, rc.into(), ASYNC, size as u64, out!(rc, at).unwrap_or(0));
    cuMemAllocAsync_ptsz as "cuMemAllocAsync" 11020..99999 [per_thread]
        (at: *mut u64, size: usize, stream: Stream) -> 3
        |call, rc| alloc(&call, rc.into(), ASYNC, size as u64, out!(rc, at).unwrap_or(0));
    cuMemFreeAsync as "cuMemFreeAsync" 11020..99999 (at: u64, stream: Stream) -> 3
        |call, rc| free(&call, rc.into(), ASYNC, at);
    cuMemFreeAsync_ptsz as "cuMemFreeAsync" 11020..99999 [per_thread] (at: u64, stream: Stream) -> 3
        |call, rc| free(&call, rc.into(), ASYNC, at);

    cuMemCreate as "cuMemCreate" 10020..99999
        (handle: *mut u64, size: usize, properties: *const c_void, flags: u64) -> 3
        |call, rc| alloc(&call, rc.into(), VMM, size as u64, out!(rc, handle).unwrap_or(0));
    cuMemRelease as "cuMemRelease" 10020..99999 (handle: u64) -> 3
        |call, rc| free(&call, rc.into(), VMM, handle);
    cuMemMap as "cuMemMap" 10020..99999 (at: u64, size: usize, offset: usize, handle: u64, flags: u64) -> 3
        |call, rc| map(&call, rc.into(), at, size as u64, handle);
    cuMemUnmap as "cuMemUnmap" 10020..99999 (at: u64, size: usize) -> 3
        |call, rc| unmap(&call, rc.into(), at, size as u64);

    cuMemAllocManaged as "cuMemAllocManaged" 6000..99999 (at: *mut u64, size: usize, flags: u32) -> 3
        |call, rc| alloc(&call, rc.into(), MANAGED, size as u64, out!(rc, at).unwrap_or(0));

    cuMemAllocHost_v2 as "cuMemAllocHost" 3020..99999 (at: *mut usize, size: usize) -> 3
        |call, rc| alloc(&call, rc.into(), HOST, size as u64, out!(rc, at).unwrap_or(0));
    cuMemHostAlloc as "cuMemHostAlloc" 2020..99999 (at: *mut usize, size: usize, flags: u32) -> 3
        |call, rc| alloc(&call, rc.into(), HOST, size as u64, out!(rc, at).unwrap_or(0));
    cuMemFreeHost as "cuMemFreeHost" 2000..99999 (at: usize) -> 3
        |call, rc| free(&call, rc.into(), HOST, at as u64);
}
