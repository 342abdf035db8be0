//! The files of weights that this process has opened. They may have been opened before it begins a trace, or never
//! begin one, so they are kept in memory of a fixed size, which is made at the first of them. A fork child finds it
//! empty: it tells of what it opens itself.

use super::cache::Answer;
use super::name::Format;
use super::safetensors::Summary;
use super::uses;
use crate::modules::Caller;
use crate::sys::files::Stat;
use crate::{process, sys};
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// Files that are told apart.
pub const MOST: usize = 256;
/// Other mapped files that are counted.
pub const MOST_LIBRARIES: usize = 1024;
const SLOTS: usize = 2 * MOST;
/// For all paths together, bytes.
const PATHS: usize = 64 << 10;

/// Who called, and when.
#[derive(Clone, Copy)]
pub struct Site {
    /// Begin of the call, ns of CLOCK_MONOTONIC.
    pub time: u64,
    /// The function.
    pub function: &'static str,
    /// Traced calls that enclose it.
    pub depth: u32,
    /// The caller.
    pub caller: Caller,
}

/// What is known of a file from its opening.
#[derive(Clone, Copy)]
pub struct Facts {
    /// The opening.
    pub site: Site,
    /// Its flags.
    pub flags: i32,
    /// By the name.
    pub format: Format,
    /// Who the file is.
    pub stat: Stat,
    /// What its header says.
    pub summary: Option<Summary>,
    /// What of it was in the page cache.
    pub cache: Answer,
    /// Whether it is the first of its folder.
    pub is_first: bool,
    /// Where its path is: see [`Table::path`].
    pub path: (usize, usize),
}

/// A file.
pub struct File {
    state: AtomicU32,
    /// Whether its `weights` event is written, or being written.
    pub written: AtomicU32,
    /// Whether there is no use in asking for its pages.
    pub denied: AtomicU32,
    /// A mark of the figures that were told of it last, 0 for none.
    pub told: AtomicU64,
    /// What was told of its uses: see `uses`.
    pub seen: [uses::Seen; uses::KINDS],
    facts: UnsafeCell<MaybeUninit<Facts>>,
}

const READY: u32 = 1;
const VOID: u32 = 2;

struct Slot {
    key: AtomicU64,
    /// Position of its file, plus 1.
    file: AtomicU32,
}

/// All of it; all zero at its beginning.
pub struct Table {
    pid: AtomicU32,
    count: AtomicU32,
    paths_used: AtomicU32,
    /// Files and uses for which there was no room.
    pub forgotten: AtomicU32,
    /// Whether the trace says so already.
    pub told: AtomicU32,
    /// Whether the trace says that pages could not be asked for.
    pub denied: AtomicU32,
    slots: [Slot; SLOTS],
    files: [File; MOST],
    /// Uses before the trace began.
    pub uses: uses::Early,
    /// Where files are mapped.
    pub ranges: uses::Ranges,
    /// When the other mapped files were last looked at, and who does so now.
    pub libraries: (AtomicU64, AtomicU32),
    /// Those that were counted, while they are counted.
    pub libraries_seen: [AtomicU64; 2 * MOST_LIBRARIES],
    paths: UnsafeCell<[u8; PATHS]>,
}

static TABLE: AtomicPtr<Table> = AtomicPtr::new(core::ptr::null_mut());

/// What became of an attempt to enter a file.
pub enum Entered {
    /// It is at this position now, to be described.
    New(usize),
    /// Somebody has entered it, or there is no room.
    No,
}

/// The table, if there is one and this process has anything in it.
#[inline]
pub fn get() -> Option<&'static Table> {
    let table = TABLE.load(Ordering::Acquire);
    if table.is_null() {
        return None;
    }
    // SAFETY: never unmapped, zero or written by us, through atomics or by the one who reserved a part.
    let table = unsafe { &*table };
    (table.count.load(Ordering::Acquire) != 0 && table.pid.load(Ordering::Relaxed) == process::pid()).then_some(table)
}

/// The table, made if there is none.
#[cold]
pub fn make() -> Option<&'static Table> {
    let mut table = TABLE.load(Ordering::Acquire);
    if table.is_null() {
        let fresh = sys::page(size_of::<Table>())?;
        sys::wipe_on_fork(fresh, size_of::<Table>());
        table = fresh.cast();
        if let Err(other) = TABLE.compare_exchange(core::ptr::null_mut(), table, Ordering::AcqRel, Ordering::Acquire) {
            sys::files::unmap(fresh as usize, size_of::<Table>());
            table = other;
        }
    }
    // SAFETY: as in `get`.
    let table = unsafe { &*table };
    let (pid, owner) = (process::pid(), table.pid.load(Ordering::Acquire));
    if owner != pid && table.pid.compare_exchange(owner, pid, Ordering::AcqRel, Ordering::Relaxed).is_ok() && owner != 0
    {
        // A fork child where the kernel did not empty it.
        table.wipe();
    }
    Some(table)
}

impl Table {
    fn wipe(&self) {
        for word in [&self.count, &self.paths_used, &self.forgotten, &self.told, &self.denied, &self.libraries.1] {
            word.store(0, Ordering::Relaxed);
        }
        self.libraries.0.store(0, Ordering::Relaxed);
        for slot in &self.slots {
            slot.key.store(0, Ordering::Relaxed);
            slot.file.store(0, Ordering::Relaxed);
        }
        for file in &self.files {
            for word in [&file.state, &file.written, &file.denied] {
                word.store(0, Ordering::Relaxed);
            }
            file.told.store(0, Ordering::Relaxed);
            for seen in &file.seen {
                seen.clear();
            }
        }
        self.uses.clear();
        self.ranges.clear();
    }

    /// Position of a file; `None` if it is not there yet, which it is not either while it is being entered.
    pub fn find(&self, stat: &Stat) -> Option<usize> {
        let key = key(stat);
        for step in 0..SLOTS {
            let slot = self.slot(key, step)?;
            match slot.key.load(Ordering::Acquire) {
                0 => return None,
                found if found == key => {
                    let file = (slot.file.load(Ordering::Acquire) as usize).checked_sub(1)?;
                    return self.facts(file).map(|_| file);
                }
                _ => {}
            }
        }
        None
    }

    /// Reserves a position for a file.
    pub fn enter(&self, stat: &Stat) -> Entered {
        let key = key(stat);
        for step in 0..SLOTS {
            let Some(slot) = self.slot(key, step) else { break };
            match slot.key.compare_exchange(0, key, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    let file = self.count.fetch_add(1, Ordering::AcqRel);
                    if file as usize >= MOST {
                        break;
                    }
                    slot.file.store(file.wrapping_add(1), Ordering::Release);
                    return Entered::New(file as usize);
                }
                Err(found) if found == key => return Entered::No,
                Err(_) => {}
            }
        }
        self.forgotten.fetch_add(1, Ordering::Relaxed);
        Entered::No
    }

    /// Describes the file at a position that [`Table::enter`] gave; `path` ends in NUL.
    pub fn describe(&self, at: usize, path: &[u8], describe: impl FnOnce((usize, usize)) -> Facts) {
        let Some(file) = self.files.get(at) else { return };
        let Some(place) = self.keep(path) else {
            self.forgotten.fetch_add(1, Ordering::Relaxed);
            file.state.store(VOID, Ordering::Release);
            return;
        };
        // SAFETY: `enter` gave the position to this caller alone, and nobody reads it before it is READY.
        unsafe { (*file.facts.get()).write(describe(place)) };
        file.state.store(READY, Ordering::Release);
    }

    fn keep(&self, path: &[u8]) -> Option<(usize, usize)> {
        let start = self.paths_used.fetch_add(path.len() as u32, Ordering::AcqRel) as usize;
        let end = start.saturating_add(path.len());
        if end > PATHS {
            // Later ones find no room either, and the count does not come round.
            self.paths_used.store(PATHS as u32, Ordering::Release);
            return None;
        }
        let at = self.paths.get().cast::<u8>();
        for (offset, byte) in path.iter().enumerate() {
            // SAFETY: inside of the array, and fetch_add gave this part to this caller alone.
            unsafe { at.add(start.wrapping_add(offset)).write(*byte) };
        }
        Some((start, end))
    }

    /// Path of a file, with the NUL at its end.
    pub fn path(&self, facts: &Facts) -> &[u8] {
        let (start, end) = facts.path;
        if start > end || end > PATHS {
            return &[];
        }
        // SAFETY: inside of the array, and written before the file was READY.
        unsafe { core::slice::from_raw_parts(self.paths.get().cast::<u8>().add(start), end.wrapping_sub(start)) }
    }

    /// Positions that are in use, of files that may not be described yet.
    pub fn positions(&self) -> core::ops::Range<usize> {
        0..(self.count.load(Ordering::Acquire) as usize).min(MOST)
    }

    /// The file at a position.
    pub fn file(&self, at: usize) -> Option<&File> {
        self.files.get(at)
    }

    /// What is known of the file at a position.
    pub fn facts(&self, at: usize) -> Option<&Facts> {
        let file = self.files.get(at)?;
        // SAFETY: READY says that it is written, and it is never written again.
        (file.state.load(Ordering::Acquire) == READY).then(|| unsafe { (*file.facts.get()).assume_init_ref() })
    }

    fn slot(&self, key: u64, step: usize) -> Option<&Slot> {
        self.slots.get((key as usize).wrapping_add(step) % SLOTS)
    }
}

/// A number for a file; another one for another file, but for one in 2^64.
pub fn key(stat: &Stat) -> u64 {
    let mixed = (stat.inode ^ stat.device.rotate_left(17)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 29).max(1)
}
