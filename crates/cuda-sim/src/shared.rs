//! Physical memory that several processes hold: a table behind the slots of the state file.
//!
//! Such memory is charged once, for as long as one living process holds it. It shows as its creator's while that holds
//! it, else as the first other holder's. A process that dies lets go with its slot. A descriptor that nobody has
//! imported yet holds nothing here, where a real driver keeps the memory for it.

use crate::state::SLOTS;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many such allocations there may be at a time.
pub(crate) const MOST: usize = 1024;

/// Which memory: the memory file's inode, and the offset in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    pub file: u64,
    pub offset: u64,
}

/// One allocation. All zero where the entry is free.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Entry {
    file: AtomicU64,
    offset: AtomicU64,
    size: AtomicU64,
    /// Slot of the creator, plus 1.
    creator: AtomicU64,
    /// One bit for each slot that holds it.
    holders: [AtomicU64; SLOTS / 64],
}

impl Entry {
    fn is(&self, key: Key) -> bool {
        self.file.load(Ordering::Acquire) == key.file && self.offset.load(Ordering::Relaxed) == key.offset
    }

    fn holds(&self, slot: usize) -> bool {
        self.holders[slot / 64].load(Ordering::Acquire) & 1 << (slot % 64) != 0
    }

    fn mark(&self, slot: usize) {
        self.holders[slot / 64].fetch_or(1 << (slot % 64), Ordering::AcqRel);
    }

    fn unmark(&self, slot: usize) {
        self.holders[slot / 64].fetch_and(!(1 << (slot % 64)), Ordering::AcqRel);
    }

    /// The slot that the memory shows at; `None` if nobody holds it.
    fn shows_at(&self, alive: &impl Fn(usize) -> bool) -> Option<usize> {
        let creator = (self.creator.load(Ordering::Relaxed) as usize).checked_sub(1);
        let holds = |slot: &usize| *slot < SLOTS && self.holds(*slot) && alive(*slot);
        creator.filter(holds).or_else(|| (0..SLOTS).find(holds))
    }

    fn clear(&self) {
        for word in &self.holders {
            word.store(0, Ordering::Release);
        }
        self.file.store(0, Ordering::Release);
    }
}

/// The table. Who changes it holds the state file's table lock; who reads may see a change half done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table {
    /// How many entries were ever in use: a device that shares nothing looks at none.
    pub used: &'static AtomicU64,
    pub entries: &'static [Entry],
}

impl Table {
    fn seen(&self) -> &'static [Entry] {
        &self.entries[..(self.used.load(Ordering::Acquire) as usize).min(self.entries.len())]
    }

    /// Enters memory that `slot` made. `false` if the table is full.
    pub fn enter(&self, key: Key, size: u64, slot: usize, alive: impl Fn(usize) -> bool) -> bool {
        let free = |entry: &Entry| entry.file.load(Ordering::Acquire) == 0 || entry.shows_at(&alive).is_none();
        let Some(at) = self.entries.iter().position(free) else { return false };
        let entry = &self.entries[at];
        entry.clear();
        entry.offset.store(key.offset, Ordering::Relaxed);
        entry.size.store(size, Ordering::Relaxed);
        entry.creator.store(slot as u64 + 1, Ordering::Relaxed);
        entry.mark(slot);
        entry.file.store(key.file, Ordering::Release);
        self.used.fetch_max(at as u64 + 1, Ordering::AcqRel);
        true
    }

    /// Makes `slot` a holder of what another process holds. Returns its size.
    pub fn join(&self, key: Key, slot: usize, alive: impl Fn(usize) -> bool) -> Option<u64> {
        let entry = self.seen().iter().find(|entry| entry.is(key))?;
        entry.shows_at(&alive)?;
        entry.mark(slot);
        Some(entry.size.load(Ordering::Relaxed))
    }

    /// `slot` lets go. Returns whether it was the last holder.
    pub fn leave(&self, key: Key, slot: usize, alive: impl Fn(usize) -> bool) -> bool {
        let Some(entry) = self.seen().iter().find(|entry| entry.is(key)) else { return true };
        entry.unmark(slot);
        let last = entry.shows_at(&alive).is_none();
        if last {
            entry.clear();
        }
        last
    }

    /// A new process has taken `slot`: what its predecessor held, it does not.
    pub fn forget(&self, slot: usize) {
        for entry in self.seen() {
            entry.unmark(slot);
            let _ = entry.creator.compare_exchange(slot as u64 + 1, 0, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    /// Bytes that show at each slot, as pairs.
    pub fn shown(&self, alive: impl Fn(usize) -> bool) -> impl Iterator<Item = (usize, u64)> {
        let entries = self.seen().iter().filter(|entry| entry.file.load(Ordering::Acquire) != 0);
        entries.filter_map(move |entry| Some((entry.shows_at(&alive)?, entry.size.load(Ordering::Relaxed))))
    }
}
