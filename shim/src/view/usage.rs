//! Who uses the memory of each GPU, as NVML says: asked only where the program itself has initialised NVML, and only
//! about GPUs whose handle it was given. A handle that nobody asked for may wake a GPU up.

use crate::buffers::Claim;
use crate::helper::Helper;
use crate::hooks::Layer;
use crate::missing::{self, Reason, View};
use crate::nvml::{self, Handle, NOT_AVAILABLE};
use crate::process::{self, Process};
use crate::sys;
use crate::text;
use crate::trace::Event;
use core::ffi::c_char;
use core::sync::atomic::Ordering;

/// GPUs of one process that are asked about.
pub const MOST_GPUS: usize = 16;
/// Room for the processes of one list.
const ROOM: usize = 4096;
const UNINITIALIZED: i32 = 1;
const INSUFFICIENT_SIZE: i32 = 7;

/// A list of processes in each version of its function, with the bytes of an entry.
type Lists = [(Helper, usize); 3];

static COMPUTE: Lists = [
    (Helper::new(Layer::Nvml, b"nvmlDeviceGetComputeRunningProcesses_v3"), 24),
    (Helper::new(Layer::Nvml, b"nvmlDeviceGetComputeRunningProcesses_v2"), 24),
    (Helper::new(Layer::Nvml, b"nvmlDeviceGetComputeRunningProcesses"), 16),
];
static GRAPHICS: Lists = [
    (Helper::new(Layer::Nvml, b"nvmlDeviceGetGraphicsRunningProcesses_v3"), 24),
    (Helper::new(Layer::Nvml, b"nvmlDeviceGetGraphicsRunningProcesses_v2"), 24),
    (Helper::new(Layer::Nvml, b"nvmlDeviceGetGraphicsRunningProcesses"), 16),
];
static MEMORY: Helper = Helper::new(Layer::Nvml, b"nvmlDeviceGetMemoryInfo");
static UUID: Helper = Helper::new(Layer::Nvml, b"nvmlDeviceGetUUID");
static COUNT: Helper = Helper::new(Layer::Nvml, b"nvmlDeviceGetCount_v2");

/// The program initialised NVML, which counts how often. What handles it had from an earlier time may mean nothing.
pub fn began() {
    let views = &process::current().views;
    if views.nvml.fetch_add(1, Ordering::AcqRel) == 0 {
        forget();
    }
}

/// The program let go of NVML once.
pub fn ended() {
    let less = |times: u32| Some(times.saturating_sub(1));
    let nvml = &process::current().views.nvml;
    if nvml.fetch_update(Ordering::AcqRel, Ordering::Acquire, less).is_ok_and(|times| times <= 1) {
        forget();
    }
}

fn forget() {
    for slot in &process::current().views.handles {
        slot.store(0, Ordering::Relaxed);
    }
}

/// The program was given the handle of a GPU.
pub fn found(handle: Handle) {
    for slot in &process::current().views.handles {
        match slot.compare_exchange(0, handle as u64, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return,
            Err(known) if known == handle as u64 => return,
            Err(_) => {}
        }
    }
}

/// What NVML says of one GPU.
#[derive(Clone, Copy, Default)]
struct Use {
    handle: Handle,
    /// Processes in both lists.
    count: u32,
    own: Option<u64>,
    others: Option<u64>,
}

/// Writes a `usage` for each GPU.
#[inline(never)]
pub fn tell(process: &Process, of: u64) {
    let mut handles = process.views.handles.iter().map(|slot| slot.load(Ordering::Acquire)).filter(|at| *at != 0);
    let mut known = [Use::default(); MOST_GPUS];
    let mut number = 0usize;
    for (slot, handle) in known.iter_mut().zip(&mut handles) {
        slot.handle = handle as Handle;
        if !slot.ask(process) {
            return;
        }
        number = number.saturating_add(1);
    }
    let known = known.get(..number).unwrap_or_default();
    if known.is_empty() {
        let words = b"NVML is not in use: the program has not initialised it, or was given no handle of a GPU";
        return missing::view(process, View::Usage, 0, b"usage", b"", Reason::Words(words));
    }
    let same = same_pids(process, known);
    for gpu in known {
        gpu.write(process, of, same);
    }
}

/// Whether NVML's pids are those of this process's namespace. They are if it is in the first one of the machine, which
/// has a fixed number; if NVML lists it, as it does who has a context of CUDA's, by its own pid; and they are not if
/// NVML lists it nowhere though it has one.
fn same_pids(process: &Process, known: &[Use]) -> Option<bool> {
    let mut link = [0u8; 32];
    if sys::readlink(b"/proc/self/ns/pid\0", &mut link) == b"pid:[4026531836]" {
        return Some(true);
    }
    let [cuda, _] = &process.held;
    if cuda.devices.load(Ordering::Relaxed) == 0 && process.views.uses_device.load(Ordering::Relaxed) == 0 {
        return None;
    }
    let count = COUNT.ask(|at| {
        // SAFETY: nvmlDeviceGetCount_v2(unsigned*) of the loaded library.
        let function: extern "C" fn(*mut u32) -> i32 = unsafe { core::mem::transmute(at) };
        let mut count = 0;
        (function(&mut count) == 0).then_some(count as usize)
    })?;
    let (listed, all) = (known.iter().any(|gpu| gpu.own.is_some()), count == Some(known.len()));
    (listed || all).then_some(listed)
}

impl Use {
    /// Asks who uses the GPU; `false` if NVML is not there any more.
    fn ask(&mut self, process: &Process) -> bool {
        let Some(mut claim) = Claim::new(process::pid()) else { return false };
        let Some((first, second)) = claim.get().file.split_at_mut_checked(ROOM) else { return false };
        let compute = match list(&COMPUTE, self.handle, first) {
            Ok(list) => list,
            Err(UNINITIALIZED) => {
                began();
                return false;
            }
            Err(code) => {
                let source = b"nvmlDeviceGetComputeRunningProcesses";
                missing::view(process, View::Usage, 0, b"usage", source, Reason::Code(code));
                return false;
            }
        };
        // Who draws and computes is in both lists with the same figure.
        let graphics = list(&GRAPHICS, self.handle, second).unwrap_or(List { count: 0, stride: 24, entries: &[] });
        let drawing = graphics.all().filter(|(pid, _)| !compute.all().any(|(known, _)| known == *pid));
        self.count = compute.count;
        for (pid, bytes) in compute.all().chain(drawing.inspect(|_| self.count = self.count.saturating_add(1))) {
            let sum = if pid == process::pid() { &mut self.own } else { &mut self.others };
            // Another layout than these: better no sum than a wrong one.
            if pid == 0 {
                (self.own, self.others) = (None, None);
                break;
            }
            if bytes != NOT_AVAILABLE {
                *sum = Some(sum.unwrap_or(0).saturating_add(bytes));
            }
        }
        true
    }

    fn write(&self, process: &Process, of: u64, same: Option<bool>) {
        let mut uuid = [0u8; 96];
        let _ = UUID.ask(|at| {
            // SAFETY: nvmlDeviceGetUUID(nvmlDevice_t, char*, unsigned) of the loaded library.
            let function: extern "C" fn(Handle, *mut c_char, u32) -> i32 = unsafe { core::mem::transmute(at) };
            // One byte stays zero whatever the library writes.
            function(self.handle, uuid.as_mut_ptr().cast(), 95)
        });
        let mut memory = [0u64; 3];
        let told = MEMORY.ask(|at| {
            // SAFETY: nvmlDeviceGetMemoryInfo(nvmlDevice_t, nvmlMemory_t*), three numbers, of the loaded library.
            let function: extern "C" fn(Handle, *mut u64) -> i32 = unsafe { core::mem::transmute(at) };
            function(self.handle, memory.as_mut_ptr())
        });
        if let Some(code) = told.filter(|code| *code != 0) {
            let source = b"nvmlDeviceGetMemoryInfo";
            missing::view(process, View::UsageMemory, 0, b"usage.memory", source, Reason::Code(code));
        }
        let Some(index) = nvml::index(self.handle) else { return };
        let Some(mut event) = Event::begin("usage", sys::clock(libc::CLOCK_MONOTONIC)) else { return };
        let [total, free, _] = memory.map(|bytes| (told == Some(0)).then_some(bytes));
        event.write(|line| {
            line.u64("of", of).u64("nvml", index.into()).text("uuid", text::until_nul(&uuid));
            line.u64("count", self.count.into());
            for (key, value) in [("own", self.own), ("others", self.others), ("free", free), ("total", total)] {
                if let Some(value) = value {
                    line.u64(key, value);
                }
            }
            if let Some(same) = same {
                line.flag("same_pids", same);
            }
        });
    }
}

/// Processes as NVML wrote them; none where they did not fit.
struct List<'b> {
    count: u32,
    stride: usize,
    entries: &'b [u8],
}

impl List<'_> {
    /// Pid and bytes of each.
    fn all(&self) -> impl Iterator<Item = (u32, u64)> {
        self.entries.chunks_exact(self.stride.max(1)).filter_map(|entry| {
            let pid = entry.get(..4)?.try_into().ok().map(u32::from_ne_bytes)?;
            Some((pid, entry.get(8..16)?.try_into().ok().map(u64::from_ne_bytes)?))
        })
    }
}

/// Asks for a list by the newest function that there is. `Err` is NVML's answer.
fn list<'b>(lists: &Lists, handle: Handle, room: &'b mut [u8]) -> Result<List<'b>, i32> {
    for (helper, stride) in lists {
        let most = room.len().checked_div(*stride).unwrap_or(0) as u32;
        let answer = helper.ask(|at| {
            // SAFETY: the functions are (nvmlDevice_t, unsigned*, entry*) and write no more entries than the number
            // says.
            let function: extern "C" fn(Handle, *mut u32, *mut u8) -> i32 = unsafe { core::mem::transmute(at) };
            let mut count = most;
            (function(handle, &mut count, room.as_mut_ptr()), count)
        });
        return match answer {
            None => continue,
            Some((0, count)) => {
                let size = stride.saturating_mul(count.min(most) as usize);
                Ok(List { count, stride: *stride, entries: room.get(..size).unwrap_or_default() })
            }
            Some((INSUFFICIENT_SIZE, count)) => Ok(List { count, stride: *stride, entries: &[] }),
            Some((code, _)) => Err(code),
        };
    }
    Err(UNINITIALIZED)
}
