//! Whose pages the page cache holds at a query.

use crate::decision::Decision;
use crate::load::Trace;
use crate::load::events::{Query, WeightFile};
use crate::load::machine::Missing;
use crate::load::weights::{Beside, Reading};
use serde::Serialize;
use std::collections::BTreeMap;

/// The page cache beside one query, taken apart. Bytes. The parts sum to the total, unless a note says otherwise.
#[derive(Debug, Serialize)]
pub struct PageCache {
    /// The query.
    pub of: String,
    /// The view that the total comes from.
    pub evidence: String,
    /// `Cached` + `Buffers`.
    pub total_bytes: u64,
    pub buffers_bytes: u64,
    /// Memory files and shared memory, which count as cached.
    pub shared_bytes: u64,
    /// Of the files below.
    pub weights_bytes: u64,
    pub weights_size_bytes: u64,
    /// The line that has their sum.
    pub weights_evidence: Option<String>,
    pub files: Vec<CachedFile>,
    /// The other files that the process had mapped.
    pub libraries: Option<CachedGroup>,
    /// What is left.
    pub other_bytes: u64,
    /// What limits the answer.
    pub notes: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct CachedFile {
    pub path: String,
    pub format: String,
    pub size_bytes: u64,
    /// When a process of the trace first opened it.
    pub at_open: Option<CachedAt>,
    /// At the query before.
    pub before: Option<CachedAt>,
    /// At this query, or last before it.
    pub now: Option<CachedAt>,
    /// Pids of the processes that opened it.
    pub opened_by: Vec<u32>,
}

#[derive(Debug, Clone, Serialize)]
pub struct CachedAt {
    pub cached_bytes: u64,
    /// What was there and is not any more, where the kernel tells.
    pub evicted_bytes: Option<u64>,
    /// `cachestat` or `mincore`.
    pub by: String,
    pub evidence: String,
    /// Whether it was read beside this very query.
    pub is_of_query: bool,
}

#[derive(Debug, Serialize)]
pub struct CachedGroup {
    pub files: u64,
    pub size_bytes: u64,
    pub cached_bytes: u64,
    pub evidence: String,
    pub is_of_query: bool,
}

/// At the sizing query of each decision; where there is none, at the last query that has readings.
pub fn of_decisions(trace: &Trace, decisions: &[Decision]) -> Vec<PageCache> {
    let mut queries: Vec<&Query> = decisions.iter().filter_map(|made| trace.queries.get(made.sizing_query)).collect();
    if decisions.is_empty() {
        queries.extend(trace.queries.iter().rev().find(|query| query.view.is_some()));
    }
    queries.into_iter().filter_map(|query| of(trace, query)).collect()
}

/// At one query; `None` where there is no view, or no reading to take it apart.
pub fn of(trace: &Trace, query: &Query) -> Option<PageCache> {
    let view = trace.views.get(query.view?)?;
    let figure = |name: &str| view.meminfo.get(name).copied();
    let (cached, buffers) = (figure("Cached")?, figure("Buffers").unwrap_or(0));
    let shared = figure("Shmem").unwrap_or(0).min(cached);
    let mut notes = Vec::new();
    let process = trace.processes.get(query.process as usize)?;
    let is_here = |file: &&WeightFile| file.host == process.host;
    let total = total(trace, query);
    let row = |file| row(trace, file, query, total.is_some());
    let mut files: Vec<_> = trace.weights.files.iter().filter(is_here).map(row).collect();
    let libraries = libraries(trace, query);
    if files.is_empty() && libraries.is_none() {
        return None;
    }
    if is_ambiguous(trace) {
        let text = "one file has several device numbers, as in several containers: whose pages are whose is not told";
        notes.push(text.into());
        files.clear();
    }
    let sum = |of: fn(&CachedFile) -> u64| files.iter().fold(0u64, |sum, file| sum.saturating_add(of(file)));
    let weights = sum(|file| file.now.as_ref().map_or(0, |now| now.cached_bytes));
    let mapped = libraries.as_ref().map_or(0, |group| group.cached_bytes);
    let plain = cached - shared;
    let known = weights.saturating_add(mapped);
    if known > plain {
        notes.push("the parts are more than the whole: they were read at other moments".into());
    }
    if files.iter().filter_map(|file| file.now.as_ref()).any(|now| !now.is_of_query) {
        notes.push("some files were last looked at before this query".into());
    }
    let unread = files.iter().filter(|file| file.now.is_none()).count();
    if unread > 0 {
        notes.push(format!("how much of {unread} of the files was in it is not known"));
    }
    for Missing { process, n, source, reason, .. } in trace.seen.missing.iter().filter(|it| it.what == "cached") {
        let evidence = trace.evidence(*process, *n);
        let source = if source.is_empty() { "libraries" } else { source };
        notes.push(format!("{evidence}: the kernel does not tell of {source} ({reason}: it may not be written to)"));
    }
    Some(PageCache {
        of: trace.evidence(query.process, query.n),
        evidence: trace.evidence(view.process, view.n),
        total_bytes: cached.saturating_add(buffers),
        buffers_bytes: buffers,
        shared_bytes: shared,
        weights_bytes: weights,
        weights_size_bytes: sum(|file| file.size_bytes),
        weights_evidence: total.map(|reading| trace.evidence(reading.process, reading.n)),
        files,
        libraries,
        other_bytes: plain.saturating_sub(known),
        notes,
    })
}

/// Whether two files may be one, seen from two sides.
fn is_ambiguous(trace: &Trace) -> bool {
    let mut devices = BTreeMap::new();
    trace.weights.files.iter().any(|file| {
        let same = (file.host.as_str(), file.inode, file.size, file.mtime);
        *devices.entry(same).or_insert(file.device) != file.device
    })
}

/// The line that says how much of all files of the query's process was cached. Of a file that has not changed since
/// it was last told of there is no line beside the query: if the last lines sum to the total, they still hold.
fn total<'t>(trace: &'t Trace, query: &Query) -> Option<&'t Reading> {
    let total = trace.weights.totals.iter().find(|reading| is_of(reading, query))?;
    let own = trace.weights.files.iter().filter_map(|file| latest_own(&file.readings, query));
    let sum = own.fold(0u64, |sum, reading| sum.saturating_add(reading.cached));
    (sum == total.cached).then_some(total)
}

fn row(trace: &Trace, file: &WeightFile, query: &Query, is_total: bool) -> CachedFile {
    let at = |reading: &Reading| CachedAt {
        cached_bytes: reading.cached,
        evicted_bytes: reading.evicted,
        by: reading.by.clone(),
        evidence: trace.evidence(reading.process, reading.n),
        is_of_query: is_of(reading, query) || is_total && reading.process == query.process,
    };
    let own = latest_own(&file.readings, query).filter(|reading| is_total || is_of(reading, query));
    let now = own.or_else(|| file.readings.iter().rev().find(|reading| reading.at <= query.end));
    let before = file.readings.iter().rev().find(|reading| {
        matches!(reading.beside, Beside::Query(_)) && !is_of(reading, query) && reading.at < query.begin
    });
    let mut opened_by: Vec<u32> = file.openings.iter().map(|opening| pid(trace, opening.process)).collect();
    opened_by.dedup();
    CachedFile {
        path: file.path.clone(),
        format: file.format.clone(),
        size_bytes: file.size,
        at_open: file.readings.iter().find(|reading| reading.beside == Beside::Opening).map(at),
        before: before.map(at),
        now: now.map(at),
        opened_by,
    }
}

fn is_of(reading: &Reading, query: &Query) -> bool {
    reading.process == query.process && reading.beside == Beside::Query(query.n)
}

/// By the process that asked: the reading beside the query, which was made just after it, else the last before it.
fn latest_own<'r>(readings: &'r [Reading], query: &Query) -> Option<&'r Reading> {
    let mut own = readings.iter().rev().filter(|reading| reading.process == query.process);
    own.clone().find(|reading| is_of(reading, query)).or_else(|| own.find(|reading| reading.at <= query.end))
}

fn libraries(trace: &Trace, query: &Query) -> Option<CachedGroup> {
    latest_own(&trace.weights.libraries, query).map(|reading| CachedGroup {
        files: reading.files,
        size_bytes: reading.size,
        cached_bytes: reading.cached,
        evidence: trace.evidence(reading.process, reading.n),
        is_of_query: is_of(reading, query),
    })
}

fn pid(trace: &Trace, process: u32) -> u32 {
    trace.processes.get(process as usize).map_or(0, |process| process.pid)
}
