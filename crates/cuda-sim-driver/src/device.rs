//! Initialisation, devices and error names.

use crate::{INVALID_DEVICE, INVALID_VALUE, SUCCESS, gpus};
use kvtrace_cuda_sim::abi::{In, Out};
use kvtrace_cuda_sim::{Device, Error};
use std::ffi::c_char;

/// PCI bus of a device: each has one of its own.
pub(crate) fn bus(device: &Device) -> u32 {
    device.ordinal() + 1
}

fn pci_bus_id(device: &Device) -> String {
    format!("0000:{:02x}:00.0", bus(device))
}

/// Runs `act` on the device of that ordinal.
pub(crate) fn on_device(ordinal: i32, act: impl FnOnce(&'static Device) -> i32) -> i32 {
    match gpus() {
        Ok(devices) => {
            let device = usize::try_from(ordinal).ok().and_then(|ordinal| devices.get(ordinal));
            device.map_or(INVALID_DEVICE, act)
        }
        Err(error) => error.code(),
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuInit(_flags: u32) -> i32 {
    gpus().map_or_else(Error::code, |_| SUCCESS)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGet(device: Out<i32>, ordinal: i32) -> i32 {
    on_device(ordinal, |_| device.set(ordinal))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetCount(count: Out<i32>) -> i32 {
    gpus().map_or_else(Error::code, |all| count.set(all.len() as i32))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetName(name: Out<c_char>, size: i32, device: i32) -> i32 {
    on_device(device, |gpu| name.set_text(&gpu.profile().name, size))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetUuid(uuid: Out<[u8; 16]>, device: i32) -> i32 {
    on_device(device, |gpu| uuid.set(gpu.profile().uuid))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetUuid_v2(uuid: Out<[u8; 16]>, device: i32) -> i32 {
    cuDeviceGetUuid(uuid, device)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceTotalMem_v2(bytes: Out<usize>, device: i32) -> i32 {
    on_device(device, |gpu| bytes.set(gpu.profile().total as usize))
}

/// The ABI of CUDA 2: sizes have 32 bits.
#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceTotalMem(bytes: Out<u32>, device: i32) -> i32 {
    on_device(device, |gpu| bytes.set(gpu.profile().total.try_into().unwrap_or(u32::MAX)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceComputeCapability(major: Out<i32>, minor: Out<i32>, device: i32) -> i32 {
    on_device(device, |gpu| {
        let (high, low) = gpu.profile().capability;
        minor.offer(low);
        major.set(high)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetPCIBusId(text: Out<c_char>, size: i32, device: i32) -> i32 {
    on_device(device, |gpu| text.set_text(&pci_bus_id(gpu), size))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetByPCIBusId(device: Out<i32>, text: In<c_char>) -> i32 {
    // The domain may be written out or not.
    let asked = text.text().to_ascii_lowercase();
    let tail = |gpu: &Device| format!("{:02x}:00.0", bus(gpu));
    let found = gpus().map(|all| all.iter().position(|gpu| asked.ends_with(&tail(gpu))));
    match found {
        Ok(Some(ordinal)) => device.set(ordinal as i32),
        Ok(None) => INVALID_DEVICE,
        Err(error) => error.code(),
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceCanAccessPeer(able: Out<i32>, device: i32, peer: i32) -> i32 {
    // Access between devices is not modelled: programs go another way.
    on_device(device, |_| on_device(peer, |_| able.set(0)))
}

const ERRORS: &[(i32, &core::ffi::CStr, &core::ffi::CStr)] = &[
    (0, c"CUDA_SUCCESS", c"no error"),
    (1, c"CUDA_ERROR_INVALID_VALUE", c"invalid argument"),
    (2, c"CUDA_ERROR_OUT_OF_MEMORY", c"out of memory"),
    (3, c"CUDA_ERROR_NOT_INITIALIZED", c"initialization error"),
    (100, c"CUDA_ERROR_NO_DEVICE", c"no CUDA-capable device is detected"),
    (101, c"CUDA_ERROR_INVALID_DEVICE", c"invalid device ordinal"),
    (201, c"CUDA_ERROR_INVALID_CONTEXT", c"invalid device context"),
    (400, c"CUDA_ERROR_INVALID_HANDLE", c"invalid resource handle"),
    (500, c"CUDA_ERROR_NOT_FOUND", c"named symbol not found"),
    (600, c"CUDA_ERROR_NOT_READY", c"device not ready"),
    (801, c"CUDA_ERROR_NOT_SUPPORTED", c"operation not supported"),
    (802, c"CUDA_ERROR_SYSTEM_NOT_READY", c"system not yet initialized"),
];

#[unsafe(no_mangle)]
pub extern "C" fn cuGetErrorName(error: i32, name: Out<*const c_char>) -> i32 {
    let found = ERRORS.iter().find(|(code, ..)| *code == error);
    name.offer(found.map_or(core::ptr::null(), |(_, name, _)| name.as_ptr()));
    if found.is_some() { SUCCESS } else { INVALID_VALUE }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGetErrorString(error: i32, text: Out<*const c_char>) -> i32 {
    let found = ERRORS.iter().find(|(code, ..)| *code == error);
    text.offer(found.map_or(core::ptr::null(), |(.., text)| text.as_ptr()));
    if found.is_some() { SUCCESS } else { INVALID_VALUE }
}

/// `CUdevprop`, of CUDA 1: nine limits, then four sizes.
#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetProperties(properties: Out<[i32; 14]>, device: i32) -> i32 {
    let limits = [1024, 1024, 1024, 64, i32::MAX, 65_535, 65_535, 49_152, 65_536, 32, i32::MAX, 65_536, 2_418_000, 512];
    on_device(device, |_| properties.set(limits))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetLuid(_luid: Out<c_char>, _mask: Out<u32>, _device: i32) -> i32 {
    crate::NOT_SUPPORTED
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetExecAffinitySupport(able: Out<i32>, _kind: i32, _device: i32) -> i32 {
    able.set(0)
}
