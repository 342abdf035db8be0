//! NVML: what a program is told of a GPU from outside. No bytes are counted here; the figures are a second witness
//! beside the driver's, and on a GPU that shares its memory with the CPU they are mostly not supported.
//!
//! `nvmlInternalGetExportTable` has no row: what passes through that table is between NVIDIA's own programs.

use super::{Layer, hooks, out};
use crate::effect::note;
use crate::nvml::{
    Figures, Handle, List, Words, listed, listed_peak, note_device, note_fields, note_init, note_lookup, note_shutdown,
    query, query_part, word,
};
use core::ffi::c_char;
use core::ptr::null;

// Bytes of an entry of the process lists: pid and memory, then two instance numbers, then protected memory.
const PROCESS_1: usize = 16;
const PROCESS_2: usize = 24;
const PROCESS_DETAIL: usize = 32;

const MIB: u64 = 1 << 20;

/// A word of a structure that NVML fills in.
macro_rules! word {
    ($rc:ident, $at:expr, $index:expr) => {
        // SAFETY: the structure of the row's function, whose layout the index follows.
        unsafe { word($rc, $at, $index) }
    };
}

/// `nvmlMemory_t`
const MEMORY: Words = Words { total: 0, reserved: None, free: 1, used: 2 };

/// `nvmlMemory_v2_t`, behind its version.
const MEMORY_2: Words = Words { total: 1, reserved: Some(2), free: 3, used: 4 };

/// As `nvmlMemory_t`, of protected memory.
fn memory(rc: i32, at: *const u64) -> Figures {
    Figures { total: word!(rc, at, 0), free: word!(rc, at, 1), reserved: None }
}

/// `nvmlDeviceAttributes_t`: MiB behind eight 32-bit numbers. Of a MIG device, this is what it may use.
fn attributes(rc: i32, at: *const u64) -> Figures {
    let total = word!(rc, at, 4).map(|size| size.saturating_mul(MIB));
    Figures { total, ..Figures::default() }
}

/// Bytes of an `nvmlGpuInstanceProfileInfo_v2_t` or `_v3_t`, which say by their first field which they are.
fn profile(rc: i32, at: *const u64) -> u64 {
    let version = word!(rc, at, 0).unwrap_or(0) as u32 >> 24;
    mib(word!(rc, at, if version == 2 { 6 } else { 5 }))
}

fn mib(size: Option<u64>) -> u64 {
    size.unwrap_or(0).saturating_mul(MIB)
}

fn kib(size: Option<u64>) -> Option<u64> {
    size.map(|size| size.saturating_mul(1024))
}

/// Whether an answer tells how many processes there are: the list, or that the room for it is too small.
fn tells_number(rc: i32) -> bool {
    const INSUFFICIENT_SIZE: i32 = 7;
    rc == 0 || rc == INSUFFICIENT_SIZE
}

/// `infos` is an array of entries, `count` its length.
fn processes(rc: i32, count: *const u32, entries: *const u8, stride: usize) -> List {
    // SAFETY: with these answers NVML has written the number.
    let count = if tells_number(rc) { unsafe { crate::effect::out(count) } } else { None };
    List { count, entries, stride }
}

/// `nvmlProcessDetailList_t`: version, mode, number and address of the entries.
fn details(rc: i32, at: *const u64) -> List {
    let told = if tells_number(rc) { 0 } else { rc };
    let entries = word!(told, at, 2).unwrap_or(0) as *const u8;
    List { count: word!(told, at, 1).map(|word| word as u32), entries, stride: PROCESS_DETAIL }
}

/// The text of an `nvmlUUID_t`, which is version, type and 41 bytes; NULL if it is of another type.
fn uuid_text(at: *const u32) -> *const c_char {
    const ASCII: u32 = 1;
    if at.is_null() {
        return null();
    }
    // SAFETY: the program's structure, which NVML has just read.
    if unsafe { at.add(1).read_unaligned() } == ASCII { at.wrapping_add(2).cast() } else { null() }
}

// 12 is NVML_ERROR_LIBRARY_NOT_FOUND.
hooks! { Layer::Nvml, i32, ();
    nvmlInit as "nvmlInit" 0..0 () -> 12 |call, rc| note_init(&call, rc);
    nvmlInit_v2 as "nvmlInit" 0..0 () -> 12 |call, rc| note_init(&call, rc);
    nvmlInitWithFlags as "nvmlInitWithFlags" 0..0 (flags: u32) -> 12 |call, rc| note_init(&call, rc);
    nvmlShutdown as "nvmlShutdown" 0..0 () -> 12 |call, rc| note_shutdown(&call, rc);

    nvmlDeviceGetHandleByIndex as "nvmlDeviceGetHandleByIndex" 0..0 (index: u32, device: *mut Handle) -> 12
        |call, rc| note_lookup(&call, rc, out!(rc, device), null());
    nvmlDeviceGetHandleByIndex_v2 as "nvmlDeviceGetHandleByIndex" 0..0 (index: u32, device: *mut Handle) -> 12
        |call, rc| note_lookup(&call, rc, out!(rc, device), null());
    nvmlDeviceGetHandleByUUID as "nvmlDeviceGetHandleByUUID" 0..0 (uuid: *const c_char, device: *mut Handle) -> 12
        |call, rc| note_lookup(&call, rc, out!(rc, device), uuid);
    nvmlDeviceGetHandleByUUIDV as "nvmlDeviceGetHandleByUUIDV" 0..0 (uuid: *const u32, device: *mut Handle) -> 12
        |call, rc| note_lookup(&call, rc, out!(rc, device), uuid_text(uuid));
    nvmlDeviceGetHandleByPciBusId as "nvmlDeviceGetHandleByPciBusId" 0..0
        (id: *const c_char, device: *mut Handle) -> 12
        |call, rc| note_lookup(&call, rc, out!(rc, device), id);
    nvmlDeviceGetHandleByPciBusId_v2 as "nvmlDeviceGetHandleByPciBusId" 0..0
        (id: *const c_char, device: *mut Handle) -> 12
        |call, rc| note_lookup(&call, rc, out!(rc, device), id);
    nvmlDeviceGetMigDeviceHandleByIndex as "nvmlDeviceGetMigDeviceHandleByIndex" 0..0
        (device: Handle, index: u32, mig: *mut Handle) -> 12
        |call, rc| note_lookup(&call, rc, out!(rc, mig), null());

    nvmlDeviceGetMemoryInfo as "nvmlDeviceGetMemoryInfo" 0..0 (device: Handle, info: *mut u64) -> 12
        // SAFETY: the structure of the row's function.
        |call, rc| unsafe { query(&call, rc, device, info, &MEMORY) };
    nvmlDeviceGetMemoryInfo_v2 as "nvmlDeviceGetMemoryInfo" 0..0 (device: Handle, info: *mut u64) -> 12
        // SAFETY: the structure of the row's function.
        |call, rc| unsafe { query(&call, rc, device, info, &MEMORY_2) };
    nvmlDeviceGetConfComputeProtectedMemoryUsage as "nvmlDeviceGetConfComputeProtectedMemoryUsage" 0..0
        (device: Handle, info: *mut u64) -> 12
        |call, rc| query_part(&call, rc, device, memory(rc, info));
    nvmlDeviceGetConfComputeMemSizeInfo as "nvmlDeviceGetConfComputeMemSizeInfo" 0..0
        (device: Handle, info: *mut u64) -> 12
        |call, rc| query_part(&call, rc, device, Figures { total: kib(word!(rc, info, 0)), ..Figures::default() });
    nvmlDeviceGetAttributes as "nvmlDeviceGetAttributes" 0..0 (device: Handle, info: *mut u64) -> 12
        |call, rc| query_part(&call, rc, device, attributes(rc, info));
    nvmlDeviceGetAttributes_v2 as "nvmlDeviceGetAttributes" 0..0 (device: Handle, info: *mut u64) -> 12
        |call, rc| query_part(&call, rc, device, attributes(rc, info));
    nvmlDeviceGetBAR1MemoryInfo as "nvmlDeviceGetBAR1MemoryInfo" 0..0 (device: Handle, info: *mut u64) -> 12
        |call, rc| note_device(&call, rc, device, word!(rc, info, 2).unwrap_or(0));
    nvmlDeviceGetGpuInstanceProfileInfo as "nvmlDeviceGetGpuInstanceProfileInfo" 0..0
        (device: Handle, profile: u32, info: *mut u64) -> 12
        |call, rc| note_device(&call, rc, device, mib(word!(rc, info, 5)));
    nvmlDeviceGetGpuInstanceProfileInfoV as "nvmlDeviceGetGpuInstanceProfileInfoV" 0..0
        (device: Handle, which: u32, info: *mut u64) -> 12
        |call, rc| note_device(&call, rc, device, profile(rc, info));
    nvmlDeviceGetGpuInstanceProfileInfoByIdV as "nvmlDeviceGetGpuInstanceProfileInfoByIdV" 0..0
        (device: Handle, which: u32, info: *mut u64) -> 12
        |call, rc| note_device(&call, rc, device, profile(rc, info));
    nvmlDeviceGetFieldValues as "nvmlDeviceGetFieldValues" 0..0 (device: Handle, count: i32, values: *mut u64) -> 12
        |call, rc| note_fields(&call, rc, device, count);
    nvmlVgpuInstanceGetFbUsage as "nvmlVgpuInstanceGetFbUsage" 0..0 (instance: u32, usage: *mut u64) -> 12
        |call, rc| note(&call, rc.into(), instance.into(), out!(rc, usage).unwrap_or(0));
    nvmlVgpuTypeGetFramebufferSize as "nvmlVgpuTypeGetFramebufferSize" 0..0 (kind: u32, size: *mut u64) -> 12
        |call, rc| note(&call, rc.into(), kind.into(), out!(rc, size).unwrap_or(0));

    nvmlDeviceGetComputeRunningProcesses as "nvmlDeviceGetComputeRunningProcesses" 0..0
        (device: Handle, count: *mut u32, infos: *mut u8) -> 12
        |call, rc| listed(&call, rc, device, processes(rc, count, infos, PROCESS_1));
    nvmlDeviceGetComputeRunningProcesses_v2 as "nvmlDeviceGetComputeRunningProcesses" 0..0
        (device: Handle, count: *mut u32, infos: *mut u8) -> 12
        |call, rc| listed(&call, rc, device, processes(rc, count, infos, PROCESS_2));
    nvmlDeviceGetComputeRunningProcesses_v3 as "nvmlDeviceGetComputeRunningProcesses" 0..0
        (device: Handle, count: *mut u32, infos: *mut u8) -> 12
        |call, rc| listed(&call, rc, device, processes(rc, count, infos, PROCESS_2));
    nvmlDeviceGetGraphicsRunningProcesses as "nvmlDeviceGetGraphicsRunningProcesses" 0..0
        (device: Handle, count: *mut u32, infos: *mut u8) -> 12
        |call, rc| listed(&call, rc, device, processes(rc, count, infos, PROCESS_1));
    nvmlDeviceGetGraphicsRunningProcesses_v2 as "nvmlDeviceGetGraphicsRunningProcesses" 0..0
        (device: Handle, count: *mut u32, infos: *mut u8) -> 12
        |call, rc| listed(&call, rc, device, processes(rc, count, infos, PROCESS_2));
    nvmlDeviceGetGraphicsRunningProcesses_v3 as "nvmlDeviceGetGraphicsRunningProcesses" 0..0
        (device: Handle, count: *mut u32, infos: *mut u8) -> 12
        |call, rc| listed(&call, rc, device, processes(rc, count, infos, PROCESS_2));
    nvmlDeviceGetMPSComputeRunningProcesses as "nvmlDeviceGetMPSComputeRunningProcesses" 0..0
        (device: Handle, count: *mut u32, infos: *mut u8) -> 12
        |call, rc| listed(&call, rc, device, processes(rc, count, infos, PROCESS_1));
    nvmlDeviceGetMPSComputeRunningProcesses_v2 as "nvmlDeviceGetMPSComputeRunningProcesses" 0..0
        (device: Handle, count: *mut u32, infos: *mut u8) -> 12
        |call, rc| listed(&call, rc, device, processes(rc, count, infos, PROCESS_2));
    nvmlDeviceGetMPSComputeRunningProcesses_v3 as "nvmlDeviceGetMPSComputeRunningProcesses" 0..0
        (device: Handle, count: *mut u32, infos: *mut u8) -> 12
        |call, rc| listed(&call, rc, device, processes(rc, count, infos, PROCESS_2));
    nvmlDeviceGetRunningProcessDetailList as "nvmlDeviceGetRunningProcessDetailList" 0..0
        (device: Handle, list: *mut u64) -> 12
        |call, rc| listed(&call, rc, device, details(rc, list));
    nvmlDeviceGetAccountingStats as "nvmlDeviceGetAccountingStats" 0..0
        (device: Handle, pid: u32, stats: *mut u64) -> 12
        |call, rc| listed_peak(&call, rc, device, pid, word!(rc, stats, 1));
    nvmlDeviceGetAccountingStats_v2 as "nvmlDeviceGetAccountingStats" 0..0 (device: Handle, stats: *mut u64) -> 12
        |call, rc| listed_peak(&call, rc, device, word!(rc, stats, 0).unwrap_or(0) as u32, word!(rc, stats, 2));
}
