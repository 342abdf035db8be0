//! From a return address to the module that called: a small cache over the loader's list.

use crate::elf;
use crate::process::Process;
use crate::text::{Text, base_name};
use crate::trace::Event;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

const ENTRIES: usize = 256;

/// Where a call came from.
#[derive(Clone, Copy)]
pub struct Caller {
    /// Path of the module, empty if the address lies in none.
    pub path: &'static [u8],
    /// Offset of the return address in it.
    pub offset: u64,
    index: Option<usize>,
}

struct Entry {
    start: AtomicUsize,
    end: AtomicUsize,
    bias: AtomicUsize,
    path: UnsafeCell<Text<512>>,
}

// SAFETY: `path` is written by the one thread that reserved the entry, before COUNT publishes it.
unsafe impl Sync for Entry {}

static TABLE: [Entry; ENTRIES] = [const {
    Entry {
        start: AtomicUsize::new(0),
        end: AtomicUsize::new(0),
        bias: AtomicUsize::new(0),
        path: UnsafeCell::new(Text::new()),
    }
}; ENTRIES];
/// Reserved entries.
static RESERVED: AtomicU32 = AtomicU32::new(0);
/// The loader's count of unloaded modules when the cache was last known good. Unloading hides the entries whose
/// module has gone; they are never reused, since a thread may be reading one.
static UNLOADS: AtomicU64 = AtomicU64::new(0);

/// The caller behind a return address.
pub fn caller(address: usize) -> Caller {
    forget_unloaded();
    cached(address).or_else(|| insert(address)).unwrap_or(Caller { path: &[], offset: address as u64, index: None })
}

/// Whether the call comes from a library whose lookups must reach the library itself that it asks for: NVIDIA's own,
/// HIP, whose `hipGetProcAddress` is a lookup in itself, AMD's profiler, UCX, which patches the code it finds, and this
/// one.
pub fn is_never_substituted(address: usize) -> bool {
    let caller = caller(address);
    let name = base_name(caller.path);
    const PREFIXES: [&[u8]; 7] =
        [b"libcuda.so", b"libnvidia-", b"libcupti", b"libamdhip64.so", b"librocprofiler", b"libucm", b"libkvtrace.so"];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn cached(address: usize) -> Option<Caller> {
    let count = RESERVED.load(Ordering::Acquire) as usize;
    TABLE.iter().take(count).enumerate().find_map(|(index, entry)| {
        let end = entry.end.load(Ordering::Acquire);
        let start = entry.start.load(Ordering::Relaxed);
        if !(start..end).contains(&address) {
            return None;
        }
        // SAFETY: `end` is stored last, with release, after the path.
        let path = unsafe { &*entry.path.get() }.get();
        let offset = address.wrapping_sub(entry.bias.load(Ordering::Relaxed)) as u64;
        Some(Caller { path, offset, index: Some(index) })
    })
}

fn insert(address: usize) -> Option<Caller> {
    elf::walk(&mut |module| {
        if !module.holds(address) {
            return None;
        }
        let index = RESERVED.fetch_add(1, Ordering::AcqRel) as usize;
        let Some(entry) = TABLE.get(index) else {
            RESERVED.store(ENTRIES as u32, Ordering::Release);
            return Some(());
        };
        // SAFETY: fetch_add gave this entry to this thread alone.
        let path = unsafe { &mut *entry.path.get() };
        if module.name().is_empty() {
            let mut exe = [0u8; 512];
            path.push(crate::sys::readlink(b"/proc/self/exe\0", &mut exe));
        } else {
            path.push(module.name());
        }
        let (start, end) = module.range();
        entry.bias.store(module.bias(), Ordering::Relaxed);
        entry.start.store(start, Ordering::Relaxed);
        entry.end.store(end, Ordering::Release);
        Some(())
    })?;
    cached(address)
}

fn forget_unloaded() {
    let unloads = elf::walk(&mut |module| Some(module.unloads())).unwrap_or(0);
    if UNLOADS.swap(unloads, Ordering::AcqRel) != unloads {
        for entry in &TABLE {
            entry.end.store(0, Ordering::Release);
        }
    }
}

/// Writes the `module` event of a caller that this process's trace has not named yet.
pub fn announce(process: &Process, caller: Caller) {
    let Some(index) = caller.index else { return };
    let Some(bits) = process.modules.get(index / 64) else { return };
    let bit = 1u64 << (index % 64);
    if bits.fetch_or(bit, Ordering::AcqRel) & bit != 0 {
        return;
    }
    let Some(entry) = TABLE.get(index) else { return };
    let (start, end) = (entry.start.load(Ordering::Relaxed), entry.end.load(Ordering::Relaxed));
    let mut id = [0u8; 40];
    let build_id = build_id(start, &mut id);
    if let Some(mut event) = Event::begin("module", crate::sys::clock(libc::CLOCK_MONOTONIC)) {
        event.write(|line| {
            line.hex("base", start as u64).hex("end", end as u64).text("path", caller.path).text("build_id", build_id);
        });
    }
}

/// The GNU build id of the module that starts at `start`, in hex.
fn build_id(start: usize, out: &mut [u8; 40]) -> &[u8] {
    let len = elf::walk(&mut |module| {
        if module.range().0 != start {
            return None;
        }
        for header in module.headers().iter().filter(|header| header.p_type == libc::PT_NOTE) {
            let at = module.bias().wrapping_add(header.p_vaddr as usize) as *const u8;
            // SAFETY: a note segment is mapped for its whole size.
            let notes = unsafe { core::slice::from_raw_parts(at, header.p_memsz as usize) };
            // Name size 4, description size, type 3 (build id), "GNU\0".
            for (place, note) in notes.windows(16).enumerate().step_by(4) {
                if let [4, 0, 0, 0, size, 0, 0, 0, 3, 0, 0, 0, b'G', b'N', b'U', 0] = note {
                    let from = place.wrapping_add(16);
                    let id = notes.get(from..from.wrapping_add(usize::from(*size))).unwrap_or_default();
                    let mut len = 0usize;
                    for (pair, byte) in out.chunks_exact_mut(2).zip(id) {
                        for (slot, nibble) in pair.iter_mut().zip([byte >> 4, byte & 15]) {
                            *slot =
                                if nibble < 10 { b'0' + nibble } else { b'a'.wrapping_add(nibble).wrapping_sub(10) };
                        }
                        len = len.wrapping_add(2);
                    }
                    return Some(len);
                }
            }
        }
        Some(0)
    });
    out.get(..len.unwrap_or(0)).unwrap_or_default()
}
