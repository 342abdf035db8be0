//! Memory over the time of a run: who held how much of the device, what the program was told, what the machine had.
//!
//! A trace has millions of changes and a reader's eye a few hundred. What is left out never hides a peak: of each
//! stretch of time the instant with the most on the device is kept, and the last.

use crate::decision::Decision;
use crate::ledger::{Ledger, Span};
use crate::load::Trace;
use crate::load::events::{MemoryKind, ModuleIndex};
use crate::phases::Phase;
use crate::render::show::file_name;
use std::collections::{BTreeMap, HashMap};

/// Owners with a band of their own; the others share one.
const OWNERS: usize = 5;

/// When, ns of CLOCK_MONOTONIC, and how much, bytes.
pub type Level = (u64, u64);

/// Over time, ns of CLOCK_MONOTONIC; bytes.
#[derive(Debug)]
pub struct History {
    /// When the levels change. Each holds until the next.
    pub instants: Vec<u64>,
    /// The KV cache first, if it is known which memory it is.
    pub bands: Vec<Band>,
    /// What the programs were told about the device that sized the KV cache.
    pub told: Vec<Level>,
    pub mem_free: Vec<Level>,
    /// Cached + Buffers.
    pub page_cache: Vec<Level>,
}

/// Device memory of one owner.
#[derive(Debug)]
pub struct Band {
    pub what: What,
    /// At each instant.
    pub levels: Vec<u64>,
    pub most: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum What {
    KvCache,
    TemporaryPool,
    /// Module and kind, as in the table of owners.
    Owner(String, &'static str),
    Others,
}

impl What {
    pub fn name(&self) -> String {
        match self {
            What::KvCache => "KV cache".into(),
            What::TemporaryPool => "temporary KV pool".into(),
            What::Owner(module, kind) => format!("{} ({kind})", file_name(module)),
            What::Others => "others".into(),
        }
    }
}

/// A stretch of time, ns of CLOCK_MONOTONIC.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    pub begin: u64,
    pub end: u64,
    /// Whether the trace goes on.
    pub is_cut: bool,
}

impl Window {
    /// All of a trace.
    pub fn whole(trace: &Trace) -> Self {
        let begin = trace.processes.iter().map(|process| process.begin).min().unwrap_or(0);
        // A call ends behind the time of its line.
        let calls = trace.memory.last().map(|event| event.at).into_iter().chain(trace.queries.iter().map(|it| it.end));
        let end = trace.processes.iter().map(|process| process.last).chain(calls).max().unwrap_or(0).max(begin + 1);
        Window { begin, end, is_cut: false }
    }

    /// Until the KV cache is there and some time on: a server that serves for days would leave no room for its start.
    pub fn of_start(trace: &Trace, phases: &[Phase]) -> Self {
        let whole = Window::whole(trace);
        let sized = phases.iter().filter(|phase| phase.evidence.is_some()).map(|phase| phase.end).max();
        let start = sized.unwrap_or(whole.end).saturating_sub(whole.begin);
        let end = whole.begin.saturating_add(start.saturating_mul(3) / 2).max(whole.begin + 1);
        if end < whole.end && whole.end - whole.begin > start.saturating_mul(4) {
            return Window { end, is_cut: true, ..whole };
        }
        whole
    }
}

/// Within a stretch of time, with at most about `points` instants in each line.
pub fn of(trace: &Trace, ledger: &Ledger, decisions: &[Decision], window: Window, points: usize) -> History {
    let Window { begin, end, .. } = window;
    let time = Time { begin, end, points };
    let device = decisions.first().and_then(|decision| trace.queries.get(decision.sizing_query)).map(|query| query.dev);
    let told = trace.queries.iter().filter(|query| query.dev >= 0 && device.is_none_or(|device| query.dev == device));
    let told = told.filter_map(|query| Some((query.end, query.free?))).filter(|(at, _)| *at <= end).collect();
    let (mem_free, page_cache) = machine(trace, end);
    let (instants, bands) = levels(trace, ledger, decisions, &time);
    History { instants, bands, told: time.thin(told), mem_free: time.thin(mem_free), page_cache: time.thin(page_cache) }
}

/// From samples where there are any, else from the views beside queries.
fn machine(trace: &Trace, end: u64) -> (Vec<Level>, Vec<Level>) {
    let samples = trace.seen.samples.iter().map(|sample| (sample.at, &sample.meminfo));
    let views = trace.views.iter().map(|view| (view.at, &view.meminfo));
    let mut seen: Vec<_> = if trace.seen.samples.is_empty() { views.collect() } else { samples.collect() };
    seen.retain(|(at, _)| *at <= end);
    seen.sort_by_key(|(at, _)| *at);
    let line = |of: fn(&BTreeMap<String, u64>) -> Option<u64>| {
        seen.iter().filter_map(|(at, meminfo)| Some((*at, of(meminfo)?))).collect()
    };
    let page_cache = |meminfo: &BTreeMap<String, u64>| {
        Some(meminfo.get("Cached")?.saturating_add(meminfo.get("Buffers").copied().unwrap_or(0)))
    };
    (line(|meminfo| meminfo.get("MemFree").copied()), line(page_cache))
}

/// One step up or down of a band.
struct Change {
    at: u64,
    rises: bool,
    band: usize,
    bytes: u64,
}

fn levels(trace: &Trace, ledger: &Ledger, decisions: &[Decision], time: &Time) -> (Vec<u64>, Vec<Band>) {
    let is_on_device = |span: &&Span| span.kind.on_device() && span.size > 0 && span.begin <= time.end;
    let names = Names::of(trace, ledger, decisions);
    let mut changes = Vec::new();
    for span in ledger.spans.iter().filter(is_on_device) {
        let (band, bytes) = (names.band(trace, span), span.size);
        changes.push(Change { at: span.begin, rises: true, band, bytes });
        changes.extend(span.end.filter(|(at, _)| *at <= time.end).map(|(at, _)| Change {
            at,
            rises: false,
            band,
            bytes,
        }));
    }
    // Down before up, so that memory which passes from one to another is not counted twice.
    changes.sort_by_key(|change| (change.at, change.rises));
    let kept = kept(&changes, time);
    let mut bands: Vec<Band> =
        names.list.into_iter().map(|what| Band { what, levels: Vec::with_capacity(kept.len()), most: 0 }).collect();
    let mut now = vec![0u64; bands.len()];
    let mut changes = changes.into_iter().peekable();
    for at in &kept {
        while let Some(change) = changes.next_if(|change| change.at <= *at) {
            let level = &mut now[change.band];
            *level = if change.rises { level.saturating_add(change.bytes) } else { level.saturating_sub(change.bytes) };
        }
        for (band, level) in bands.iter_mut().zip(&now) {
            band.levels.push(*level);
            band.most = band.most.max(*level);
        }
    }
    bands.retain(|band| band.most > 0);
    (kept, bands)
}

/// The instants to show: of each stretch of time the one with the most on the device and the last, or all.
fn kept(changes: &[Change], time: &Time) -> Vec<u64> {
    // (stretch, most, when, last)
    let mut stretches: Vec<(usize, u64, u64, u64)> = Vec::new();
    let mut all = vec![time.begin];
    let mut total = 0u64;
    for instant in changes.chunk_by(|a, b| a.at == b.at) {
        for change in instant {
            total = if change.rises { total.saturating_add(change.bytes) } else { total.saturating_sub(change.bytes) };
        }
        let Some(at) = instant.first().map(|change| change.at) else { continue };
        if all.len() <= time.points {
            all.push(at);
        }
        match stretches.last_mut().filter(|stretch| stretch.0 == time.stretch(at)) {
            Some(stretch) => {
                if total > stretch.1 {
                    (stretch.1, stretch.2) = (total, at);
                }
                stretch.3 = at;
            }
            None => stretches.push((time.stretch(at), total, at, at)),
        }
    }
    if all.len() > time.points {
        all = [time.begin].into_iter().chain(stretches.iter().flat_map(|(_, _, most, last)| [*most, *last])).collect();
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// Which spans belong to which band.
struct Names {
    list: Vec<What>,
    owners: HashMap<(ModuleIndex, MemoryKind), usize>,
    /// Pid and number of the allocation.
    pools: HashMap<(u32, u64), usize>,
}

impl Names {
    fn of(trace: &Trace, ledger: &Ledger, decisions: &[Decision]) -> Self {
        let mut names = Names { list: Vec::new(), owners: HashMap::new(), pools: HashMap::new() };
        names.list.extend([What::KvCache, What::TemporaryPool]);
        for decision in decisions {
            let pools = [&decision.final_pool_bytes.evidence, &decision.temporary_pool_bytes.evidence];
            for (band, evidence) in pools.into_iter().enumerate() {
                let numbers = evidence.iter().filter_map(|name| name.split_once(':'));
                let numbers = numbers.filter_map(|(pid, n)| Some((pid.parse().ok()?, n.parse().ok()?)));
                numbers.for_each(|number| {
                    names.pools.entry(number).or_insert(band);
                });
            }
        }
        let on_device = ledger.owners.iter().filter(|owner| MemoryKind::of(owner.kind).on_device());
        for owner in on_device.take(OWNERS) {
            names.list.push(What::Owner(owner.module.clone(), owner.kind));
            let module = trace.modules.iter().position(|module| *module == owner.module).unwrap_or(0);
            names.owners.insert((module as ModuleIndex, MemoryKind::of(owner.kind)), names.list.len() - 1);
        }
        names.list.push(What::Others);
        names
    }

    fn band(&self, trace: &Trace, span: &Span) -> usize {
        let pid = trace.processes.get(span.process as usize).map_or(0, |process| process.pid);
        let owner = || self.owners.get(&(span.module, span.kind)).copied().unwrap_or(self.list.len() - 1);
        self.pools.get(&(pid, span.n)).copied().unwrap_or_else(owner)
    }
}

struct Time {
    begin: u64,
    end: u64,
    points: usize,
}

impl Time {
    /// Half as many as points: each gives up to two.
    fn stretch(&self, at: u64) -> usize {
        let stretches = (self.points / 2).max(1) as u128;
        let whole = u128::from(self.end - self.begin).max(1);
        (u128::from(at.saturating_sub(self.begin)) * stretches / whole) as usize
    }

    /// Of each stretch the least and the last, if there are more than enough: what is free is short when it is least.
    fn thin(&self, line: Vec<Level>) -> Vec<Level> {
        if line.len() <= self.points {
            return line;
        }
        let mut thin: Vec<Level> = Vec::new();
        for stretch in line.chunk_by(|a, b| self.stretch(a.0) == self.stretch(b.0)) {
            let least = stretch.iter().min_by_key(|(_, bytes)| *bytes);
            thin.extend(least.into_iter().chain(stretch.last()));
        }
        thin.dedup();
        thin
    }
}
