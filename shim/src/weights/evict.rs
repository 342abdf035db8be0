//! `KVTRACE_EVICT=1`: gives the page cache of weights that this process has read back to the kernel, before it asks how
//! much of a GPU's memory is free. Where CPU and GPU share one memory, more is free then.
//!
//! Only what it has opened itself, only clean pages, by advice that anyone may give: pages that are mapped stay, and
//! what another process still reads comes from the disk once more.

use super::table::{self, Table};
use super::{cache, event};
use crate::buffers::Claim;
use crate::effect::Call;
use crate::sys::files;
use crate::{config, process, sys};
use core::ffi::CStr;
use core::sync::atomic::Ordering;

/// What came of it. Bytes.
#[derive(Default)]
struct Sum {
    files: u64,
    cached: u64,
    left: u64,
    /// Files that have pages to be written back, or of which the kernel does not say whether they have.
    skipped: u64,
}

/// To be called before the question is asked.
pub fn before(call: &Call) {
    if config::get().is_some_and(|config| config.evict) && call.is_outermost() && !call.is_our_own() {
        evict();
    }
}

#[cold]
#[inline(never)]
fn evict() {
    let Some(table) = table::get() else { return };
    let begin = sys::clock(libc::CLOCK_MONOTONIC);
    let mut sum = Sum::default();
    for at in table.positions() {
        give_back(table, at, &mut sum);
    }
    if sum.files != 0 || sum.skipped != 0 {
        event::write("evict", begin, |line| {
            line.u64("files", sum.files).u64("cached", sum.cached).u64("left", sum.left).u64("skipped", sum.skipped);
        });
    }
}

fn give_back(table: &Table, at: usize, sum: &mut Sum) {
    let (Some(file), Some(facts)) = (table.file(at), table.facts(at)) else { return };
    let Ok(path) = CStr::from_bytes_with_nul(table.path(facts)) else { return };
    if file.denied.load(Ordering::Relaxed) != 0 {
        return;
    }
    let fd = files::look_into(files::HERE, path);
    if fd < 0 {
        return;
    }
    if let Ok(stat) = files::stat(fd)
        // Another file may have its path by now.
        && stat.device == facts.stat.device
        && stat.inode == facts.stat.inode
        && let Some(mut claim) = Claim::new(process::pid())
    {
        let scratch = &mut claim.get().file;
        let mut look = || match cache::of(fd, &stat, path, scratch) {
            cache::Answer::Known(cache) => Some(cache),
            _ => None,
        };
        match look() {
            Some(before) if before.dirty == Some(0) && before.cached != 0 => {
                files::evict(fd);
                sum.files = sum.files.saturating_add(1);
                sum.cached = sum.cached.saturating_add(before.cached);
                sum.left = sum.left.saturating_add(look().map_or(before.cached, |after| after.cached));
            }
            Some(before) if before.cached != 0 => sum.skipped = sum.skipped.saturating_add(1),
            _ => {}
        }
    }
    if !files::close_unlocked(fd) {
        // It is locked, and would cost a descriptor each time.
        file.denied.store(1, Ordering::Relaxed);
    }
}
