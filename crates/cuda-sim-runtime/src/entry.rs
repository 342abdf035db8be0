//! Versions, and the driver's functions as the runtime hands them on.

use crate::context::with_driver;
use crate::driver;
use crate::error::{NO_DRIVER, done};
use crate::pointer::{out, write};
use crate::version::number;
use core::ffi::{c_char, c_void};

const PER_THREAD_STREAM: u64 = 2;
const SYMBOL_NOT_FOUND: i32 = 500;

pub extern "C" fn cudaRuntimeGetVersion(version: *mut i32) -> i32 {
    done(write(version, number()))
}

pub extern "C" fn cudaDriverGetVersion(version: *mut i32) -> i32 {
    with_driver(|| driver::cuDriverGetVersion(version))
}

/// A driver that lacks the function is no failure: the status says so.
pub extern "C" fn cudaGetDriverEntryPointByVersion(
    name: *const c_char,
    function: *mut *const c_void,
    version: u32,
    flags: u64,
    status: *mut i32,
) -> i32 {
    with_driver(|| {
        let Some((found, how, _)) = driver::ask(name, version as i32, flags) else { return NO_DRIVER };
        out(status).offer(how);
        write(function, found)
    })
}

pub extern "C" fn cudaGetDriverEntryPoint(
    name: *const c_char,
    function: *mut *const c_void,
    flags: u64,
    status: *mut i32,
) -> i32 {
    cudaGetDriverEntryPointByVersion(name, function, number() as u32, flags, status)
}

/// In this form the default flag, 0, means the functions of the per-thread stream.
pub extern "C" fn cudaGetDriverEntryPointByVersion_ptsz(
    name: *const c_char,
    function: *mut *const c_void,
    version: u32,
    flags: u64,
    status: *mut i32,
) -> i32 {
    let flags = if flags == 0 { PER_THREAD_STREAM } else { flags };
    cudaGetDriverEntryPointByVersion(name, function, version, flags, status)
}

pub extern "C" fn cudaGetDriverEntryPoint_ptsz(
    name: *const c_char,
    function: *mut *const c_void,
    flags: u64,
    status: *mut i32,
) -> i32 {
    cudaGetDriverEntryPointByVersion_ptsz(name, function, number() as u32, flags, status)
}

/// Undocumented tables are not modelled. That one is missing is the asking library's affair, and no error that the
/// program would find at its next kernel.
pub extern "C" fn cudaGetExportTable(table: *mut *const c_void, _id: *const c_void) -> i32 {
    out(table).offer(core::ptr::null());
    SYMBOL_NOT_FOUND
}
