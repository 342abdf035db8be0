//! What the program does with a file of weights: opens it once more, maps it, gives advice.

use super::table::{self, Site, Table};
use super::{event, maps};
use crate::buffers::Claim;
use crate::sys::files;
use crate::{process, sys};
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Kinds of use.
pub const KINDS: usize = 4;
/// Different uses of one kind that are told of each file.
const MOST_TOLD: usize = 8;
const MOST_EARLY: usize = 256;
const MOST_RANGES: usize = 128;

/// What is done with a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// `open`
    Open,
    /// `mmap`
    Map,
    /// `posix_fadvise`
    FileAdvice,
    /// `madvise`
    MemoryAdvice,
}

impl How {
    fn name(self) -> &'static str {
        match self {
            How::Open => "open",
            How::Map => "mmap",
            How::FileAdvice => "fadvise",
            How::MemoryAdvice => "madvise",
        }
    }

    /// Advice by its name; flags have none.
    fn advice(self, number: u32) -> Option<&'static str> {
        const COMMON: [&str; 4] = ["normal", "random", "sequential", "willneed"];
        let common = || COMMON.get(number as usize).copied();
        match (self, number) {
            (How::Open | How::Map, _) => None,
            (_, 4) => Some("dontneed"),
            (How::FileAdvice, 5) => Some("noreuse"),
            (How::MemoryAdvice, 14) => Some("hugepage"),
            (How::MemoryAdvice, 15) => Some("nohugepage"),
            (How::MemoryAdvice, 20) => Some("cold"),
            (How::MemoryAdvice, 21) => Some("pageout"),
            (How::MemoryAdvice, 22) => Some("populate_read"),
            _ => common(),
        }
    }
}

/// One use.
#[derive(Clone, Copy)]
pub struct Use {
    /// What is done.
    pub how: How,
    /// Begin of the range in the file.
    pub at: u64,
    /// Its length, 0 for all.
    pub size: u64,
    /// Advice or flags.
    pub number: u32,
}

/// Which uses of a kind were told.
pub struct Seen([AtomicU64; MOST_TOLD]);

impl Seen {
    /// Forgets all.
    pub fn clear(&self) {
        for key in &self.0 {
            key.store(0, Ordering::Relaxed);
        }
    }

    fn is_full(&self) -> bool {
        self.0.last().is_none_or(|key| key.load(Ordering::Relaxed) != 0)
    }

    /// Whether this one is neither there nor one too many; it is there now.
    fn is_new(&self, key: u64) -> bool {
        self.0.iter().find_map(|slot| match slot.compare_exchange(0, key, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Some(true),
            Err(found) => (found == key).then_some(false),
        }) == Some(true)
    }
}

impl Use {
    fn key(&self) -> u64 {
        let mixed = self.at.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.size.rotate_left(31);
        (mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ u64::from(self.number)).max(1)
    }
}

/// Uses before the trace began.
pub struct Early {
    count: AtomicU32,
    records: [Record; MOST_EARLY],
}

struct Record {
    /// 1: it is there; 2: it is written.
    state: AtomicU32,
    content: UnsafeCell<MaybeUninit<(usize, Use, Site)>>,
}

impl Early {
    /// Forgets all.
    pub fn clear(&self) {
        self.count.store(0, Ordering::Relaxed);
        for record in &self.records {
            record.state.store(0, Ordering::Relaxed);
        }
    }

    fn keep(&self, file: usize, what: Use, site: Site) -> bool {
        let Some(record) = self.records.get(self.count.fetch_add(1, Ordering::AcqRel) as usize) else {
            self.count.store(MOST_EARLY as u32, Ordering::Release);
            return false;
        };
        // SAFETY: fetch_add gave the record to this caller alone, and nobody reads it before its state says so.
        unsafe { (*record.content.get()).write((file, what, site)) };
        record.state.store(1, Ordering::Release);
        true
    }

    /// Writes what was kept, each once.
    pub fn write(&self, table: &Table) {
        for record in &self.records {
            if record.state.compare_exchange(1, 2, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                // SAFETY: it was there, and is never written again.
                let (file, what, site) = unsafe { (*record.content.get()).assume_init() };
                write(table, file, &what, &site);
            }
        }
    }
}

/// Where files of weights are mapped, as far as is known: a mapping may be gone.
pub struct Ranges {
    next: AtomicU32,
    ranges: [Range; MOST_RANGES],
}

struct Range {
    start: AtomicUsize,
    end: AtomicUsize,
    file: AtomicUsize,
}

impl Ranges {
    /// Forgets all.
    pub fn clear(&self) {
        self.next.store(0, Ordering::Relaxed);
        for range in &self.ranges {
            range.end.store(0, Ordering::Relaxed);
        }
    }

    fn add(&self, start: usize, size: usize, file: usize) {
        let at = self.next.fetch_add(1, Ordering::AcqRel) as usize % MOST_RANGES;
        if let Some(range) = self.ranges.get(at) {
            range.end.store(0, Ordering::Release);
            range.start.store(start, Ordering::Relaxed);
            range.file.store(file, Ordering::Relaxed);
            range.end.store(start.saturating_add(size), Ordering::Release);
        }
    }

    fn find(&self, address: usize) -> Option<&Range> {
        let known = (self.next.load(Ordering::Acquire) as usize).min(MOST_RANGES);
        self.ranges
            .iter()
            .take(known)
            .find(|range| address < range.end.load(Ordering::Acquire) && address >= range.start.load(Ordering::Relaxed))
    }
}

/// Tells of a use of the file at a position, or keeps it for the begin of the trace.
pub fn note(table: &Table, file: usize, what: &Use, site: &Site) {
    let Some(entry) = table.file(file) else { return };
    if !entry.seen.get(what.how as usize).is_some_and(|seen| seen.is_new(what.key())) {
        return;
    }
    if process::is_tracing() {
        return write(table, file, what, site);
    }
    if !table.uses.keep(file, *what, *site) {
        table.forgotten.fetch_add(1, Ordering::Relaxed);
    }
    // Another thread may have begun the trace meanwhile.
    if process::is_tracing() {
        table.uses.write(table);
    }
}

#[cold]
fn write(_: &Table, file: usize, what: &Use, site: &Site) {
    event::call("use", site, |line| {
        line.u64("id", event::id(file)).text("how", what.how.name().as_bytes()).u64("at", what.at);
        line.u64("size", what.size);
        match what.how.advice(what.number) {
            Some(advice) => line.text("advice", advice.as_bytes()),
            None => line.hex("advice", what.number.into()),
        };
    });
}

/// The known file behind a descriptor.
pub fn file_of(fd: i32) -> Option<(&'static Table, usize)> {
    let table = table::get()?;
    let stat = files::stat(fd).ok()?;
    Some((table, table.find(&stat)?))
}

/// The file at a position is mapped at `start` now.
pub fn mapped(table: &Table, file: usize, start: usize, what: &Use, site: &Site) {
    table.ranges.add(start, what.size as usize, file);
    note(table, file, what, site);
}

/// Advice about memory: is it a known file's?
#[inline]
pub fn advised(address: usize, size: usize, advice: u32, function: &'static str, return_address: usize) {
    if let Some(table) = table::get()
        && let Some(range) = table.ranges.find(address)
    {
        advised_in(table, range, address, size, advice, function, return_address);
    }
}

#[cold]
fn advised_in(
    table: &Table,
    range: &Range,
    address: usize,
    size: usize,
    advice: u32,
    function: &'static str,
    return_address: usize,
) {
    let at = range.file.load(Ordering::Relaxed);
    let (Some(file), Some(facts)) = (table.file(at), table.facts(at)) else { return };
    let seen = file.seen.get(How::MemoryAdvice as usize);
    if seen.is_none_or(Seen::is_full) || sys::getpid() != process::pid() {
        return;
    }
    let Some(mut claim) = Claim::new(process::pid()) else { return };
    let mut found = None;
    maps::walk(&mut claim.get().file, &mut |mapping| {
        if (mapping.start..mapping.end).contains(&address) && mapping.inode == facts.stat.inode {
            found = Some(mapping.offset.saturating_add(address.wrapping_sub(mapping.start) as u64));
        }
        mapping.start <= address
    });
    drop(claim);
    match found {
        Some(offset) => {
            let what = Use { how: How::MemoryAdvice, at: offset, size: size as u64, number: advice };
            note(table, at, &what, &event::site(function, return_address));
        }
        // It was unmapped, and something else may be there.
        None => range.end.store(0, Ordering::Release),
    }
}
