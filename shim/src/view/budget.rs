//! How much of a process's time views may take: 50 ms to begin with, and 5 % of the time that passes, of which at most
//! 50 ms are kept. What is taken beyond it is owed. The first views of a process are made in any case: a server sizes its
//! cache by one of its first questions, and on a machine that is slow just then a few views take all the budget.
//!
//! One word holds it: the moment at which the budget would be whole again if nothing more were taken.

use crate::{process, sys};
use core::sync::atomic::Ordering;

/// ns that are kept at most, and there at the beginning.
const WHOLE: u64 = 50_000_000;
/// Time that must pass for each ns of views.
const RATIO: u64 = 20;

/// Views of a process that are made in any case.
const FIRST: u32 = 64;

/// A stretch of work that is measured.
pub struct Work {
    begin: u64,
    processor: u64,
    waits: u64,
}

impl Work {
    /// It begins now.
    pub fn begin() -> Work {
        let (begin, processor) = (sys::clock(libc::CLOCK_MONOTONIC), sys::clock(libc::CLOCK_THREAD_CPUTIME_ID));
        Work { begin, processor, waits: sys::waits() }
    }

    /// When it began, by CLOCK_MONOTONIC.
    pub fn begun(&self) -> u64 {
        self.begin
    }

    /// How long it has taken so far, ns. A thread that waited for nothing was only kept from the processor by others,
    /// as it would have been without this work: that time does not count.
    pub fn cost(&self) -> u64 {
        match sys::waits() == self.waits {
            true => sys::clock(libc::CLOCK_THREAD_CPUTIME_ID).saturating_sub(self.processor),
            false => sys::clock(libc::CLOCK_MONOTONIC).saturating_sub(self.begin),
        }
    }
}

/// What one view may do.
#[derive(Clone, Copy)]
pub struct Leave {
    is_first: bool,
}

impl Leave {
    /// For a view, if there is some left or it is one of the first.
    pub fn take() -> Option<Leave> {
        let made = &process::current().views.made;
        let is_first = made.load(Ordering::Relaxed) < FIRST && made.fetch_add(1, Ordering::Relaxed) < FIRST;
        (is_first || allows()).then_some(Leave { is_first })
    }

    /// Whether the view may go on: one of the first is made whole.
    pub fn lasts(self) -> bool {
        self.is_first || allows()
    }
}

/// Whether there is some left.
pub fn allows() -> bool {
    let whole_at = process::current().views.budget.load(Ordering::Relaxed);
    let now = sys::clock(libc::CLOCK_MONOTONIC);
    whole_at.saturating_sub(now) < WHOLE.saturating_mul(RATIO)
}

/// Takes `cost` ns.
pub fn charge(cost: u64) {
    let now = sys::clock(libc::CLOCK_MONOTONIC);
    let more = cost.saturating_mul(RATIO);
    let budget = &process::current().views.budget;
    let take = |whole_at: u64| Some(whole_at.max(now).saturating_add(more));
    let _ = budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
}
