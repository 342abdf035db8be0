//! From a finished question for memory figures to its event, and to what the program finds: the answer, or what the user
//! wants it to be told instead.

use crate::effect::{Call, out, query_on};
use crate::patch::{self, Asker, Changed, Pair};
use crate::{host, pools};

/// Where a function has written a figure for the program.
#[derive(Clone, Copy)]
pub enum Slot {
    /// 64 bits.
    Word(*mut usize),
    /// 32 bits, of the oldest ABI.
    Half(*mut u32),
}

impl From<*mut usize> for Slot {
    fn from(at: *mut usize) -> Slot {
        Slot::Word(at)
    }
}

impl From<*mut u32> for Slot {
    fn from(at: *mut u32) -> Slot {
        Slot::Half(at)
    }
}

impl Slot {
    /// What stands there after a call that returned `rc`.
    ///
    /// # Safety
    /// The place is NULL, or the call has written it if it succeeded.
    pub unsafe fn get(self, rc: i64) -> Option<u64> {
        if rc != 0 {
            return None;
        }
        match self {
            // SAFETY: the caller's promise.
            Slot::Word(at) => unsafe { out(at) }.map(|value| value as u64),
            // SAFETY: the caller's promise.
            Slot::Half(at) => unsafe { out(at) }.map(u64::from),
        }
    }

    /// Writes another figure in its place.
    ///
    /// # Safety
    /// [`Self::get`] has just read it.
    pub unsafe fn set(self, value: u64) {
        match self {
            // SAFETY: the caller's promise.
            Slot::Word(at) => unsafe { at.write_unaligned(value as usize) },
            // SAFETY: the caller's promise.
            Slot::Half(at) => unsafe { at.write_unaligned(u32::try_from(value).unwrap_or(u32::MAX)) },
        }
    }
}

/// The program asked how much of the current device's memory is free. The outermost question of a chain gets a view of
/// the machine.
///
/// # Safety
/// `free` and `total` are NULL, or the call has written them if it succeeded.
pub unsafe fn query_free(call: &Call, rc: i64, free: Slot, total: Slot) {
    let dev = call.device(rc);
    if rc == 0 {
        pools::tell(call.api(), call.end(), dev);
    }
    // SAFETY: the caller's promise.
    let real = unsafe { Pair { free: free.get(rc), total: total.get(rc) } };
    let changed = changed(call, dev, real);
    let number = query_on(call, rc, dev, told(changed.free, real.free), told(changed.total, real.total));
    // SAFETY: what was changed was read.
    unsafe { tell(number, free, changed.free, b"free") };
    // SAFETY: as above.
    unsafe { tell(number, total, changed.total.filter(|_| real.total.is_some()), b"total") };
    call.view(number);
}

/// The program asked how much memory a device has.
///
/// # Safety
/// `total` is NULL, or the call has written it if it succeeded.
pub unsafe fn query_total(call: &Call, rc: i64, dev: i32, total: Slot) {
    // SAFETY: the caller's promise.
    let real = Pair { free: None, total: unsafe { total.get(rc) } };
    let changed = changed(call, dev, real).total;
    let number = query_on(call, rc, dev, None, told(changed, real.total));
    // SAFETY: what was changed was read.
    unsafe { tell(number, total, changed, b"total") };
}

fn changed(call: &Call, dev: i32, real: Pair<u64>) -> Pair<Changed> {
    if !patch::is_on() || real.free.or(real.total).is_none() {
        return Pair::default();
    }
    let total = real.total.or_else(|| call.api().total(dev));
    patch::device(&Asker::new(call, dev), call.api(), dev, Pair { total, ..real })
}

fn told(changed: Option<Changed>, real: Option<u64>) -> Option<u64> {
    changed.filter(|_| real.is_some()).map(|changed| changed.told).or(real)
}

/// Changes what the program finds, if the trace has the event that says so.
///
/// # Safety
/// As [`Slot::set`], where something is changed.
pub unsafe fn tell(number: u64, slot: Slot, changed: Option<Changed>, field: &[u8]) {
    if let Some(changed) = changed
        && number != 0
    {
        // SAFETY: the caller's promise.
        unsafe { slot.set(changed.told) };
        changed.tell(number, field);
    }
}

/// The program asked what the machine has. Answers with what it shall be told.
pub fn query_machine(call: &Call, rc: i64, free: Option<u64>, total: Option<u64>) -> (Option<u64>, Option<u64>) {
    let (free, total) = host::memory(free, total);
    let asker = Asker::new(call, -1);
    let changed = match patch::is_on() && rc == 0 && !asker.is_library() {
        true => patch::sysinfo(&asker, Pair { free, total }),
        false => Pair::default(),
    };
    let answer = (told(changed.free, free), told(changed.total, total));
    let number = query_on(call, rc, -1, answer.0, answer.1);
    if number == 0 {
        // Without a line in the trace there is no change.
        return (free, total);
    }
    changed.tell(number);
    call.view(number);
    answer
}
