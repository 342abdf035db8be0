//! libc's own memory figures, and `fork`. glibc's `get_avphys_pages` does not go through the `sysinfo` that
//! programs can call, so each has a row; `sysconf`, which is mostly about other things, stands in `seen`.

use super::{Hook, Layer, hooks};
use crate::effect::{self, query};
use core::ffi::{c_int, c_long};

mod info {
    use super::{Layer, c_int, effect, hooks, query};

    hooks! { Layer::Libc, c_int, ();
        sysinfo as "sysinfo" 0..0 (info: *mut libc::sysinfo) -> -1 |call, rc| {
            // SAFETY: the call succeeded, so it wrote the structure.
            let figures = (rc == 0).then(|| unsafe { info.read_unaligned() });
            let bytes = |units: u64| figures.map(|figures| units.saturating_mul(figures.mem_unit.into()));
            query(&call, rc.into(), false, figures.and_then(|figures| bytes(figures.freeram)),
                figures.and_then(|figures| bytes(figures.totalram)));
        };
        fork as "fork" 0..0 () -> -1 |call, rc| effect::fork(&call, rc.into());
    }
}

mod pages {
    use super::{Layer, bytes as in_bytes, c_long, hooks, query};

    hooks! { Layer::Libc, c_long, ();
        get_avphys_pages as "get_avphys_pages" 0..0 () -> -1 |call, rc| query(&call, 0, false, in_bytes(rc), None);
        get_phys_pages as "get_phys_pages" 0..0 () -> -1 |call, rc| query(&call, 0, false, None, in_bytes(rc));
    }
}

/// The rows. They are linked, not looked up.
pub static TABLES: [&[&Hook]; 2] = [info::TABLE, pages::TABLE];

/// Pages to bytes; `None` for libc's -1.
pub fn bytes(pages: c_long) -> Option<u64> {
    u64::try_from(pages).ok().map(|pages| pages.saturating_mul(crate::header::page_size()))
}
