//! The other files that are mapped: libraries above all.

use super::cache::{self, Answer};
use super::table::{self, MOST_LIBRARIES, Table};
use super::{Sum, event, maps};
use crate::buffers::Claim;
use crate::sys::files;
use crate::view::budget::{self, Leave};
use crate::{process, sys};
use core::ffi::CStr;
use core::sync::atomic::{AtomicU64, Ordering};

/// What is mapped changes seldom: no look within so many ns of the last.
const PAUSE: u64 = 2_000_000_000;

#[derive(Default)]
struct Found {
    sum: Sum,
    /// Whether some were not told of.
    denied: bool,
    /// Whether one is locked: it would cost a descriptor each time.
    locked: bool,
    /// What was charged for, ns.
    charged: u64,
}

/// Writes the `cached` event of the query `of`, if it is time again.
pub fn view(of: u64, leave: Leave) {
    let Some(table) = table::make() else { return };
    let (last, busy) = (&table.libraries.0, &table.libraries.1);
    let now = sys::clock(libc::CLOCK_MONOTONIC);
    let then = last.load(Ordering::Relaxed);
    if then != 0 && now.saturating_sub(then) < PAUSE || busy.swap(1, Ordering::AcqRel) != 0 {
        return;
    }
    last.store(now, Ordering::Relaxed);
    let mut found = Found::default();
    count(table, &mut found, leave);
    // Whoever is busy for good looks no more.
    busy.store(found.locked.into(), Ordering::Release);
    if found.sum.files != 0 {
        event::together(of, now, b"libraries", &found.sum);
    }
    if found.denied {
        event::denied(table, b"");
    }
    budget::charge(sys::clock(libc::CLOCK_MONOTONIC).saturating_sub(now).saturating_sub(found.charged));
}

fn count(table: &Table, found: &mut Found, leave: Leave) {
    for slot in &table.libraries_seen {
        slot.store(0, Ordering::Relaxed);
    }
    let pid = process::pid();
    let (Some(mut text), Some(mut other)) = (Claim::new(pid), Claim::new(pid)) else { return };
    let (mut last, mut seen) = ((0, 0), 0usize);
    maps::walk(&mut text.get().file, &mut |mapping| {
        // Databases are mapped like this, and locked: their descriptors are not to be opened and closed.
        let is_same = last == (mapping.device, mapping.inode);
        last = (mapping.device, mapping.inode);
        if mapping.is_shared || is_same || !is_new(&table.libraries_seen, &mapping) {
            return true;
        }
        seen = seen.saturating_add(1);
        let buffers = other.get();
        for (to, from) in buffers.line.iter_mut().zip(mapping.path.iter().chain(&[0])) {
            *to = *from;
        }
        if let Ok(path) = CStr::from_bytes_until_nul(&buffers.line) {
            add(table, found, path, mapping.inode, &mut buffers.file);
        }
        seen < MOST_LIBRARIES && leave.lasts()
    });
}

fn is_new(seen: &[AtomicU64], mapping: &maps::Mapping) -> bool {
    let key = (mapping.inode ^ mapping.device.rotate_left(17)).wrapping_mul(0x9e37_79b9_7f4a_7c15).max(1);
    for step in 0..seen.len() {
        let Some(slot) = seen.get((key as usize >> 20).wrapping_add(step) % seen.len()) else { return false };
        match slot.load(Ordering::Relaxed) {
            0 => {
                slot.store(key, Ordering::Relaxed);
                return true;
            }
            found if found == key => return false,
            _ => {}
        }
    }
    false
}

fn add(table: &Table, found: &mut Found, path: &CStr, inode: u64, scratch: &mut [u8]) {
    let begin = sys::clock(libc::CLOCK_MONOTONIC);
    match files::stat_at(files::HERE, path) {
        // Another file may have its path by now.
        Ok(stat) if stat.is_regular && stat.inode == inode && table.find(&stat).is_none() => {
            let fd = files::look_into(files::HERE, path);
            if fd < 0 {
                return;
            }
            match cache::of(fd, &stat, path, scratch) {
                Answer::Known(cache) => found.sum.add(stat.size, &cache),
                Answer::Denied => found.denied = true,
                Answer::None => {}
            }
            found.locked |= !files::close_unlocked(fd);
        }
        _ => {}
    }
    let cost = sys::clock(libc::CLOCK_MONOTONIC).saturating_sub(begin);
    found.charged = found.charged.saturating_add(cost);
    budget::charge(cost);
}
