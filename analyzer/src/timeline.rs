//! What `kvtrace run --sample` saw, thinned to what a person reads, with the queries between.

use crate::decision::Decision;
use crate::ledger::Ledger;
use crate::load::Trace;
use crate::load::machine::Sample;
use serde::Serialize;
use std::collections::BTreeMap;

/// Rows of the table.
const ROWS: usize = 16;

#[derive(Debug, Serialize)]
pub struct Timeline {
    pub samples: usize,
    /// Steps of equal length; each shows its last sample.
    pub steps: Vec<Step>,
    /// Every sample.
    pub all: Vec<Point>,
}

#[derive(Debug, Serialize)]
pub struct Step {
    /// CLOCK_MONOTONIC of the last sample, or of the first query where there is none, ns.
    #[serde(skip)]
    at: u64,
    /// Of the last sample, since the first header of the trace.
    pub seconds: f64,
    pub mem_free_bytes: Option<u64>,
    /// The least in the step.
    pub least_free_bytes: Option<u64>,
    /// Cached + Buffers.
    pub page_cache_bytes: Option<u64>,
    /// Of the last query in the step that was told.
    pub gpu_free_bytes: Option<u64>,
    /// On the device, by all processes of the trace.
    pub device_live_bytes: u64,
    /// Of the tree: anonymous, file and shared pages. Shared pages count once for each process.
    pub rss_bytes: u64,
    pub processes: u32,
    /// Path that the user named -> bytes in the page cache.
    pub named_files: BTreeMap<String, u64>,
    pub queries: usize,
    /// `A`, `B sized the KV cache`: the queries of a decision in this step.
    pub marks: Vec<String>,
}

/// One sample.
#[derive(Debug, Serialize)]
pub struct Point {
    pub evidence: String,
    pub seconds: f64,
    pub meminfo: BTreeMap<String, u64>,
    pub processes: u32,
    pub rss: BTreeMap<String, u64>,
    pub cgroup_path: String,
    pub cgroup: BTreeMap<String, u64>,
    /// By the path that the user named.
    pub named_files: BTreeMap<String, Named>,
}

/// Files that the user named. Bytes.
#[derive(Debug, Serialize)]
pub struct Named {
    pub files: u64,
    pub size_bytes: u64,
    pub cached_bytes: u64,
}

/// Nothing where nothing was sampled.
pub fn of(
    trace: &Trace,
    ledger: &Ledger,
    decisions: &[Decision],
    role: impl Fn(usize) -> &'static str,
) -> Option<Timeline> {
    let samples = &trace.seen.samples;
    let (first, last) = (samples.first()?, samples.last()?);
    let begin = trace.processes.iter().map(|process| process.begin).min().unwrap_or(0);
    let seconds = |at: u64| at.saturating_sub(begin) as f64 / 1e9;
    // Queries before the first sample and behind the last have a place too.
    let asked = trace.queries.iter().map(|query| query.end);
    let from = asked.clone().chain([first.at]).min().unwrap_or(0);
    let until = asked.chain([last.at]).max().unwrap_or(0);
    let length = (until.saturating_sub(from) / ROWS as u64).saturating_add(1);
    let step_of = |at: u64| (at.saturating_sub(from) / length) as usize;
    let mut steps: BTreeMap<usize, Step> = BTreeMap::new();
    for sample in samples {
        let step = steps.entry(step_of(sample.at)).or_insert_with(Step::empty);
        let free = sample.meminfo.get("MemFree").copied();
        step.least_free_bytes = step.least_free_bytes.into_iter().chain(free).min();
        step.seconds = seconds(sample.at);
        step.mem_free_bytes = free;
        step.page_cache_bytes = page_cache(sample);
        step.rss_bytes = sample.own.values().fold(0, |sum, bytes| sum.saturating_add(*bytes));
        step.processes = sample.processes;
        step.at = sample.at;
    }
    for files in &trace.seen.named_files {
        if let Some(step) = steps.get_mut(&step_of(files.at)) {
            step.named_files.insert(files.group.clone(), files.cached);
        }
    }
    for (at, query) in trace.queries.iter().enumerate() {
        let step = steps.entry(step_of(query.end)).or_insert_with(Step::empty);
        step.queries += 1;
        step.gpu_free_bytes = query.free.filter(|_| query.dev >= 0).or(step.gpu_free_bytes);
        if step.at == 0 {
            (step.seconds, step.at) = (seconds(query.end), query.end);
        }
        let role = role(at);
        if !role.is_empty() {
            let sizes = decisions.iter().any(|decision| decision.sizing_query == at);
            let what = if sizes { " sized the KV cache" } else { "" };
            step.marks.push(format!("{role}{what}"));
        }
    }
    for step in steps.values_mut() {
        step.device_live_bytes = ledger.device_at(step.at, |_| true);
    }
    let all = samples.iter().map(|sample| Point {
        evidence: trace.evidence(sample.process, sample.n),
        seconds: seconds(sample.at),
        meminfo: sample.meminfo.clone(),
        processes: sample.processes,
        rss: sample.own.clone(),
        cgroup_path: sample.cgroup_path.clone(),
        cgroup: sample.cgroup.clone(),
        named_files: BTreeMap::new(),
    });
    let mut all: Vec<Point> = all.collect();
    for files in &trace.seen.named_files {
        // They are written just behind their sample.
        let at = samples.partition_point(|sample| (sample.at, sample.n) <= (files.at, files.n));
        if let Some(point) = at.checked_sub(1).and_then(|at| all.get_mut(at)) {
            let named = Named { files: files.files, size_bytes: files.size, cached_bytes: files.cached };
            point.named_files.insert(files.group.clone(), named);
        }
    }
    Some(Timeline { samples: samples.len(), steps: steps.into_values().collect(), all })
}

fn page_cache(sample: &Sample) -> Option<u64> {
    Some(sample.meminfo.get("Cached")?.saturating_add(*sample.meminfo.get("Buffers")?))
}

impl Step {
    fn empty() -> Self {
        Step {
            at: 0,
            seconds: 0.0,
            mem_free_bytes: None,
            least_free_bytes: None,
            page_cache_bytes: None,
            gpu_free_bytes: None,
            device_live_bytes: 0,
            rss_bytes: 0,
            processes: 0,
            named_files: BTreeMap::new(),
            queries: 0,
            marks: Vec::new(),
        }
    }
}
