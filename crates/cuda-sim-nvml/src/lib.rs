//! `libnvidia-ml.so.1` of the simulated GPU: what schedulers and servers ask about a device. Nothing is ever changed
//! through it; every function that is not written out here is not supported.

#![allow(non_snake_case, reason = "the functions carry NVML's names")]

mod device;
mod memory;
mod processes;
mod stubs {
    //! What is not written out, from the build script.
    include!(concat!(env!("OUT_DIR"), "/stubs.rs"));
}
mod system;

pub(crate) const SUCCESS: i32 = 0;
pub(crate) const UNINITIALIZED: i32 = 1;
pub(crate) const INVALID_ARGUMENT: i32 = 2;
pub(crate) const NOT_SUPPORTED: i32 = 3;
pub(crate) const NOT_FOUND: i32 = 6;
pub(crate) const INSUFFICIENT_SIZE: i32 = 7;
pub(crate) const DRIVER_NOT_LOADED: i32 = 9;

/// NVML's code for a pointer write: a null pointer is an invalid argument.
pub(crate) fn wrote(result: i32) -> i32 {
    if result == 0 { SUCCESS } else { INVALID_ARGUMENT }
}
