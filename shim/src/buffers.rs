//! Scratch memory for one event. Programs call us on stacks of any size, so the buffers are static; a pool of them,
//! claimed without waiting, because a signal handler may interrupt an event and log one of its own. A claim names its
//! process, so that a fork child sees what its parent's threads held as free.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, Ordering};
use kvtrace_trace::MAX_LINE;

const SLOTS: usize = 64;
/// Rounds through the pool before an event is given up.
const ROUNDS: usize = 256;

/// Room for a line and for the file that it tells of. Aligned, because libraries write structures into it too.
#[repr(C, align(16))]
pub struct Buffers {
    /// The line.
    pub line: [u8; MAX_LINE],
    /// A file's content.
    pub file: [u8; 8192],
}

struct Slot {
    /// Pid of the process whose thread holds the slot; any other value means that it is free.
    holder: AtomicU32,
    buffers: UnsafeCell<Buffers>,
}

// SAFETY: the buffers of a slot are touched only by whoever became the holder.
unsafe impl Sync for Slot {}

static POOL: [Slot; SLOTS] = [const {
    Slot { holder: AtomicU32::new(0), buffers: UnsafeCell::new(Buffers { line: [0; MAX_LINE], file: [0; 8192] }) }
}; SLOTS];

/// A claimed slot.
pub struct Claim(&'static Slot);

impl Claim {
    /// Claims a slot for process `pid`; `None` if all stay taken.
    pub fn new(pid: u32) -> Option<Claim> {
        for _ in 0..ROUNDS {
            for slot in &POOL {
                let holder = slot.holder.load(Ordering::Relaxed);
                if holder != pid
                    && slot.holder.compare_exchange(holder, pid, Ordering::Acquire, Ordering::Relaxed).is_ok()
                {
                    return Some(Claim(slot));
                }
            }
            crate::sys::sched_yield();
        }
        None
    }

    /// The buffers.
    pub fn get(&mut self) -> &mut Buffers {
        // SAFETY: this claim is the holder, so nobody else touches the slot.
        unsafe { &mut *self.0.buffers.get() }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.holder.store(0, Ordering::Release);
    }
}
