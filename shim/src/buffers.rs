//! Scratch memory for one event. Programs call us on stacks of any size, so the buffers are static; a pool of them,
//! claimed without waiting, because a signal handler may interrupt an event and log one of its own.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};
use kvtrace_trace::MAX_LINE;

const SLOTS: usize = 64;
/// Rounds through the pool before an event is given up.
const ROUNDS: usize = 256;

/// Room for a line and for the file that it tells of.
pub struct Buffers {
    /// The line.
    pub line: [u8; MAX_LINE],
    /// A file's content.
    pub file: [u8; 8192],
}

struct Slot {
    taken: AtomicBool,
    buffers: UnsafeCell<Buffers>,
}

// SAFETY: the buffers of a slot are touched only by whoever set `taken`.
unsafe impl Sync for Slot {}

static POOL: [Slot; SLOTS] = [const {
    Slot { taken: AtomicBool::new(false), buffers: UnsafeCell::new(Buffers { line: [0; MAX_LINE], file: [0; 8192] }) }
}; SLOTS];

/// A claimed slot.
pub struct Claim(&'static Slot);

impl Claim {
    /// Claims a slot; `None` if all stay taken.
    pub fn new() -> Option<Claim> {
        for _ in 0..ROUNDS {
            for slot in &POOL {
                if !slot.taken.load(Ordering::Relaxed) && !slot.taken.swap(true, Ordering::Acquire) {
                    return Some(Claim(slot));
                }
            }
            crate::sys::sched_yield();
        }
        None
    }

    /// The buffers.
    pub fn get(&mut self) -> &mut Buffers {
        // SAFETY: this claim set `taken`, so nobody else touches the slot.
        unsafe { &mut *self.0.buffers.get() }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Release);
    }
}

/// Frees every slot: in a fork child the threads that held them do not exist.
pub fn reset() {
    for slot in &POOL {
        slot.taken.store(false, Ordering::Release);
    }
}
