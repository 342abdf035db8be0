//! The CUDA runtime API: who asked, one layer above the driver. Its events never count bytes.
//!
//! A process may hold several runtimes. Each of their symbols carries the version node of its library, and so does
//! each of ours: the loader binds a caller to the wrapper of the runtime that it was linked with.

use super::{Layer, hooks, out};
use crate::effect::{alloc, free, query};
use core::ffi::c_void;

type Stream = *mut c_void;

// 35 is cudaErrorInsufficientDriver.
macro_rules! runtime {
    ($($major:ident $number:literal $export:tt;)*) => {$(
        /// One major version.
        pub mod $major {
            use super::{Layer, Stream, alloc, free, hooks, out, query};

hooks! { Layer::Runtime($number), i32, $export;
    cudaMemGetInfo as "cudaMemGetInfo" 0..0 (free: *mut usize, total: *mut usize) -> 35
        |call, rc| query(&call, rc.into(), true, out!(rc, free), out!(rc, total));
    cudaMalloc as "cudaMalloc" 0..0 (at: *mut usize, size: usize) -> 35
        |call, rc| alloc(&call, rc.into(), "device", size as u64, out!(rc, at).unwrap_or(0));
    cudaFree as "cudaFree" 0..0 (at: usize) -> 35
        |call, rc| free(&call, rc.into(), "device", at as u64);
    cudaMallocAsync as "cudaMallocAsync" 0..0 (at: *mut usize, size: usize, stream: Stream) -> 35
        |call, rc| alloc(&call, rc.into(), "async", size as u64, out!(rc, at).unwrap_or(0));
    cudaMallocAsync_ptsz as "cudaMallocAsync" 0..0 [per_thread] (at: *mut usize, size: usize, stream: Stream) -> 35
        |call, rc| alloc(&call, rc.into(), "async", size as u64, out!(rc, at).unwrap_or(0));
    cudaFreeAsync as "cudaFreeAsync" 0..0 (at: usize, stream: Stream) -> 35
        |call, rc| free(&call, rc.into(), "async", at as u64);
    cudaFreeAsync_ptsz as "cudaFreeAsync" 0..0 [per_thread] (at: usize, stream: Stream) -> 35
        |call, rc| free(&call, rc.into(), "async", at as u64);
    cudaMallocManaged as "cudaMallocManaged" 0..0 (at: *mut usize, size: usize, flags: u32) -> 35
        |call, rc| alloc(&call, rc.into(), "managed", size as u64, out!(rc, at).unwrap_or(0));
    cudaMallocHost as "cudaMallocHost" 0..0 (at: *mut usize, size: usize) -> 35
        |call, rc| alloc(&call, rc.into(), "host", size as u64, out!(rc, at).unwrap_or(0));
    cudaHostAlloc as "cudaHostAlloc" 0..0 (at: *mut usize, size: usize, flags: u32) -> 35
        |call, rc| alloc(&call, rc.into(), "host", size as u64, out!(rc, at).unwrap_or(0));
    cudaFreeHost as "cudaFreeHost" 0..0 (at: usize) -> 35
        |call, rc| free(&call, rc.into(), "host", at as u64);
}
        }
    )*};
}

runtime! {
    v11 11 ("kvtrace_11_" "@libcudart.so.11.0");
    v12 12 ("kvtrace_12_" "@libcudart.so.12");
    v13 13 ("kvtrace_13_" "@@libcudart.so.13");
}
