//! Who uses the device: the processes that hold memory of it, all of them with a compute context. Real NVML lists them
//! also where it has no figures of the device itself, as on the GB10.

use crate::device::{Gpu, on_device};
use crate::memory::tenants;
use crate::{INSUFFICIENT_SIZE, INVALID_ARGUMENT, SUCCESS, wrote};
use kvtrace_cuda_sim::abi::Out;
use kvtrace_cuda_sim::state::Tenant;

/// No part of a GPU is an instance of its own.
const NO_INSTANCE: u32 = u32::MAX;

/// `nvmlProcessInfo_v1_t`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Process {
    pid: u32,
    used: u64,
}

/// `nvmlProcessInfo_v2_t`, which the third version of the functions uses as well.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Process2 {
    old: Process,
    gpu_instance: u32,
    compute_instance: u32,
}

/// `nvmlProcessDetail_v1_t`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Detail {
    old: Process2,
    protected: u64,
}

/// `nvmlProcessDetailList_v1_t`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct DetailList {
    version: u32,
    mode: u32,
    count: u32,
    entries: Out<Detail>,
}

const DETAIL_LIST_1: u32 = size_of::<DetailList>() as u32 | 1 << 24;
/// `NVML_PROCESS_MODE_COMPUTE`, `NVML_PROCESS_MODE_ALL`
const WITH_COMPUTE: [u32; 2] = [0, 3];

impl From<Tenant> for Process {
    fn from(tenant: Tenant) -> Self {
        Process { pid: tenant.pid, used: tenant.device }
    }
}

impl From<Tenant> for Process2 {
    fn from(tenant: Tenant) -> Self {
        Process2 { old: tenant.into(), gpu_instance: NO_INSTANCE, compute_instance: NO_INSTANCE }
    }
}

impl From<Tenant> for Detail {
    fn from(tenant: Tenant) -> Self {
        Detail { old: tenant.into(), protected: 0 }
    }
}

/// Writes the list into the caller's room, or how much room it needs.
fn list<T: From<Tenant> + Copy>(gpu: Gpu, room: u32, entries: Out<T>, number: impl FnOnce(u32) -> i32) -> i32 {
    let tenants = match tenants(gpu) {
        Ok(tenants) => tenants,
        Err(failure) => return failure,
    };
    let processes: Vec<T> = tenants.filter(|tenant| tenant.device > 0).map(T::from).collect();
    let count = processes.len() as u32;
    match number(count) {
        SUCCESS if count > room => INSUFFICIENT_SIZE,
        SUCCESS if count > 0 && entries.is_null() => INVALID_ARGUMENT,
        SUCCESS => {
            // SAFETY: the caller said that it has room for as many entries, and gave the place.
            unsafe { entries.set_all(&processes) };
            SUCCESS
        }
        failure => failure,
    }
}

fn computing<T: From<Tenant> + Copy>(device: usize, count: Out<u32>, entries: Out<T>) -> i32 {
    on_device(device, |gpu| match count.get() {
        Some(room) => list(gpu, room, entries, |number| wrote(count.set(number))),
        None => INVALID_ARGUMENT,
    })
}

/// Nobody draws, and nobody shares the device through MPS.
fn nobody(device: usize, count: Out<u32>) -> i32 {
    on_device(device, |_| wrote(count.set(0)))
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn nvmlDeviceGetComputeRunningProcesses(
    device: usize,
    count: Out<u32>,
    infos: Out<Process>,
) -> i32 {
    computing(device, count, infos)
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn nvmlDeviceGetComputeRunningProcesses_v2(
    device: usize,
    count: Out<u32>,
    infos: Out<Process2>,
) -> i32 {
    computing(device, count, infos)
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn nvmlDeviceGetComputeRunningProcesses_v3(
    device: usize,
    count: Out<u32>,
    infos: Out<Process2>,
) -> i32 {
    computing(device, count, infos)
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetGraphicsRunningProcesses(device: usize, count: Out<u32>, _infos: usize) -> i32 {
    nobody(device, count)
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetGraphicsRunningProcesses_v2(device: usize, count: Out<u32>, _infos: usize) -> i32 {
    nobody(device, count)
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetGraphicsRunningProcesses_v3(device: usize, count: Out<u32>, _infos: usize) -> i32 {
    nobody(device, count)
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetMPSComputeRunningProcesses(device: usize, count: Out<u32>, _infos: usize) -> i32 {
    nobody(device, count)
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetMPSComputeRunningProcesses_v2(device: usize, count: Out<u32>, _infos: usize) -> i32 {
    nobody(device, count)
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetMPSComputeRunningProcesses_v3(device: usize, count: Out<u32>, _infos: usize) -> i32 {
    nobody(device, count)
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn nvmlDeviceGetRunningProcessDetailList(device: usize, place: Out<DetailList>) -> i32 {
    on_device(device, |gpu| {
        let Some(asked) = place.get() else { return INVALID_ARGUMENT };
        if asked.version != DETAIL_LIST_1 {
            return ARGUMENT_VERSION_MISMATCH;
        }
        let DetailList { version, mode, count: room, entries } = asked;
        let answer = |count| wrote(place.set(DetailList { version, mode, count, entries }));
        if WITH_COMPUTE.contains(&mode) { list(gpu, room, entries, answer) } else { answer(0) }
    })
}

/// `NVML_ERROR_ARGUMENT_VERSION_MISMATCH`
const ARGUMENT_VERSION_MISMATCH: i32 = 25;
