//! Allocations and frees -> live bytes by owner over time.

mod instant;
mod managed;
mod physical;
mod pools;
mod ranges;
mod replay;
#[cfg(test)]
mod tests;

use crate::failure::Failure;
use crate::load::Trace;
use crate::load::events::{MemoryKind, ModuleIndex, ProcessIndex};
use instant::Instant;
pub use instant::{ByKind, Held, on_device};
use polars::prelude::*;
use replay::{Holder, Replay, Rows};
use serde::Serialize;

/// One allocation from its success to its free.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub process: ProcessIndex,
    pub module: ModuleIndex,
    pub kind: MemoryKind,
    pub size: u64,
    pub begin: u64,
    pub n: u64,
    /// Time and number of the free.
    pub end: Option<(u64, u64)>,
}

impl Span {
    pub fn live_at(&self, time: u64) -> bool {
        self.begin <= time && self.end.is_none_or(|(end, _)| end > time)
    }
}

/// Live bytes of one module and kind.
#[derive(Debug, Clone, Serialize)]
pub struct Owner {
    pub module: String,
    pub kind: &'static str,
    /// At the end of the processes that held them, or of the trace.
    pub live_bytes: u64,
    pub peak_bytes: u64,
    pub total_bytes: u64,
    pub allocations: u64,
}

#[derive(Debug, Default)]
pub struct Ledger {
    /// In order of their begin.
    pub spans: Vec<Span>,
    /// Largest peak first.
    pub owners: Vec<Owner>,
    /// Bytes on the device at the end of each process or of the trace, summed.
    pub device_live: u64,
    /// The most at an instant, all processes.
    pub device_peak: u64,
    /// What was held when each query of the trace was answered.
    pub at_queries: Vec<Held>,
    /// What each process held at its end, or at the end of the trace.
    pub ends: Vec<ByKind>,
    /// The most that each process held on the device.
    pub peaks: Vec<u64>,
    /// Frees of what was never seen allocated: another process's memory, or events that are missing.
    pub unmatched_frees: u64,
}

/// Replays the memory events of a trace.
///
/// # Errors
/// Internal, if a frame cannot be built.
pub fn replay(trace: &Trace) -> Result<Ledger, Failure> {
    let Replay { mut ledger, holders, rows, .. } = Replay::all(trace);
    ledger.owners = grouped(trace, &holders, rows)?;
    Ok(ledger)
}

impl Ledger {
    /// Bytes on the device held at `time` by the processes that `counts` names.
    pub fn device_at(&self, time: u64, counts: impl Fn(ProcessIndex) -> bool) -> u64 {
        let live = self.spans.iter().filter(|span| span.kind.on_device() && counts(span.process) && span.live_at(time));
        live.fold(0, |sum, span| sum.saturating_add(span.size))
    }

    /// How far one process rose above what it held at `to`, between `from` and `to`; bytes on the device.
    pub fn rise(&self, process: ProcessIndex, from: u64, to: u64) -> u64 {
        rise(self.spans.iter().filter(|span| span.process == process && span.kind.on_device()), from, to)
    }
}

/// How far the sum of spans rose above what it was at `to`, between `from` and `to`. Bytes.
pub fn rise<'s>(spans: impl Iterator<Item = &'s Span>, from: u64, to: u64) -> u64 {
    let mut changes: Vec<(u64, bool, u64)> = Vec::new();
    let mut live = 0u64;
    for span in spans {
        if span.live_at(from) {
            live = live.saturating_add(span.size);
        }
        if span.begin > from && span.begin <= to {
            changes.push((span.begin, true, span.size));
        }
        if let Some((end, _)) = span.end.filter(|(end, _)| *end > from && *end <= to) {
            changes.push((end, false, span.size));
        }
    }
    changes.sort_unstable();
    let mut peak = live;
    for (_, grows, size) in changes {
        live = if grows { live.saturating_add(size) } else { live.saturating_sub(size) };
        peak = peak.max(live);
    }
    peak - live
}

#[expect(deprecated, reason = "the lazy engine that replaces these triples the build")]
fn grouped(trace: &Trace, holders: &[Holder], rows: Rows) -> Result<Vec<Owner>, Failure> {
    if holders.is_empty() {
        return Ok(Vec::new());
    }
    let frame = DataFrame::new(
        rows.owner.len(),
        vec![
            Column::new("owner".into(), rows.owner),
            Column::new("size".into(), rows.size),
            Column::new("running".into(), rows.running),
        ],
    )?;
    let groups = frame.group_by_stable(["owner"])?;
    let total = groups.clone().select(["size"]).sum()?;
    let peak = groups.clone().select(["running"]).max()?;
    let count = groups.select(["size"]).count()?;
    let owner = total.column("owner")?.u32()?;
    let total = total.column("size_sum")?.u64()?;
    let peak = peak.column("running_max")?.u64()?;
    let count = count.column("size_count")?.u32()?;
    let mut list: Vec<Owner> = (0..owner.len())
        .filter_map(|row| {
            let Holder { module, kind, at_end, .. } = *holders.get(owner.get(row)? as usize)?;
            let (peak_bytes, level) = (peak.get(row)?, kind.is_level());
            Some(Owner {
                module: trace.module(module).to_owned(),
                kind: kind.name(),
                live_bytes: at_end,
                peak_bytes,
                // A level has no allocations to sum.
                total_bytes: if level { peak_bytes } else { total.get(row)? },
                allocations: if level { 0 } else { count.get(row)?.into() },
            })
        })
        .collect();
    list.sort_by(|a, b| b.peak_bytes.cmp(&a.peak_bytes).then_with(|| a.module.cmp(&b.module)));
    Ok(list)
}
