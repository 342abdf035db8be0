//! The only device: its handle and who it is.

use crate::system::{give, initialised};
use crate::{INVALID_ARGUMENT, NOT_FOUND, wrote};
use core::ffi::c_char;
use core::fmt::Write as _;
use kvtrace_cuda_sim::Profile;
use kvtrace_cuda_sim::abi::{In, Out};
use std::sync::OnceLock;

/// A device handle; nobody looks into it.
type Handle = usize;

const DEVICE: Handle = 0x6b76_9000;
const BUS: u32 = 1;
const BUS_ID: &str = "00000000:01:00.0";
const BUS_ID_LEGACY: &str = "0000:01:00.0";

/// The profile that the environment asks for. The driver library complains about values that cannot be used.
pub(crate) fn profile() -> &'static Profile {
    static PROFILE: OnceLock<Profile> = OnceLock::new();
    PROFILE.get_or_init(|| Profile::from_env().0)
}

/// Runs `act` for the device of that handle.
pub(crate) fn on_device(handle: Handle, act: impl FnOnce(&'static Profile) -> i32) -> i32 {
    initialised(|| if handle == DEVICE { act(profile()) } else { INVALID_ARGUMENT })
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
    initialised(|| wrote(count.set(1)))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetCount(count: Out<u32>) -> i32 {
    nvmlDeviceGetCount_v2(count)
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: u32, handle: Out<Handle>) -> i32 {
    initialised(|| if index == 0 { wrote(handle.set(DEVICE)) } else { INVALID_ARGUMENT })
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetHandleByIndex(index: u32, handle: Out<Handle>) -> i32 {
    nvmlDeviceGetHandleByIndex_v2(index, handle)
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetHandleByUUID(uuid: In<c_char>, handle: Out<Handle>) -> i32 {
    let known = uuid_text(profile().uuid);
    initialised(|| if uuid.text() == known { wrote(handle.set(DEVICE)) } else { NOT_FOUND })
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
    let known = profile().uuid;
    initialised(|| match uuid.get() {
        Some(Uuid { kind: TEXT, value, .. }) if value.starts_with(uuid_text(known).as_bytes()) => {
            wrote(handle.set(DEVICE))
        }
        Some(Uuid { kind: BYTES, value, .. }) if value.starts_with(&known) => wrote(handle.set(DEVICE)),
        Some(Uuid { kind: TEXT | BYTES, .. }) => NOT_FOUND,
        _ => INVALID_ARGUMENT,
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceIsMigDeviceHandle(device: Handle, is_mig: Out<u32>) -> i32 {
    on_device(device, |_| wrote(is_mig.set(0)))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetHandleByPciBusId_v2(bus_id: In<c_char>, handle: Out<Handle>) -> i32 {
    let known = [BUS_ID, BUS_ID_LEGACY].contains(&bus_id.text());
    initialised(|| if known { wrote(handle.set(DEVICE)) } else { NOT_FOUND })
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetHandleByPciBusId(bus_id: In<c_char>, handle: Out<Handle>) -> i32 {
    nvmlDeviceGetHandleByPciBusId_v2(bus_id, handle)
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetIndex(device: Handle, index: Out<u32>) -> i32 {
    on_device(device, |_| wrote(index.set(0)))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetMinorNumber(device: Handle, number: Out<u32>) -> i32 {
    on_device(device, |_| wrote(number.set(0)))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetName(device: Handle, name: Out<c_char>, size: u32) -> i32 {
    on_device(device, |profile| give(name, profile.name, size))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetUUID(device: Handle, uuid: Out<c_char>, size: u32) -> i32 {
    on_device(device, |profile| give(uuid, &uuid_text(profile.uuid), size))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetCudaComputeCapability(device: Handle, major: Out<i32>, minor: Out<i32>) -> i32 {
    on_device(device, |profile| {
        minor.offer(profile.capability.1);
        wrote(major.set(profile.capability.0))
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

fn pci() -> PciInfo {
    // The combined identifier has NVIDIA's vendor number and no device number of its own.
    let device_id = 0x10de;
    PciInfo { bus_id_legacy: padded(BUS_ID_LEGACY), domain: 0, bus: BUS, device: 0, device_id, subsystem_id: 0 }
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn nvmlDeviceGetPciInfo_v3(device: Handle, info: Out<PciInfo3>) -> i32 {
    on_device(device, |_| wrote(info.set(PciInfo3 { old: pci(), bus_id: padded(BUS_ID) })))
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn nvmlDeviceGetPciInfo_v2(device: Handle, info: Out<PciInfo>) -> i32 {
    on_device(device, |_| wrote(info.set(pci())))
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn nvmlDeviceGetPciInfo(device: Handle, info: Out<PciInfo>) -> i32 {
    nvmlDeviceGetPciInfo_v2(device, info)
}
