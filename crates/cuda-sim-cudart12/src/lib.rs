//! `libcudart.so.12` of the simulated GPU: the functions of the runtime crate under the names and the version node
//! of the real library, and a stub for each name that is not written there.

#![allow(non_snake_case, reason = "the functions carry the runtime API's names")]

use core::ptr::null_mut;

mod exports {
    //! Every name that the library exports, from the build script.
    include!(concat!(env!("OUT_DIR"), "/exports.rs"));
}

/// Runs when the loader maps this library, before any function of it can be called.
#[used]
#[unsafe(link_section = ".init_array")]
static SET_VERSION: extern "C" fn() = set_version;

extern "C" fn set_version() {
    kvtrace_cuda_sim_runtime::set_version(12_090);
}

pub(crate) extern "C" fn cudaGetDeviceProperties_v2(properties: *mut u8, device: i32) -> i32 {
    kvtrace_cuda_sim_runtime::properties_of_12(properties, device)
}

pub(crate) extern "C" fn cudaEventElapsedTime_v2(milliseconds: *mut f32, start: usize, end: usize) -> i32 {
    kvtrace_cuda_sim_runtime::cudaEventElapsedTime(milliseconds, start, end)
}

pub(crate) extern "C" fn cudaStreamGetCaptureInfo(stream: usize, status: *mut i32, id: *mut u64) -> i32 {
    cudaStreamGetCaptureInfo_v2(stream, status, id, null_mut(), null_mut(), null_mut())
}

pub(crate) extern "C" fn cudaStreamGetCaptureInfo_v2(
    stream: usize,
    status: *mut i32,
    id: *mut u64,
    graph: *mut usize,
    needs: *mut usize,
    count: *mut usize,
) -> i32 {
    cudaStreamGetCaptureInfo_v3(stream, status, id, graph, needs, null_mut(), count)
}

pub(crate) extern "C" fn cudaStreamGetCaptureInfo_v3(
    stream: usize,
    status: *mut i32,
    id: *mut u64,
    graph: *mut usize,
    needs: *mut usize,
    edges: *mut usize,
    count: *mut usize,
) -> i32 {
    kvtrace_cuda_sim_runtime::cudaStreamGetCaptureInfo(stream, status, id, graph, needs, edges, count)
}
