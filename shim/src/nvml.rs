//! From a finished NVML call to its event. NVML takes and gives back no memory: its calls are questions, and ways to
//! name a device. It numbers devices in an order of its own, in which a MIG device has an index inside its GPU, so
//! these events say `dev` -1 and name the device by `nvml` and `mig`.

use crate::effect::Call;
use crate::helper::Helper;
use crate::hooks::Layer;
use crate::patch::{self, Asker, Changed, Pair};
use crate::{process, view};
use core::ffi::{CStr, c_char};
use kvtrace_trace::line::Line;

const NOT_SUPPORTED: i32 = 3;
const NOT_FOUND: i32 = 6;

/// `nvmlDevice_t`
pub type Handle = usize;

static INDEX: Helper = Helper::new(Layer::Nvml, b"nvmlDeviceGetIndex");
static IS_MIG: Helper = Helper::new(Layer::Nvml, b"nvmlDeviceIsMigDeviceHandle");
static PARENT: Helper = Helper::new(Layer::Nvml, b"nvmlDeviceGetDeviceHandleFromMigDeviceHandle");

fn number(helper: &Helper, device: Handle) -> Option<u32> {
    helper.ask(|at| {
        // SAFETY: nvmlDeviceGetIndex and nvmlDeviceIsMigDeviceHandle(nvmlDevice_t, unsigned*) of the loaded library.
        let function: extern "C" fn(Handle, *mut u32) -> i32 = unsafe { core::mem::transmute(at) };
        let mut number = 0;
        (function(device, &mut number) == 0).then_some(number)
    })?
}

/// NVML's index of a GPU.
pub fn index(device: Handle) -> Option<u32> {
    number(&INDEX, device)
}

fn parent(device: Handle) -> Option<Handle> {
    PARENT.ask(|at| {
        // SAFETY: nvmlDeviceGetDeviceHandleFromMigDeviceHandle(nvmlDevice_t, nvmlDevice_t*) of the loaded library.
        let function: extern "C" fn(Handle, *mut Handle) -> i32 = unsafe { core::mem::transmute(at) };
        let mut parent = 0;
        (function(device, &mut parent) == 0).then_some(parent)
    })?
}

/// NVML's numbers of the device that a call was about: GPU, and MIG device in it.
fn place(rc: i32, device: Handle) -> (Option<u32>, Option<u32>) {
    // Only these two answers say that the handle is one.
    if rc != 0 && rc != NOT_SUPPORTED || device == 0 {
        return (None, None);
    }
    let index = number(&INDEX, device);
    if number(&IS_MIG, device) == Some(1) {
        return (parent(device).and_then(|parent| number(&INDEX, parent)), index);
    }
    (index, None)
}

fn put(line: &mut Line, (nvml, mig): (Option<u32>, Option<u32>)) {
    for (key, value) in [("nvml", nvml), ("mig", mig)] {
        if let Some(value) = value {
            line.u64(key, value.into());
        }
    }
}

/// A 64-bit word of a structure that a successful call has filled in.
///
/// # Safety
/// `at` is NULL, or the function's structure, which reaches beyond the word.
pub unsafe fn word(rc: i32, at: *const u64, index: usize) -> Option<u64> {
    // SAFETY: the caller's promise.
    (rc == 0 && !at.is_null()).then(|| unsafe { at.add(index).read_unaligned() })
}

/// Memory figures that NVML tells of a device.
#[derive(Default)]
pub struct Figures {
    /// Not allocated.
    pub free: Option<u64>,
    /// All of it.
    pub total: Option<u64>,
    /// Kept by driver and firmware, where that is told apart.
    pub reserved: Option<u64>,
}

/// Words of a structure with memory figures.
pub struct Words {
    /// All of it.
    pub total: usize,
    /// Kept by driver and firmware, where that is told apart.
    pub reserved: Option<usize>,
    /// Not allocated.
    pub free: usize,
    /// Allocated.
    pub used: usize,
}

/// The program asked for memory figures of a device.
///
/// # Safety
/// `info` is NULL, or the function's structure with these words.
pub unsafe fn query(call: &Call, rc: i32, device: Handle, info: *mut u64, words: &Words) {
    // SAFETY: the caller's promise.
    let at = |index: usize| unsafe { word(rc, info, index) };
    let (free, total) = (at(words.free), at(words.total));
    let asker = Asker::new(call, -1);
    let changed = if patch::is_on() { patch::nvml(&asker, Pair { free, total }) } else { Pair::default() };
    let told = |changed: Option<Changed>, real| changed.map(|changed| changed.told).or(real);
    let (new_free, new_total) = (told(changed.free, free), told(changed.total, total));
    let figures = Figures { free: new_free, total: new_total, reserved: words.reserved.and_then(at) };
    let number = query_part(call, rc, device, figures);
    // Without a line in the trace there is no change.
    if number != 0
        && let (Some(free), Some(total), Some(new_free), Some(new_total)) = (free, total, new_free, new_total)
        && let Some(used) = at(words.used)
        && changed.free.or(changed.total).is_some()
    {
        // What is used is the rest of it, as before.
        let used = used.saturating_add(free).saturating_add(new_total);
        let used = used.saturating_sub(total).saturating_sub(new_free);
        for (index, value) in [(words.used, used), (words.free, new_free), (words.total, new_total)] {
            // SAFETY: the caller's promise; the same words were read.
            unsafe { info.add(index).write_unaligned(value) };
        }
        changed.tell(number);
    }
    call.view(number);
}

/// As [`query`], for figures that the state of the machine has no part in, and that stay as they are.
pub fn query_part(call: &Call, rc: i32, device: Handle, figures: Figures) -> u64 {
    let place = place(rc, device);
    call.write("query", rc.into(), |line| {
        line.i64("dev", -1);
        put(line, place);
        let Figures { free, total, reserved } = figures;
        for (key, value) in [("free", free), ("total", total), ("reserved", reserved)] {
            if let Some(value) = value {
                line.u64(key, value);
            }
        }
    })
}

/// A call about a device, with a number of bytes that are not its memory.
pub fn note_device(call: &Call, rc: i32, device: Handle, size: u64) {
    let place = place(rc, device);
    call.write("call", rc.into(), |line| {
        line.hex("ptr", device as u64).u64("size", size);
        put(line, place);
    });
}

/// The program initialised NVML.
pub fn note_init(call: &Call, rc: i32) {
    call.write("call", rc.into(), |line| {
        line.hex("ptr", 0).u64("size", 0);
    });
    // NVML's ways to begin call each other.
    if rc == 0 && call.is_outermost() {
        view::nvml_began();
    }
}

/// The program let go of NVML.
pub fn note_shutdown(call: &Call, rc: i32) {
    call.write("call", rc.into(), |line| {
        line.hex("ptr", 0).u64("size", 0);
    });
    if rc == 0 && call.is_outermost() {
        view::nvml_ended();
    }
}

/// The program looked a device up, by the text `id` or else by a number.
pub fn note_lookup(call: &Call, rc: i32, device: Option<u64>, id: *const c_char) {
    let handle = device.unwrap_or(0);
    let place = place(rc, handle as Handle);
    if rc == 0 && matches!(place, (Some(_), None)) {
        view::nvml_found(handle as Handle);
    }
    // SAFETY: NVML has read the program's string to give these answers; NULL never gets them.
    let id = ((rc == 0 || rc == NOT_FOUND) && !id.is_null()).then(|| unsafe { CStr::from_ptr(id) }.to_bytes());
    call.write("call", rc.into(), |line| {
        line.hex("ptr", handle).u64("size", 0);
        put(line, place);
        if let Some(id) = id {
            line.text("id", id.get(..id.len().min(LONGEST_ID)).unwrap_or_default());
        }
    });
}

/// A UUID has 40 characters, and 44 for a MIG device.
const LONGEST_ID: usize = 96;

/// The program asked for several values at once.
pub fn note_fields(call: &Call, rc: i32, device: Handle, count: i32) {
    let place = place(rc, device);
    call.write("call", rc.into(), |line| {
        line.hex("ptr", device as u64).u64("size", 0);
        put(line, place);
        line.u64("count", count.max(0).unsigned_abs().into());
    });
}

/// Entries beyond it are counted, not read: a hook makes no long loops over the program's data.
const MOST_PROCESSES: u32 = 1024;
/// `NVML_VALUE_NOT_AVAILABLE`
pub const NOT_AVAILABLE: u64 = u64::MAX;

/// A list of processes: begins with one entry, of `stride` bytes, that begins with pid and used memory.
#[derive(Clone, Copy)]
pub struct List {
    /// Number of entries, if the call told it.
    pub count: Option<u32>,
    /// The first.
    pub entries: *const u8,
    /// Bytes of an entry.
    pub stride: usize,
}

/// Bytes that this process uses, and that all others do, as far as the list says.
struct Used {
    own: Option<u64>,
    others: Option<u64>,
}

/// The program asked who uses a device's memory.
pub fn listed(call: &Call, rc: i32, device: Handle, list: List) {
    let used = match list.count {
        // SAFETY: NVML has just written so many entries.
        Some(count) if rc == 0 && !list.entries.is_null() => unsafe { used(list, count) },
        _ => Used { own: None, others: None },
    };
    write_used(call, rc, device, list.count, used);
}

/// The program asked for the most memory that process `pid` ever used.
pub fn listed_peak(call: &Call, rc: i32, device: Handle, pid: u32, peak: Option<u64>) {
    let peak = peak.filter(|peak| *peak != NOT_AVAILABLE);
    let own = pid == process::pid();
    let used = if own { Used { own: peak, others: None } } else { Used { own: None, others: peak } };
    write_used(call, rc, device, None, used);
}

fn write_used(call: &Call, rc: i32, device: Handle, count: Option<u32>, used: Used) {
    let place = place(rc, device);
    call.write("call", rc.into(), |line| {
        line.hex("ptr", device as u64).u64("size", 0);
        put(line, place);
        for (key, value) in [("count", count.map(u64::from)), ("own", used.own), ("others", used.others)] {
            if let Some(value) = value {
                line.u64(key, value);
            }
        }
    });
}

/// # Safety
/// The list has `count` entries.
unsafe fn used(list: List, count: u32) -> Used {
    let own_pid = process::pid();
    let mut used = Used { own: None, others: None };
    for index in 0..count.min(MOST_PROCESSES) {
        let entry = list.entries.wrapping_add(list.stride.wrapping_mul(index as usize));
        // SAFETY: the caller's promise; an entry begins with the pid and, 8 bytes behind, the memory.
        let (pid, bytes) =
            unsafe { (entry.cast::<u32>().read_unaligned(), entry.add(8).cast::<u64>().read_unaligned()) };
        // The drivers that brought the third version laid it out otherwise than it is today: better no sum than a wrong one.
        if pid == 0 {
            return Used { own: None, others: None };
        }
        let sum = if pid == own_pid { &mut used.own } else { &mut used.others };
        if bytes != NOT_AVAILABLE {
            *sum = Some(sum.unwrap_or(0).saturating_add(bytes));
        }
    }
    used
}
