//! Memory of other processes, and of APIs that are not there.

use crate::{INVALID_VALUE, NOT_SUPPORTED, code, gpu, gpu_at, gpu_of, gpus};
use kvtrace_cuda_sim::abi::Out;
use kvtrace_cuda_sim::{Error, IpcHandle};
use std::os::fd::{BorrowedFd, IntoRawFd};

const FILE_DESCRIPTOR: i32 = 1;

#[unsafe(no_mangle)]
pub extern "C" fn cuIpcGetMemHandle(handle: Out<IpcHandle>, address: u64) -> i32 {
    gpu_at(address).and_then(|gpu| gpu.ipc_handle(address)).map_or_else(Error::code, |got| handle.set(got))
}

/// `CUipcMemHandle` by value.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Handle(IpcHandle);

#[unsafe(no_mangle)]
pub extern "C" fn cuIpcOpenMemHandle_v2(address: Out<u64>, handle: Handle, _flags: u32) -> i32 {
    if address.is_null() {
        return INVALID_VALUE;
    }
    gpu().and_then(|gpu| gpu.ipc_open(&handle.0)).map_or_else(Error::code, |got| address.set(got))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuIpcOpenMemHandle(address: Out<u64>, handle: Handle, flags: u32) -> i32 {
    cuIpcOpenMemHandle_v2(address, handle, flags)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuIpcCloseMemHandle(address: u64) -> i32 {
    code(gpu_at(address).and_then(|gpu| gpu.ipc_close(address)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemExportToShareableHandle(shareable: Out<i32>, handle: u64, kind: i32, _flags: u64) -> i32 {
    if kind != FILE_DESCRIPTOR {
        return NOT_SUPPORTED;
    }
    if shareable.is_null() {
        return INVALID_VALUE;
    }
    gpu_of(|gpu| gpu.has_handle(handle))
        .and_then(|gpu| gpu.export(handle))
        .map_or_else(Error::code, |fd| shareable.set(fd.into_raw_fd()))
}

/// A descriptor comes in place of the pointer.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemImportFromShareableHandle(handle: Out<u64>, shareable: usize, kind: i32) -> i32 {
    if kind != FILE_DESCRIPTOR {
        return NOT_SUPPORTED;
    }
    let descriptor = shareable as i32;
    if handle.is_null() || descriptor < 0 {
        return INVALID_VALUE;
    }
    // SAFETY: the caller passes an open descriptor for the time of the call; of one that is not open, nothing is had.
    let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
    // It may name memory of any device: the current one first.
    let here = gpu().and_then(|gpu| gpu.import(descriptor));
    let imported = here.or_else(|error| gpus()?.iter().find_map(|gpu| gpu.import(descriptor).ok()).ok_or(error));
    imported.map_or_else(Error::code, |got| handle.set(got))
}
