//! `libcuda.so.1` of the simulated GPU: the driver API, translated to the device model.
//!
//! What concerns memory is real, the rest succeeds and does nothing. Undocumented tables (`cuGetExportTable`) are left
//! alone. Every function that is not written out here is a stub of the build script.

#![allow(non_snake_case, reason = "the functions carry the driver API's names")]

mod array;
mod attributes;
mod capture;
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
mod visible;
mod vmm;

#[allow(unused_imports, reason = "the generated stubs and table name every function by `crate::`")]
use {
    array::*, attributes::*, capture::*, context::*, copy::*, device::*, foreign::*, graph::*, lookup::*, memory::*,
    module::*, pool::*, stream::*, stubs::*, vmm::*,
};

use kvtrace_cuda_sim::{Device, Error, Result, profile, state};
use std::sync::OnceLock;

pub(crate) const SUCCESS: i32 = 0;
pub(crate) const INVALID_VALUE: i32 = 1;
pub(crate) const INVALID_DEVICE: i32 = 101;
pub(crate) const NOT_FOUND: i32 = 500;
pub(crate) const NOT_SUPPORTED: i32 = 801;

/// CUDA 13.5: the version of the headers that the export list was read from.
pub(crate) const VERSION: i32 = 13_050;

/// The devices that this process sees, opened at the first call that needs one. A fork child of the process that
/// opened them gets none.
pub(crate) fn gpus() -> Result<&'static [Device]> {
    static DEVICES: OnceLock<Option<Vec<Device>>> = OnceLock::new();
    let devices = DEVICES.get_or_init(open).as_ref().ok_or(Error::NotReady)?;
    match devices.first() {
        None => Err(Error::NoDevice),
        Some(first) if first.is_ours() => Ok(devices),
        Some(_) => Err(Error::NotInitialized),
    }
}

/// The device of the current context; the first one where none is current.
pub(crate) fn gpu() -> Result<&'static Device> {
    let devices = gpus()?;
    devices.get(current()).or(devices.first()).ok_or(Error::NoDevice)
}

/// The device that `is_its` says something belongs to; the current one if none does.
pub(crate) fn gpu_of(is_its: impl Fn(&Device) -> bool) -> Result<&'static Device> {
    match gpus()? {
        [only] => Ok(only),
        several => several.iter().find(|device| is_its(device)).map_or_else(gpu, Ok),
    }
}

/// The device that holds the allocation around `address`.
pub(crate) fn gpu_at(address: u64) -> Result<&'static Device> {
    gpu_of(|device| device.find(address).is_some())
}

/// The number by which this process knows a device.
pub(crate) fn ordinal_of(device: &Device) -> i32 {
    gpus().ok().and_then(|all| all.iter().position(|one| core::ptr::eq(one, device))).unwrap_or(0) as i32
}

fn open() -> Option<Vec<Device>> {
    let (profiles, complaints) = profile::devices_from_env();
    for complaint in complaints {
        eprintln!("simulated GPU: {complaint}");
    }
    let devices = visible::among(&profiles, std::env::var(visible::ENV).ok().as_deref()).into_iter().map(|ordinal| {
        let path = state::path_of(ordinal);
        Device::open_as(profiles[ordinal as usize].clone(), &path, ordinal)
            .inspect_err(|_| eprintln!("simulated GPU: cannot use its state file {}", path.display()))
            .ok()
    });
    devices.collect()
}

/// The `CUresult` of an operation that yields nothing.
pub(crate) fn code(result: Result<()>) -> i32 {
    result.map_or_else(Error::code, |()| SUCCESS)
}
