//! The devices: their handles and who they are. `CUDA_VISIBLE_DEVICES` means nothing here.

use crate::system::{give, initialised};
use crate::{INVALID_ARGUMENT, NOT_FOUND, wrote};
use core::ffi::c_char;
use core::fmt::Write as _;
use kvtrace_cuda_sim::abi::{In, Out};
use kvtrace_cuda_sim::{Profile, profile};
use std::sync::OnceLock;

/// A device handle; nobody looks into it.
type Handle = usize;

const FIRST: Handle = 0x6b76_9000;
const STEP: Handle = 0x10;

/// A device: its number and its figures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gpu {
    pub index: u32,
    pub profile: &'static Profile,
}

impl Gpu {
    fn handle(self) -> Handle {
        FIRST + self.index as Handle * STEP
    }

    /// As the driver library numbers buses.
    fn bus(self) -> u32 {
        self.index + 1
    }

    fn bus_id(self) -> String {
        format!("00000000:{:02X}:00.0", self.bus())
    }

    fn bus_id_legacy(self) -> String {
        format!("0000:{:02X}:00.0", self.bus())
    }
}

/// The devices that the environment asks for. The driver library complains about values that cannot be used.
pub(crate) fn all() -> impl Iterator<Item = Gpu> {
    static PROFILES: OnceLock<Vec<Profile>> = OnceLock::new();
    let profiles = PROFILES.get_or_init(|| profile::devices_from_env().0);
    (0..).zip(profiles).map(|(index, profile)| Gpu { index, profile })
}

/// Runs `act` for the device of that handle.
pub(crate) fn on_device(handle: Handle, act: impl FnOnce(Gpu) -> i32) -> i32 {
    initialised(|| all().find(|gpu| gpu.handle() == handle).map_or(INVALID_ARGUMENT, act))
}

/// Gives the handle of the device that `is_it` knows, or else `otherwise`.
fn found(handle: Out<Handle>, otherwise: i32, is_it: impl Fn(&Gpu) -> bool) -> i32 {
    initialised(|| all().find(is_it).map_or(otherwise, |gpu| wrote(handle.set(gpu.handle()))))
}

/// The UUID as NVML writes it.
fn uuid_text(uuid: [u8; 16]) -> String {
    let mut text = String::from("GPU-");
    for (index, byte) in uuid.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetCount_v2(count: Out<u32>) -> i32 {
    initialised(|| wrote(count.set(all().count() as u32)))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetCount(count: Out<u32>) -> i32 {
    nvmlDeviceGetCount_v2(count)
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: u32, handle: Out<Handle>) -> i32 {
    found(handle, INVALID_ARGUMENT, |gpu| gpu.index == index)
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetHandleByIndex(index: u32, handle: Out<Handle>) -> i32 {
    nvmlDeviceGetHandleByIndex_v2(index, handle)
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetHandleByUUID(uuid: In<c_char>, handle: Out<Handle>) -> i32 {
    let asked = uuid.text();
    found(handle, NOT_FOUND, |gpu| uuid_text(gpu.profile.uuid) == asked)
}

/// `nvmlUUID_v1_t`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Uuid {
    version: u32,
    /// How `value` is to be read: as text, or as the UUID's own bytes.
    kind: u32,
    value: [u8; 44],
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn nvmlDeviceGetHandleByUUIDV(uuid: In<Uuid>, handle: Out<Handle>) -> i32 {
    const TEXT: u32 = 1;
    const BYTES: u32 = 2;
    match uuid.get() {
        Some(Uuid { kind: TEXT, value, .. }) => {
            found(handle, NOT_FOUND, |gpu| value.starts_with(uuid_text(gpu.profile.uuid).as_bytes()))
        }
        Some(Uuid { kind: BYTES, value, .. }) => found(handle, NOT_FOUND, |gpu| value.starts_with(&gpu.profile.uuid)),
        _ => initialised(|| INVALID_ARGUMENT),
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceIsMigDeviceHandle(device: Handle, is_mig: Out<u32>) -> i32 {
    on_device(device, |_| wrote(is_mig.set(0)))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetHandleByPciBusId_v2(bus_id: In<c_char>, handle: Out<Handle>) -> i32 {
    let asked = bus_id.text().to_ascii_uppercase();
    found(handle, NOT_FOUND, |gpu| [gpu.bus_id(), gpu.bus_id_legacy()].contains(&asked))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetHandleByPciBusId(bus_id: In<c_char>, handle: Out<Handle>) -> i32 {
    nvmlDeviceGetHandleByPciBusId_v2(bus_id, handle)
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetIndex(device: Handle, index: Out<u32>) -> i32 {
    on_device(device, |gpu| wrote(index.set(gpu.index)))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetMinorNumber(device: Handle, number: Out<u32>) -> i32 {
    on_device(device, |gpu| wrote(number.set(gpu.index)))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetName(device: Handle, name: Out<c_char>, size: u32) -> i32 {
    on_device(device, |gpu| give(name, &gpu.profile.name, size))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetUUID(device: Handle, uuid: Out<c_char>, size: u32) -> i32 {
    on_device(device, |gpu| give(uuid, &uuid_text(gpu.profile.uuid), size))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetCudaComputeCapability(device: Handle, major: Out<i32>, minor: Out<i32>) -> i32 {
    on_device(device, |gpu| {
        minor.offer(gpu.profile.capability.1);
        wrote(major.set(gpu.profile.capability.0))
    })
}

/// The beginning of `nvmlPciInfo_t`, which all its versions share.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct PciInfo {
    bus_id_legacy: [u8; 16],
    domain: u32,
    bus: u32,
    device: u32,
    device_id: u32,
    subsystem_id: u32,
}

/// `nvmlPciInfo_t`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct PciInfo3 {
    old: PciInfo,
    bus_id: [u8; 32],
}

fn padded<const SIZE: usize>(text: &str) -> [u8; SIZE] {
    let mut bytes = [0; SIZE];
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    bytes
}

fn pci(gpu: Gpu) -> PciInfo {
    // The combined identifier has NVIDIA's vendor number and no device number of its own.
    let device_id = 0x10de;
    PciInfo {
        bus_id_legacy: padded(&gpu.bus_id_legacy()),
        domain: 0,
        bus: gpu.bus(),
        device: 0,
        device_id,
        subsystem_id: 0,
    }
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn nvmlDeviceGetPciInfo_v3(device: Handle, info: Out<PciInfo3>) -> i32 {
    on_device(device, |gpu| wrote(info.set(PciInfo3 { old: pci(gpu), bus_id: padded(&gpu.bus_id()) })))
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn nvmlDeviceGetPciInfo_v2(device: Handle, info: Out<PciInfo>) -> i32 {
    on_device(device, |gpu| wrote(info.set(pci(gpu))))
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn nvmlDeviceGetPciInfo(device: Handle, info: Out<PciInfo>) -> i32 {
    nvmlDeviceGetPciInfo_v2(device, info)
}

/// Access between devices is not modelled, and the driver says so too.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetP2PStatus(device: Handle, peer: Handle, _index: i32, status: Out<i32>) -> i32 {
    const P2P_NOT_SUPPORTED: i32 = 5;
    on_device(device, |_| on_device(peer, |_| wrote(status.set(P2P_NOT_SUPPORTED))))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetNumaNodeId(device: Handle, node: Out<u32>) -> i32 {
    on_device(device, |gpu| gpu.profile.numa.map_or(crate::NOT_SUPPORTED, |number| wrote(node.set(number as u32))))
}
