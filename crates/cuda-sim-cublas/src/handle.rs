//! Handles: what is set on one can be read back, and one takes what it was seen to take on a real device.

use crate::LIBRARY;
use core::ffi::{CStr, c_char, c_void};
use core::ptr::null_mut;
use kvtrace_cuda_sim_quiet::abi::Out;
use kvtrace_cuda_sim_quiet::{Overhead, overhead, property};
use kvtrace_cuda_sim_runtime as cudart;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

const SUCCESS: i32 = 0;
const NOT_INITIALIZED: i32 = 1;
const ALLOC_FAILED: i32 = 3;
const INVALID_VALUE: i32 = 7;

#[derive(Debug, Default, Clone, Copy)]
struct Handle {
    workspace: usize,
    stream: usize,
    pointer_mode: i32,
    atomics_mode: i32,
    math_mode: i32,
    multiprocessors: i32,
}

static HANDLES: Mutex<BTreeMap<usize, Handle>> = Mutex::new(BTreeMap::new());

fn handles() -> MutexGuard<'static, BTreeMap<usize, Handle>> {
    HANDLES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn version() -> (i32, i32, i32) {
    if LIBRARY.major() >= 13 { (13, 4, 1) } else { (12, 9, 1) }
}

fn number() -> i32 {
    let (major, minor, patch) = version();
    major * 10_000 + minor * 100 + patch
}

/// The workspace is an allocation by way of the runtime that the library has inside, as that of the real one is.
#[unsafe(no_mangle)]
pub extern "C" fn cublasCreate_v2(handle: Out<usize>) -> i32 {
    let mut workspace = null_mut();
    // The first call of a program may be this one: it makes the context.
    if cudart::cudaFree(null_mut()) != SUCCESS {
        return NOT_INITIALIZED;
    }
    let bytes = overhead(Overhead::BlasHandle);
    if bytes > 0 && cudart::cudaMalloc(&mut workspace, bytes) != SUCCESS {
        return ALLOC_FAILED;
    }
    let new = kvtrace_cuda_sim_quiet::fresh_handle();
    handles().insert(new, Handle { workspace: workspace as usize, ..Handle::default() });
    if handle.set(new) == SUCCESS { SUCCESS } else { INVALID_VALUE }
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasDestroy_v2(handle: usize) -> i32 {
    let Some(gone) = handles().remove(&handle) else { return NOT_INITIALIZED };
    cudart::cudaFree(gone.workspace as *mut c_void);
    SUCCESS
}

fn set(handle: usize, change: impl FnOnce(&mut Handle)) -> i32 {
    handles().get_mut(&handle).map_or(NOT_INITIALIZED, |handle| {
        change(handle);
        SUCCESS
    })
}

fn get<T>(handle: usize, place: Out<T>, read: impl FnOnce(&Handle) -> T) -> i32 {
    handles().get(&handle).map_or(NOT_INITIALIZED, |handle| {
        place.offer(read(handle));
        SUCCESS
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasSetStream_v2(handle: usize, stream: usize) -> i32 {
    set(handle, |handle| handle.stream = stream)
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasGetStream_v2(handle: usize, stream: Out<usize>) -> i32 {
    get(handle, stream, |handle| handle.stream)
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasSetPointerMode_v2(handle: usize, mode: i32) -> i32 {
    set(handle, |handle| handle.pointer_mode = mode)
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasGetPointerMode_v2(handle: usize, mode: Out<i32>) -> i32 {
    get(handle, mode, |handle| handle.pointer_mode)
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasSetAtomicsMode(handle: usize, mode: i32) -> i32 {
    set(handle, |handle| handle.atomics_mode = mode)
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasGetAtomicsMode(handle: usize, mode: Out<i32>) -> i32 {
    get(handle, mode, |handle| handle.atomics_mode)
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasSetMathMode(handle: usize, mode: i32) -> i32 {
    set(handle, |handle| handle.math_mode = mode)
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasGetMathMode(handle: usize, mode: Out<i32>) -> i32 {
    get(handle, mode, |handle| handle.math_mode)
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasSetSmCountTarget(handle: usize, multiprocessors: i32) -> i32 {
    set(handle, |handle| handle.multiprocessors = multiprocessors)
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasGetSmCountTarget(handle: usize, multiprocessors: Out<i32>) -> i32 {
    get(handle, multiprocessors, |handle| handle.multiprocessors)
}

/// Memory for programs of the library's first interface.
#[unsafe(no_mangle)]
pub extern "C" fn cublasAlloc(count: i32, element: i32, address: Out<*mut c_void>) -> i32 {
    let (Ok(count), Ok(element)) = (usize::try_from(count), usize::try_from(element)) else { return INVALID_VALUE };
    let mut got = null_mut();
    match cudart::cudaMalloc(&mut got, count.saturating_mul(element)) {
        SUCCESS => address.set(got),
        _ => ALLOC_FAILED,
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasFree(address: *mut c_void) -> i32 {
    cudart::cudaFree(address)
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasGetVersion_v2(_handle: usize, place: Out<i32>) -> i32 {
    place.set(number())
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasGetVersion(place: Out<i32>) -> i32 {
    place.set(number())
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasGetProperty(kind: i32, value: Out<i32>) -> i32 {
    if property(version(), kind, value) { SUCCESS } else { INVALID_VALUE }
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasGetCudartVersion() -> usize {
    if LIBRARY.major() >= 13 { 13_000 } else { 12_090 }
}

fn text(status: i32) -> &'static CStr {
    match status {
        SUCCESS => c"CUBLAS_STATUS_SUCCESS",
        NOT_INITIALIZED => c"CUBLAS_STATUS_NOT_INITIALIZED",
        ALLOC_FAILED => c"CUBLAS_STATUS_ALLOC_FAILED",
        INVALID_VALUE => c"CUBLAS_STATUS_INVALID_VALUE",
        _ => c"unknown status",
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasGetStatusName(status: i32) -> *const c_char {
    text(status).as_ptr()
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasGetStatusString(status: i32) -> *const c_char {
    text(status).as_ptr()
}
