//! Memory figures: the discrete device has them, the unified one does not.

use crate::device::{Gpu, on_device};
use crate::{DRIVER_NOT_LOADED, NOT_SUPPORTED, wrote};
use kvtrace_cuda_sim::abi::Out;
use kvtrace_cuda_sim::profile::MOST_DEVICES;
use kvtrace_cuda_sim::state::{State, Tenant, path_of};
use std::sync::OnceLock;

/// `nvmlMemory_t`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Memory {
    total: u64,
    free: u64,
    used: u64,
}

/// `nvmlMemory_v2_t`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Memory2 {
    version: u32,
    total: u64,
    reserved: u64,
    free: u64,
    used: u64,
}

const VERSION_2: u32 = size_of::<Memory2>() as u32 | 2 << 24;

/// Who holds how much of a device. The state file is opened to be read: this library holds no memory of any.
pub(crate) fn tenants(gpu: Gpu) -> Result<impl Iterator<Item = Tenant>, i32> {
    static STATES: [OnceLock<Option<State>>; MOST_DEVICES] = [const { OnceLock::new() }; MOST_DEVICES];
    let state = STATES[gpu.index as usize].get_or_init(|| State::open(&path_of(gpu.index)).ok());
    Ok(state.as_ref().ok_or(DRIVER_NOT_LOADED)?.tenants())
}

/// What all processes hold.
fn figures(gpu: Gpu) -> Result<Memory, i32> {
    let profile = gpu.profile;
    // One pool with the CPU's memory has no figures of its own: the GB10 answers so.
    if profile.unified {
        return Err(NOT_SUPPORTED);
    }
    let held: u64 = tenants(gpu)?.map(|tenant| tenant.device).fold(0, u64::saturating_add);
    let used = held.min(profile.total);
    Ok(Memory { total: profile.total, free: profile.total - used, used })
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn nvmlDeviceGetMemoryInfo(device: usize, info: Out<Memory>) -> i32 {
    on_device(device, |gpu| figures(gpu).map_or_else(|failure| failure, |memory| wrote(info.set(memory))))
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn nvmlDeviceGetMemoryInfo_v2(device: usize, info: Out<Memory2>) -> i32 {
    on_device(device, |gpu| match figures(gpu) {
        Ok(Memory { total, free, used }) => {
            wrote(info.set(Memory2 { version: VERSION_2, total, reserved: 0, free, used }))
        }
        Err(failure) => failure,
    })
}
