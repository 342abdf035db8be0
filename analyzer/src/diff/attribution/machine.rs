//! What was in use beside a query: by the traced processes on the device, and by what the kernel's counters name where CPU
//! and GPU share one memory.

use crate::decision::Source;
use crate::diff::Side;
use crate::load::events::{AVAILABLE, View};

/// One group of counters of /proc/meminfo, each byte of which is missing from MemFree.
pub struct Counters {
    pub key: &'static str,
    pub title: &'static str,
    /// Without these nothing is booked.
    needed: &'static [&'static str],
    minus: &'static [&'static str],
    /// Counted where all views have them.
    also: &'static [&'static str],
    /// Whether the kernel would give most of it up.
    pub is_reclaimable: bool,
    pub note: Option<&'static str>,
}

pub const MACHINE: [Counters; 5] = [
    Counters {
        key: "page_cache",
        title: "page cache",
        needed: &["Cached", "Buffers"],
        // Shmem is inside Cached, and cannot be dropped.
        minus: &["Shmem"],
        also: &["SReclaimable"],
        is_reclaimable: true,
        note: Some("where CPU and GPU share one memory, page cache counts as used, though the kernel would give it up"),
    },
    Counters {
        key: "shared_memory",
        title: "shared memory (tmpfs)",
        needed: &["Shmem"],
        minus: &[],
        also: &[],
        is_reclaimable: false,
        note: None,
    },
    Counters {
        key: "anonymous_memory",
        title: "anonymous memory",
        needed: &["AnonPages"],
        minus: &[],
        also: &[],
        is_reclaimable: false,
        note: None,
    },
    Counters {
        key: "kernel_memory",
        title: "kernel memory",
        needed: &["SUnreclaim"],
        minus: &[],
        also: &["KernelStack", "PageTables", "SecPageTables", "Percpu"],
        is_reclaimable: false,
        note: None,
    },
    Counters {
        key: "huge_pages",
        title: "huge pages",
        needed: &["Hugetlb"],
        minus: &[],
        also: &[],
        is_reclaimable: false,
        note: None,
    },
];

impl Counters {
    /// Bytes in each view; `None` unless all have the counters.
    pub fn read(&self, views: &[&View]) -> Option<Vec<i128>> {
        let get = |view: &View, name: &str| view.meminfo.get(name).map(|value| i128::from(*value));
        let also: Vec<_> = self.also.iter().filter(|name| views.iter().all(|view| get(view, name).is_some())).collect();
        let sum = |view: &&View| -> Option<i128> {
            let mut sum = 0;
            for name in self.needed.iter().chain(also.iter().copied()) {
                sum += get(view, name)?;
            }
            for name in self.minus {
                sum -= get(view, name)?;
            }
            Some(sum)
        };
        views.iter().map(sum).collect()
    }
}

/// Takes from what is in use what the kernel would give up, at the queries whose runtime took MemAvailable for free
/// memory. Whether there is one. `bytes` and `views` are A's, then B's.
pub fn less_available(bytes: &mut [i128], views: &[&View], sides: [&Side; 2]) -> bool {
    let sources = sides.iter().flat_map(|side| &side.decision.rule.free).map(|weight| weight.source);
    let mut any = false;
    for ((bytes, view), source) in bytes.iter_mut().zip(views).zip(sources) {
        let line = |name: &str| view.meminfo.get(name).map(|value| i128::from(*value));
        if let (Source::MemAvailable, Some(available), Some(free)) = (source, line(AVAILABLE), line("MemFree")) {
            *bytes -= available - free;
            any = true;
        }
    }
    any
}

/// Whether the kernel's counters say what is missing from the device's free memory.
pub enum Memory<'t> {
    /// CPU and GPU share one memory, and the machine was seen beside every query: A's views, then B's.
    Unified(Vec<&'t View>),
    /// What no traced process holds, others hold.
    Discrete,
    /// Nothing may be booked, and why.
    Unknown(String),
}

/// Of both sides together.
pub fn memory<'t>(a: &Side<'t>, b: &Side<'t>) -> Memory<'t> {
    let (of_a, of_b) = (a.device().map(|device| device.integrated), b.device().map(|device| device.integrated));
    match of_a.filter(|_| of_a == of_b) {
        Some(false) => Memory::Discrete,
        Some(true) => match [a, b].into_iter().find(|side| side.views().is_none()) {
            None => Memory::Unified([a, b].into_iter().filter_map(Side::views).flatten().collect()),
            Some(side) => Memory::Unknown(format!(
                "no view of the machine lies beside the sizing query of side {}: page cache and other host memory \
                 cannot be booked",
                side.name
            )),
        },
        None => Memory::Unknown(
            "the devices are unknown or of two kinds: host memory and memory of other programs cannot be booked".into(),
        ),
    }
}

/// What one query of the rule found on one side. Bytes.
pub struct Found {
    /// As the program was told.
    pub reported: i128,
    /// As the real function answered.
    pub free: i128,
    /// On the device, by the serving process; without the temporary pool.
    pub own: i128,
    /// On the device, by other traced processes.
    pub others: i128,
    /// The temporary pool, where it is allocated then.
    pub pool: i128,
}

/// One for each query of the rule.
pub fn found(side: &Side) -> Vec<Found> {
    let decision = &side.decision;
    let of = |weight: &crate::decision::Weight| {
        let query = side.trace.queries.get(weight.query);
        let (at, process) = query.map_or((0, 0), |query| (query.end, query.process));
        let pool = match weight.query == decision.sizing_query {
            true => i128::from(decision.temporary_pool_bytes.value),
            false => 0,
        };
        let held = |serving: bool| side.ledger.device_at(at, |process| (process == decision.process) == serving);
        let patch = match weight.source {
            Source::Driver => query.and_then(|query| side.trace.patch(process, query.n, "free")),
            // The file was read for this question, and told this.
            Source::MemAvailable => side.trace.patches.iter().find(|patch| {
                patch.process == process && patch.field == AVAILABLE && patch.reported == weight.free_bytes
            }),
        };
        let reported = i128::from(weight.free_bytes);
        let real = patch.map(|patch| i128::from(patch.real));
        Found {
            reported,
            free: real.unwrap_or(reported),
            own: i128::from(held(true)) - pool,
            others: held(false).into(),
            pool,
        }
    };
    decision.rule.free.iter().map(of).collect()
}
