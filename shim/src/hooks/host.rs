//! libc's own memory figures, and `fork`. What returns its figure stands in `seen`.

use super::{Hook, Layer, hooks};
use crate::answer::query_machine;
use crate::effect::{self, Call};
use core::ffi::{c_int, c_long};

hooks! { Layer::Libc, c_int, ();
    sysinfo as "sysinfo" 0..0 (info: *mut libc::sysinfo) -> -1
        // SAFETY: libc has written it if it succeeded.
        |call, rc| unsafe { query_info(&call, rc, info) };
    fork as "fork" 0..0 () -> -1 |call, rc| effect::fork(&call, rc.into());
}

/// The rows. They are linked, not looked up.
pub static TABLES: [&[&Hook]; 1] = [TABLE];

/// # Safety
/// `info` was written if the call succeeded.
unsafe fn query_info(call: &Call, rc: c_int, info: *mut libc::sysinfo) {
    if rc != 0 {
        query_machine(call, rc.into(), None, None);
        return;
    }
    // SAFETY: the caller's promise.
    let mut figures = unsafe { info.read_unaligned() };
    let unit = u64::from(figures.mem_unit).max(1);
    let real = (figures.freeram.saturating_mul(unit), figures.totalram.saturating_mul(unit));
    if let (Some(free), Some(total)) = query_machine(call, 0, Some(real.0), Some(real.1))
        && (free, total) != real
    {
        figures.freeram = free.checked_div(unit).unwrap_or(0);
        figures.totalram = total.checked_div(unit).unwrap_or(0);
        // SAFETY: as above.
        unsafe { info.write_unaligned(figures) };
    }
}

/// Pages to bytes; `None` for libc's -1.
pub fn bytes(pages: c_long) -> Option<u64> {
    u64::try_from(pages).ok().map(|pages| pages.saturating_mul(crate::header::page_size()))
}

/// As [`bytes`], back.
pub fn pages(bytes: u64) -> c_long {
    bytes.checked_div(crate::header::page_size()).and_then(|pages| pages.try_into().ok()).unwrap_or(c_long::MAX)
}
