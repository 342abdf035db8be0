//! The CUDA runtime API: who asked, one layer above the driver. Its events never count bytes, so sizes that only the
//! driver knows are 0 here.
//!
//! A process may hold several runtimes. Each of their symbols carries the version node of its library, and so does
//! each of ours: the loader binds a caller to the wrapper of the runtime that it was linked with.

use super::layouts::{Extent, IpcHandle, Location, TOTAL, device_of, pitched, word_of};
use super::{Layer, hooks, out, query_free, query_total};
use crate::effect::{alloc, free, note, prefetch};
use crate::weights::evict;
use core::ffi::{c_char, c_void};

type Stream = *mut c_void;
type Pool = usize;

// 35 is cudaErrorInsufficientDriver.
macro_rules! runtime {
    ($($major:ident $number:literal $export:tt { $($own:tt)* };)*) => {$(
        /// One major version.
        pub mod $major {
            use super::*;

hooks! { Layer::Runtime($number), i32, $export;
    cudaMemGetInfo as "cudaMemGetInfo" 0..0 (free: *mut usize, total: *mut usize) -> 35 first _done = evict::before(&call);
        |call, rc| query_free!(call, rc, free, total);
    cudaPointerGetAttributes as "cudaPointerGetAttributes" 0..0 (attributes: *mut c_void, at: usize) -> 35
        |call, rc| note(&call, rc.into(), at as u64, 0);

    cudaMalloc as "cudaMalloc" 0..0 (at: *mut usize, size: usize) -> 35
        |call, rc| alloc(&call, rc.into(), "device", size as u64, out!(rc, at).unwrap_or(0));
    cudaMallocPitch as "cudaMallocPitch" 0..0 (at: *mut usize, pitch: *mut usize, width: usize, height: usize) -> 35
        |call, rc| {
            let taken = out!(rc, pitch).unwrap_or(width as u64).saturating_mul(height as u64);
            alloc(&call, rc.into(), "device", taken, out!(rc, at).unwrap_or(0));
        };
    cudaMalloc3D as "cudaMalloc3D" 0..0 (at: *mut usize, extent: Extent) -> 35
        |call, rc| {
            // SAFETY: the runtime has written it if it succeeded.
            let (at, taken) = unsafe { pitched(rc, at, extent) };
            alloc(&call, rc.into(), "device", taken, at);
        };
    cudaFree as "cudaFree" 0..0 (at: usize) -> 35
        |call, rc| free(&call, rc.into(), "device", at as u64);
    cudaMallocArray as "cudaMallocArray" 0..0
        (array: *mut usize, shape: *const c_void, width: usize, height: usize, flags: u32) -> 35
        |call, rc| alloc(&call, rc.into(), "array", 0, out!(rc, array).unwrap_or(0));
    cudaMalloc3DArray as "cudaMalloc3DArray" 0..0
        (array: *mut usize, shape: *const c_void, extent: Extent, flags: u32) -> 35
        |call, rc| alloc(&call, rc.into(), "array", 0, out!(rc, array).unwrap_or(0));
    cudaMallocMipmappedArray as "cudaMallocMipmappedArray" 0..0
        (array: *mut usize, shape: *const c_void, extent: Extent, levels: u32, flags: u32) -> 35
        |call, rc| alloc(&call, rc.into(), "array", 0, out!(rc, array).unwrap_or(0));
    cudaFreeArray as "cudaFreeArray" 0..0 (array: usize) -> 35
        |call, rc| free(&call, rc.into(), "array", array as u64);
    cudaFreeMipmappedArray as "cudaFreeMipmappedArray" 0..0 (array: usize) -> 35
        |call, rc| free(&call, rc.into(), "array", array as u64);

    cudaMallocAsync as "cudaMallocAsync" 0..0 (at: *mut usize, size: usize, stream: Stream) -> 35
        |call, rc| alloc(&call, rc.into(), "async", size as u64, out!(rc, at).unwrap_or(0));
    cudaMallocAsync_ptsz as "cudaMallocAsync" 0..0 [per_thread] (at: *mut usize, size: usize, stream: Stream) -> 35
        |call, rc| alloc(&call, rc.into(), "async", size as u64, out!(rc, at).unwrap_or(0));
    cudaMallocFromPoolAsync as "cudaMallocFromPoolAsync" 0..0
        (at: *mut usize, size: usize, pool: Pool, stream: Stream) -> 35
        |call, rc| alloc(&call, rc.into(), "async", size as u64, out!(rc, at).unwrap_or(0));
    cudaMallocFromPoolAsync_ptsz as "cudaMallocFromPoolAsync" 0..0 [per_thread]
        (at: *mut usize, size: usize, pool: Pool, stream: Stream) -> 35
        |call, rc| alloc(&call, rc.into(), "async", size as u64, out!(rc, at).unwrap_or(0));
    cudaFreeAsync as "cudaFreeAsync" 0..0 (at: usize, stream: Stream) -> 35
        |call, rc| free(&call, rc.into(), "async", at as u64);
    cudaFreeAsync_ptsz as "cudaFreeAsync" 0..0 [per_thread] (at: usize, stream: Stream) -> 35
        |call, rc| free(&call, rc.into(), "async", at as u64);
    cudaMemPoolCreate as "cudaMemPoolCreate" 0..0 (pool: *mut Pool, properties: *const c_void) -> 35
        |call, rc| note(&call, rc.into(), out!(rc, pool).unwrap_or(0), 0);
    cudaMemPoolDestroy as "cudaMemPoolDestroy" 0..0 (pool: Pool) -> 35
        |call, rc| note(&call, rc.into(), pool as u64, 0);
    cudaMemPoolTrimTo as "cudaMemPoolTrimTo" 0..0 (pool: Pool, keep: usize) -> 35
        |call, rc| note(&call, rc.into(), pool as u64, keep as u64);
    cudaMemPoolSetAttribute as "cudaMemPoolSetAttribute" 0..0 (pool: Pool, attribute: i32, value: *mut c_void) -> 35
        |call, rc| note(&call, rc.into(), pool as u64, 0);
    cudaMemPoolGetAttribute as "cudaMemPoolGetAttribute" 0..0 (pool: Pool, attribute: i32, value: *mut c_void) -> 35
        |call, rc| note(&call, rc.into(), pool as u64, 0);
    cudaMemPoolSetAccess as "cudaMemPoolSetAccess" 0..0 (pool: Pool, access: *const c_void, count: usize) -> 35
        |call, rc| note(&call, rc.into(), pool as u64, 0);
    cudaMemPoolGetAccess as "cudaMemPoolGetAccess" 0..0 (flags: *mut i32, pool: Pool, location: *mut c_void) -> 35
        |call, rc| note(&call, rc.into(), pool as u64, 0);
    cudaMemPoolExportToShareableHandle as "cudaMemPoolExportToShareableHandle" 0..0
        (handle: *mut c_void, pool: Pool, kind: i32, flags: u32) -> 35
        |call, rc| note(&call, rc.into(), pool as u64, 0);
    cudaMemPoolImportFromShareableHandle as "cudaMemPoolImportFromShareableHandle" 0..0
        (pool: *mut Pool, handle: *mut c_void, kind: i32, flags: u32) -> 35
        |call, rc| note(&call, rc.into(), out!(rc, pool).unwrap_or(0), 0);
    cudaMemPoolExportPointer as "cudaMemPoolExportPointer" 0..0 (data: *mut c_void, at: usize) -> 35
        |call, rc| note(&call, rc.into(), at as u64, 0);
    cudaMemPoolImportPointer as "cudaMemPoolImportPointer" 0..0 (at: *mut usize, pool: Pool, data: *mut c_void) -> 35
        |call, rc| alloc(&call, rc.into(), "foreign", 0, out!(rc, at).unwrap_or(0));
    cudaDeviceGetDefaultMemPool as "cudaDeviceGetDefaultMemPool" 0..0 (pool: *mut Pool, dev: i32) -> 35
        |call, rc| note(&call, rc.into(), out!(rc, pool).unwrap_or(0), 0);
    cudaDeviceGetMemPool as "cudaDeviceGetMemPool" 0..0 (pool: *mut Pool, dev: i32) -> 35
        |call, rc| note(&call, rc.into(), out!(rc, pool).unwrap_or(0), 0);
    cudaDeviceSetMemPool as "cudaDeviceSetMemPool" 0..0 (dev: i32, pool: Pool) -> 35
        |call, rc| note(&call, rc.into(), pool as u64, 0);

    cudaMallocManaged as "cudaMallocManaged" 0..0 (at: *mut usize, size: usize, flags: u32) -> 35
        |call, rc| alloc(&call, rc.into(), "managed", size as u64, out!(rc, at).unwrap_or(0));
    cudaStreamAttachMemAsync as "cudaStreamAttachMemAsync" 0..0
        (stream: Stream, at: usize, size: usize, flags: u32) -> 35
        |call, rc| note(&call, rc.into(), at as u64, size as u64);
    cudaStreamAttachMemAsync_ptsz as "cudaStreamAttachMemAsync" 0..0 [per_thread]
        (stream: Stream, at: usize, size: usize, flags: u32) -> 35
        |call, rc| note(&call, rc.into(), at as u64, size as u64);
    cudaMallocHost as "cudaMallocHost" 0..0 (at: *mut usize, size: usize) -> 35
        |call, rc| alloc(&call, rc.into(), "host", size as u64, out!(rc, at).unwrap_or(0));
    cudaHostAlloc as "cudaHostAlloc" 0..0 (at: *mut usize, size: usize, flags: u32) -> 35
        |call, rc| alloc(&call, rc.into(), "host", size as u64, out!(rc, at).unwrap_or(0));
    cudaFreeHost as "cudaFreeHost" 0..0 (at: usize) -> 35
        |call, rc| free(&call, rc.into(), "host", at as u64);
    cudaHostRegister as "cudaHostRegister" 0..0 (at: usize, size: usize, flags: u32) -> 35
        |call, rc| alloc(&call, rc.into(), "registered", size as u64, at as u64);
    cudaHostUnregister as "cudaHostUnregister" 0..0 (at: usize) -> 35
        |call, rc| free(&call, rc.into(), "registered", at as u64);

    cudaIpcGetMemHandle as "cudaIpcGetMemHandle" 0..0 (handle: *mut IpcHandle, at: usize) -> 35
        |call, rc| note(&call, rc.into(), at as u64, 0);
    cudaIpcOpenMemHandle as "cudaIpcOpenMemHandle" 0..0 (at: *mut usize, handle: IpcHandle, flags: u32) -> 35
        |call, rc| alloc(&call, rc.into(), "foreign", 0, out!(rc, at).unwrap_or(0));
    cudaIpcCloseMemHandle as "cudaIpcCloseMemHandle" 0..0 (at: usize) -> 35
        |call, rc| free(&call, rc.into(), "foreign", at as u64);
    cudaImportExternalMemory as "cudaImportExternalMemory" 0..0
        (memory: *mut usize, description: *const c_void) -> 35
        |call, rc| alloc(&call, rc.into(), "foreign", 0, out!(rc, memory).unwrap_or(0));
    cudaExternalMemoryGetMappedBuffer as "cudaExternalMemoryGetMappedBuffer" 0..0
        (at: *mut usize, memory: usize, description: *const c_void) -> 35
        |call, rc| note(&call, rc.into(), out!(rc, at).unwrap_or(0), 0);
    cudaExternalMemoryGetMappedMipmappedArray as "cudaExternalMemoryGetMappedMipmappedArray" 0..0
        (array: *mut usize, memory: usize, description: *const c_void) -> 35
        |call, rc| note(&call, rc.into(), out!(rc, array).unwrap_or(0), 0);
    cudaDestroyExternalMemory as "cudaDestroyExternalMemory" 0..0 (memory: usize) -> 35
        |call, rc| free(&call, rc.into(), "foreign", memory as u64);

    cudaGraphAddMemAllocNode as "cudaGraphAddMemAllocNode" 0..0
        (node: *mut usize, graph: usize, needs: *const c_void, number: usize, parameters: *mut c_void) -> 35
        |call, rc| note(&call, rc.into(), 0, 0);
    cudaGraphAddMemFreeNode as "cudaGraphAddMemFreeNode" 0..0
        (node: *mut usize, graph: usize, needs: *const c_void, number: usize, at: usize) -> 35
        |call, rc| note(&call, rc.into(), at as u64, 0);
    cudaDeviceGraphMemTrim as "cudaDeviceGraphMemTrim" 0..0 (dev: i32) -> 35
        |call, rc| note(&call, rc.into(), 0, 0);
    cudaDeviceGetGraphMemAttribute as "cudaDeviceGetGraphMemAttribute" 0..0
        (dev: i32, attribute: i32, value: *mut c_void) -> 35
        |call, rc| note(&call, rc.into(), 0, 0);
    cudaDeviceSetGraphMemAttribute as "cudaDeviceSetGraphMemAttribute" 0..0
        (dev: i32, attribute: i32, value: *mut c_void) -> 35
        |call, rc| note(&call, rc.into(), 0, 0);

    cudaSetDevice as "cudaSetDevice" 0..0 (dev: i32) -> 35 |call, rc| note(&call, rc.into(), 0, 0);
    cudaDeviceReset as "cudaDeviceReset" 0..0 () -> 35 |call, rc| note(&call, rc.into(), 0, 0);
    cudaDeviceSetLimit as "cudaDeviceSetLimit" 0..0 (limit: i32, value: usize) -> 35
        |call, rc| note(&call, rc.into(), limit as u64, value as u64);
    cudaGetExportTable as "cudaGetExportTable" 0..0 (table: *mut *const c_void, id: *const c_void) -> 35
        |call, rc| note(&call, rc.into(), 0, 0);
    $($own)*
}
        }
    )*};
}

runtime! {
    v11 11 ("kvtrace_11_" "@libcudart.so.11.0") {
        cudaGetDeviceProperties as "cudaGetDeviceProperties" 0..0 (properties: *mut usize, dev: i32) -> 35
            |call, rc| query_total!(call, rc, dev, word_of(properties, TOTAL));
        cudaMemPrefetchAsync as "cudaMemPrefetchAsync" 0..0 (at: usize, size: usize, dev: i32, stream: Stream) -> 35
            |call, rc| prefetch(&call, rc.into(), at as u64, size as u64, dev);
        cudaMemPrefetchAsync_ptsz as "cudaMemPrefetchAsync" 0..0 [per_thread]
            (at: usize, size: usize, dev: i32, stream: Stream) -> 35
            |call, rc| prefetch(&call, rc.into(), at as u64, size as u64, dev);
        cudaMemAdvise as "cudaMemAdvise" 0..0 (at: usize, size: usize, advice: i32, dev: i32) -> 35
            |call, rc| note(&call, rc.into(), at as u64, size as u64);
        cudaGetDriverEntryPoint as "cudaGetDriverEntryPoint" 0..0
            (name: *const c_char, function: *mut usize, flags: u64) -> 35
            |call, rc| note(&call, rc.into(), 0, 0);
        cudaGetDriverEntryPoint_ptsz as "cudaGetDriverEntryPoint" 0..0 [per_thread]
            (name: *const c_char, function: *mut usize, flags: u64) -> 35
            |call, rc| note(&call, rc.into(), 0, 0);
    };
    v12 12 ("kvtrace_12_" "@libcudart.so.12") {
        cudaGetDeviceProperties as "cudaGetDeviceProperties" 0..0 (properties: *mut usize, dev: i32) -> 35
            |call, rc| query_total!(call, rc, dev, word_of(properties, TOTAL));
        cudaGetDeviceProperties_v2 as "cudaGetDeviceProperties" 0..0 (properties: *mut usize, dev: i32) -> 35
            |call, rc| query_total!(call, rc, dev, word_of(properties, TOTAL));
        cudaMemPrefetchAsync as "cudaMemPrefetchAsync" 0..0 (at: usize, size: usize, dev: i32, stream: Stream) -> 35
            |call, rc| prefetch(&call, rc.into(), at as u64, size as u64, dev);
        cudaMemPrefetchAsync_ptsz as "cudaMemPrefetchAsync" 0..0 [per_thread]
            (at: usize, size: usize, dev: i32, stream: Stream) -> 35
            |call, rc| prefetch(&call, rc.into(), at as u64, size as u64, dev);
        cudaMemPrefetchAsync_v2 as "cudaMemPrefetchAsync" 0..0
            (at: usize, size: usize, location: Location, flags: u32, stream: Stream) -> 35
            |call, rc| prefetch(&call, rc.into(), at as u64, size as u64, device_of(location));
        cudaMemPrefetchAsync_v2_ptsz as "cudaMemPrefetchAsync" 0..0 [per_thread]
            (at: usize, size: usize, location: Location, flags: u32, stream: Stream) -> 35
            |call, rc| prefetch(&call, rc.into(), at as u64, size as u64, device_of(location));
        cudaMemAdvise as "cudaMemAdvise" 0..0 (at: usize, size: usize, advice: i32, dev: i32) -> 35
            |call, rc| note(&call, rc.into(), at as u64, size as u64);
        cudaMemAdvise_v2 as "cudaMemAdvise" 0..0 (at: usize, size: usize, advice: i32, location: Location) -> 35
            |call, rc| note(&call, rc.into(), at as u64, size as u64);
        cudaInitDevice as "cudaInitDevice" 0..0 (dev: i32, device_flags: u32, flags: u32) -> 35
            |call, rc| note(&call, rc.into(), 0, 0);
        cudaGetDriverEntryPoint as "cudaGetDriverEntryPoint" 0..0
            (name: *const c_char, function: *mut usize, flags: u64, status: *mut i32) -> 35
            |call, rc| note(&call, rc.into(), 0, 0);
        cudaGetDriverEntryPoint_ptsz as "cudaGetDriverEntryPoint" 0..0 [per_thread]
            (name: *const c_char, function: *mut usize, flags: u64, status: *mut i32) -> 35
            |call, rc| note(&call, rc.into(), 0, 0);
        cudaGetDriverEntryPointByVersion as "cudaGetDriverEntryPointByVersion" 0..0
            (name: *const c_char, function: *mut usize, version: u32, flags: u64, status: *mut i32) -> 35
            |call, rc| note(&call, rc.into(), 0, 0);
        cudaGetDriverEntryPointByVersion_ptsz as "cudaGetDriverEntryPointByVersion" 0..0 [per_thread]
            (name: *const c_char, function: *mut usize, version: u32, flags: u64, status: *mut i32) -> 35
            |call, rc| note(&call, rc.into(), 0, 0);
    };
    v13 13 ("kvtrace_13_" "@@libcudart.so.13") {
        cudaGetDeviceProperties as "cudaGetDeviceProperties" 0..0 (properties: *mut usize, dev: i32) -> 35
            |call, rc| query_total!(call, rc, dev, word_of(properties, TOTAL));
        cudaMemPrefetchAsync as "cudaMemPrefetchAsync" 0..0
            (at: usize, size: usize, location: Location, flags: u32, stream: Stream) -> 35
            |call, rc| prefetch(&call, rc.into(), at as u64, size as u64, device_of(location));
        cudaMemPrefetchAsync_ptsz as "cudaMemPrefetchAsync" 0..0 [per_thread]
            (at: usize, size: usize, location: Location, flags: u32, stream: Stream) -> 35
            |call, rc| prefetch(&call, rc.into(), at as u64, size as u64, device_of(location));
        cudaMemAdvise as "cudaMemAdvise" 0..0 (at: usize, size: usize, advice: i32, location: Location) -> 35
            |call, rc| note(&call, rc.into(), at as u64, size as u64);
        cudaMemPrefetchBatchAsync as "cudaMemPrefetchBatchAsync" 0..0
            (at: *mut usize, sizes: *mut usize, count: usize, places: *mut c_void, indices: *mut usize, number: usize,
                flags: u64, stream: Stream) -> 35
            |call, rc| note(&call, rc.into(), 0, 0);
        cudaMemPrefetchBatchAsync_ptsz as "cudaMemPrefetchBatchAsync" 0..0 [per_thread]
            (at: *mut usize, sizes: *mut usize, count: usize, places: *mut c_void, indices: *mut usize, number: usize,
                flags: u64, stream: Stream) -> 35
            |call, rc| note(&call, rc.into(), 0, 0);
        cudaMemDiscardBatchAsync as "cudaMemDiscardBatchAsync" 0..0
            (at: *mut usize, sizes: *mut usize, count: usize, flags: u64, stream: Stream) -> 35
            |call, rc| note(&call, rc.into(), 0, 0);
        cudaMemDiscardBatchAsync_ptsz as "cudaMemDiscardBatchAsync" 0..0 [per_thread]
            (at: *mut usize, sizes: *mut usize, count: usize, flags: u64, stream: Stream) -> 35
            |call, rc| note(&call, rc.into(), 0, 0);
        cudaMemDiscardAndPrefetchBatchAsync as "cudaMemDiscardAndPrefetchBatchAsync" 0..0
            (at: *mut usize, sizes: *mut usize, count: usize, places: *mut c_void, indices: *mut usize, number: usize,
                flags: u64, stream: Stream) -> 35
            |call, rc| note(&call, rc.into(), 0, 0);
        cudaMemDiscardAndPrefetchBatchAsync_ptsz as "cudaMemDiscardAndPrefetchBatchAsync" 0..0 [per_thread]
            (at: *mut usize, sizes: *mut usize, count: usize, places: *mut c_void, indices: *mut usize, number: usize,
                flags: u64, stream: Stream) -> 35
            |call, rc| note(&call, rc.into(), 0, 0);
        cudaMemGetDefaultMemPool as "cudaMemGetDefaultMemPool" 0..0
            (pool: *mut Pool, location: *mut c_void, kind: i32) -> 35
            |call, rc| note(&call, rc.into(), out!(rc, pool).unwrap_or(0), 0);
        cudaMemGetMemPool as "cudaMemGetMemPool" 0..0 (pool: *mut Pool, location: *mut c_void, kind: i32) -> 35
            |call, rc| note(&call, rc.into(), out!(rc, pool).unwrap_or(0), 0);
        cudaMemSetMemPool as "cudaMemSetMemPool" 0..0 (location: *mut c_void, kind: i32, pool: Pool) -> 35
            |call, rc| note(&call, rc.into(), pool as u64, 0);
        cudaMemGetLocationInfo as "cudaMemGetLocationInfo" 0..0
            (at: usize, size: usize, summary: usize, sampling: usize, location: *mut c_void) -> 35
            |call, rc| note(&call, rc.into(), at as u64, size as u64);
        cudaInitDevice as "cudaInitDevice" 0..0 (dev: i32, device_flags: u32, flags: u32) -> 35
            |call, rc| note(&call, rc.into(), 0, 0);
        cudaGetDriverEntryPoint as "cudaGetDriverEntryPoint" 0..0
            (name: *const c_char, function: *mut usize, flags: u64, status: *mut i32) -> 35
            |call, rc| note(&call, rc.into(), 0, 0);
        cudaGetDriverEntryPoint_ptsz as "cudaGetDriverEntryPoint" 0..0 [per_thread]
            (name: *const c_char, function: *mut usize, flags: u64, status: *mut i32) -> 35
            |call, rc| note(&call, rc.into(), 0, 0);
        cudaGetDriverEntryPointByVersion as "cudaGetDriverEntryPointByVersion" 0..0
            (name: *const c_char, function: *mut usize, version: u32, flags: u64, status: *mut i32) -> 35
            |call, rc| note(&call, rc.into(), 0, 0);
        cudaGetDriverEntryPointByVersion_ptsz as "cudaGetDriverEntryPointByVersion" 0..0 [per_thread]
            (name: *const c_char, function: *mut usize, version: u32, flags: u64, status: *mut i32) -> 35
            |call, rc| note(&call, rc.into(), 0, 0);
    };
}
