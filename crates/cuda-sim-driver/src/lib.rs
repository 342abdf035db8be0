//! `libcuda.so.1` of the simulated GPU: the driver API, translated to the device model.
//!
//! What concerns memory is real, the rest succeeds and does nothing. Undocumented tables (`cuGetExportTable`) are left
//! alone. Every function that is not written out here is a stub of the build script.

#![allow(non_snake_case, reason = "the functions carry the driver API's names")]

mod array;
mod attributes;
mod context;
mod copy;
mod device;
mod foreign;
mod graph;
mod held;
mod lookup;
mod memory;
mod module;
mod pool;
mod stream;
mod stubs {
    //! What is not written out, from the build script.
    include!(concat!(env!("OUT_DIR"), "/stubs.rs"));
}
mod vmm;

#[allow(unused_imports, reason = "the generated stubs and table name every function by `crate::`")]
use {
    array::*, attributes::*, context::*, copy::*, device::*, foreign::*, graph::*, lookup::*, memory::*, module::*,
    pool::*, stream::*, stubs::*, vmm::*,
};

use kvtrace_cuda_sim::{Device, Error, Profile, Result, state};
use std::sync::OnceLock;

pub(crate) const SUCCESS: i32 = 0;
pub(crate) const INVALID_VALUE: i32 = 1;
pub(crate) const INVALID_DEVICE: i32 = 101;
pub(crate) const NOT_FOUND: i32 = 500;
pub(crate) const NOT_SUPPORTED: i32 = 801;

/// CUDA 13.5: the version of the headers that the export list was read from.
pub(crate) const VERSION: i32 = 13_050;

/// The device, opened at the first call that needs it. A fork child of the process that opened it gets none.
pub(crate) fn gpu() -> Result<&'static Device> {
    static DEVICE: OnceLock<Option<Device>> = OnceLock::new();
    let device = DEVICE.get_or_init(open).as_ref().ok_or(Error::NotReady)?;
    if device.is_ours() { Ok(device) } else { Err(Error::NotInitialized) }
}

fn open() -> Option<Device> {
    let (profile, complaints) = Profile::from_env();
    for complaint in complaints {
        eprintln!("simulated GPU: {complaint}");
    }
    let path = state::default_path();
    Device::open(profile, &path)
        .inspect_err(|_| eprintln!("simulated GPU: cannot use its state file {}", path.display()))
        .ok()
}

/// The `CUresult` of an operation that yields nothing.
pub(crate) fn code(result: Result<()>) -> i32 {
    result.map_or_else(Error::code, |()| SUCCESS)
}
