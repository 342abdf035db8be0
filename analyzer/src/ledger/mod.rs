//! Allocations and frees -> live bytes by owner over time.

mod replay;

use crate::failure::Failure;
use crate::load::Trace;
use crate::load::events::{MemoryKind, ModuleIndex, ProcessIndex};
use polars::prelude::*;
use replay::{Replay, Rows};
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
    /// Live bytes on the device at the end and at most, all processes.
    pub device_live: u64,
    pub device_peak: u64,
    /// Frees of what was never seen allocated: another process's memory, or events that are missing.
    pub unmatched_frees: u64,
}

/// Replays the memory events of a trace.
///
/// # Errors
/// Internal, if a frame cannot be built.
pub fn replay(trace: &Trace) -> Result<Ledger, Failure> {
    let Replay { mut ledger, owners, rows, .. } = Replay::all(trace);
    ledger.owners = grouped(trace, &owners, rows)?;
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
        let mine = || self.spans.iter().filter(|span| span.process == process && span.kind.on_device());
        let mut changes: Vec<(u64, bool, u64)> = Vec::new();
        let mut live = 0u64;
        for span in mine() {
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
}

#[expect(deprecated, reason = "the lazy engine that replaces these triples the build")]
fn grouped(trace: &Trace, owners: &[(ModuleIndex, MemoryKind, u64)], rows: Rows) -> Result<Vec<Owner>, Failure> {
    if owners.is_empty() {
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
            let (module, kind, live) = *owners.get(owner.get(row)? as usize)?;
            Some(Owner {
                module: trace.module(module).to_owned(),
                kind: kind.name(),
                live_bytes: live,
                peak_bytes: peak.get(row)?,
                total_bytes: total.get(row)?,
                allocations: count.get(row)?.into(),
            })
        })
        .collect();
    list.sort_by(|a, b| b.peak_bytes.cmp(&a.peak_bytes).then_with(|| a.module.cmp(&b.module)));
    Ok(list)
}
