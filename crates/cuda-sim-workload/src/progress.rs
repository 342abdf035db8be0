//! A line per second on stderr for work that takes longer than one.

use crate::size;
use std::time::{Duration, Instant};

const STEP: Duration = Duration::from_secs(1);

/// Progress through a number of bytes.
pub struct Progress {
    action: &'static str,
    total: u64,
    done: u64,
    begun: Instant,
    next: Instant,
}

impl Progress {
    /// Begins at nothing done.
    pub fn new(action: &'static str, total: u64) -> Self {
        let begun = Instant::now();
        Self { action, total, done: 0, begun, next: begun + STEP }
    }

    /// `bytes` more are done.
    pub fn add(&mut self, bytes: u64) {
        self.done += bytes;
        let now = Instant::now();
        if now < self.next {
            return;
        }
        self.next = now + STEP;
        let rate = self.done as f64 / now.duration_since(self.begun).as_secs_f64();
        let (done, total, rate) = (size::show(self.done), size::show(self.total), size::show(rate as u64));
        eprintln!("{}: {done} of {total}, {rate}/s", self.action);
    }
}
