//! Versions, texts, and attributes: every attribute reads 0.

use crate::{INVALID_VALUE, LIBRARY, SUCCESS};
use core::ffi::{CStr, c_char};
use kvtrace_cuda_sim_quiet::abi::Out;
use kvtrace_cuda_sim_quiet::property;

fn version() -> (i32, i32, i32) {
    if LIBRARY.major() >= 13 { (13, 4, 1) } else { (12, 9, 1) }
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasLtGetVersion() -> usize {
    let (major, minor, patch) = version();
    (major * 10_000 + minor * 100 + patch) as usize
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasLtGetCudartVersion() -> usize {
    if LIBRARY.major() >= 13 { 13_000 } else { 12_090 }
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasLtGetProperty(kind: i32, value: Out<i32>) -> i32 {
    if property(version(), kind, value) { SUCCESS } else { INVALID_VALUE }
}

fn text(status: i32) -> &'static CStr {
    if status == SUCCESS { c"CUBLAS_STATUS_SUCCESS" } else { c"unknown status" }
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasLtGetStatusName(status: i32) -> *const c_char {
    text(status).as_ptr()
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasLtGetStatusString(status: i32) -> *const c_char {
    text(status).as_ptr()
}

fn zeros(room: Out<u8>, bytes: usize, written: Out<usize>) -> i32 {
    if !room.is_null() {
        // SAFETY: the caller says how many bytes it has room for.
        unsafe { room.set_all(&vec![0; bytes]) };
    }
    written.offer(bytes);
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasLtMatmulDescGetAttribute(
    _of: usize,
    _attribute: i32,
    room: Out<u8>,
    bytes: usize,
    written: Out<usize>,
) -> i32 {
    zeros(room, bytes, written)
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasLtMatrixLayoutGetAttribute(
    _of: usize,
    _attribute: i32,
    room: Out<u8>,
    bytes: usize,
    written: Out<usize>,
) -> i32 {
    zeros(room, bytes, written)
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasLtMatmulPreferenceGetAttribute(
    _of: usize,
    _attribute: i32,
    room: Out<u8>,
    bytes: usize,
    written: Out<usize>,
) -> i32 {
    zeros(room, bytes, written)
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasLtMatrixTransformDescGetAttribute(
    _of: usize,
    _attribute: i32,
    room: Out<u8>,
    bytes: usize,
    written: Out<usize>,
) -> i32 {
    zeros(room, bytes, written)
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasLtMatmulAlgoCapGetAttribute(
    _of: usize,
    _attribute: i32,
    room: Out<u8>,
    bytes: usize,
    written: Out<usize>,
) -> i32 {
    zeros(room, bytes, written)
}

#[unsafe(no_mangle)]
pub extern "C" fn cublasLtMatmulAlgoConfigGetAttribute(
    _of: usize,
    _attribute: i32,
    room: Out<u8>,
    bytes: usize,
    written: Out<usize>,
) -> i32 {
    zeros(room, bytes, written)
}
