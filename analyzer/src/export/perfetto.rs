//! A trace as Chrome's JSON: counters of memory, slices of phases, instants of queries. Times in us from its begin.
//!
//! Every counter has all its changes: what thins out for a picture has no place in a tool that zooms.

use crate::decision;
use crate::failure::Failure;
use crate::history::{self, Level, What, Window};
use crate::render::escape;
use crate::{ledger, load, phases, scene};
use serde::Serialize;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::Path;

/// One event of the format.
#[derive(Serialize)]
struct Event<'e> {
    name: &'e str,
    ph: &'static str,
    /// us.
    ts: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<f64>,
    pid: u32,
    tid: u32,
    /// Whose an instant is: of its thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<&'static str>,
    args: Value,
}

/// What happens at a time.
enum Happening {
    Counter { track: usize, bytes: u64 },
    Slice { pid: u32, name: &'static str, end: u64, evidence: Option<String> },
    Instant { pid: u32, tid: u32, name: String, args: Value },
}

pub struct Timeline {
    begin: u64,
    /// Names of the counters.
    tracks: Vec<String>,
    /// In time order.
    happenings: Vec<(u64, Happening)>,
    /// Pid and name of each process; the last holds the counters.
    processes: Vec<(u32, String)>,
    about: Value,
}

impl Timeline {
    /// # Errors
    /// Those of loading, and internal if a frame cannot be built.
    pub fn of(directory: &Path) -> Result<Self, Failure> {
        let trace = load::trace(directory)?;
        let ledger = ledger::replay(&trace)?;
        let decisions = decision::decide(&trace, &ledger);
        let window = Window::whole(&trace);
        let history = history::of(&trace, &ledger, &decisions, window, usize::MAX);
        let mut timeline = Timeline {
            begin: window.begin,
            tracks: Vec::new(),
            happenings: Vec::new(),
            processes: Vec::new(),
            about: json!({
                "trace": escape::terminal(&trace.name),
                "simulated": trace.simulated(),
                "device": trace.devices.first().map(|device| escape::terminal(&device.name)),
                "kvtrace": env!("CARGO_PKG_VERSION"),
            }),
        };
        let mut held = vec![0u64; history.instants.len()];
        for band in &history.bands {
            held.iter_mut().zip(&band.levels).for_each(|(sum, level)| *sum = sum.saturating_add(*level));
        }
        let at = |levels: &[u64]| history.instants.iter().copied().zip(levels.iter().copied()).collect::<Vec<Level>>();
        timeline.counter("device: held by traced processes".into(), &at(&held));
        for band in &history.bands {
            let name = match &band.what {
                What::KvCache => "KV cache".into(),
                what => format!("device: {}", what.name()),
            };
            timeline.counter(name, &at(&band.levels));
        }
        timeline.counter("device: free as told".into(), &history.told);
        timeline.counter("machine: MemFree".into(), &history.mem_free);
        timeline.counter("machine: page cache".into(), &history.page_cache);
        for phase in phases::of(&trace, &decisions) {
            let phases::Phase { pid, name, begin, end, evidence, .. } = phase;
            timeline.happenings.push((begin, Happening::Slice { pid, name, end, evidence }));
        }
        for (at, query) in trace.queries.iter().enumerate() {
            let sizes = decisions.iter().any(|decision| decision.sizing_query == at);
            let function = scene::function(query);
            timeline.happenings.push((
                query.end,
                Happening::Instant {
                    pid: trace.processes.get(query.process as usize).map_or(0, |process| process.pid),
                    tid: query.tid,
                    name: if sizes { format!("{function}: sizes the KV cache") } else { function },
                    args: json!({
                        "evidence": trace.evidence(query.process, query.n),
                        "free_bytes": query.free,
                        "total_bytes": query.total,
                        "device": query.dev,
                    }),
                },
            ));
        }
        for read in &trace.reads {
            let pid = trace.processes.get(read.process as usize).map_or(0, |process| process.pid);
            let args = json!({ "evidence": trace.evidence(read.process, read.n) });
            let name = format!("opens {}", read.path);
            timeline.happenings.push((read.at, Happening::Instant { pid, tid: pid, name, args }));
        }
        timeline.happenings.sort_by_key(|(at, _)| *at);
        timeline.processes = trace.processes.iter().map(|process| (process.pid, process.exe.clone())).collect();
        let last = trace.processes.iter().map(|process| process.pid).max().unwrap_or(0);
        let name = if trace.simulated() { "GPU (simulated) and machine" } else { "GPU and machine" };
        timeline.processes.push((last.saturating_add(1), name.into()));
        Ok(timeline)
    }

    /// Changes only.
    fn counter(&mut self, name: String, levels: &[Level]) {
        if levels.is_empty() {
            return;
        }
        self.tracks.push(name);
        let track = self.tracks.len() - 1;
        let mut last = None;
        for (at, bytes) in levels.iter().copied().filter(|(at, _)| *at >= self.begin) {
            if last.replace(bytes) != Some(bytes) {
                self.happenings.push((at, Happening::Counter { track, bytes }));
            }
        }
    }

    /// As one object, an event a line.
    ///
    /// # Errors
    /// Of the writer.
    pub fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        write!(to, "{{\"displayTimeUnit\":\"ns\",\"otherData\":{},\"traceEvents\":[", self.about)?;
        let counters = self.processes.last().map_or(0, |(pid, _)| *pid);
        let mut is_first = true;
        let mut put = |event: &Event| -> io::Result<()> {
            to.write_all(if std::mem::take(&mut is_first) { b"\n" } else { b",\n" })?;
            serde_json::to_writer(&mut *to, event).map_err(io::Error::from)
        };
        for (pid, name) in &self.processes {
            let args = json!({ "name": escape::terminal(name) });
            put(&self.event("process_name", "M", self.begin, *pid, *pid, args))?;
        }
        for (at, happening) in &self.happenings {
            match happening {
                Happening::Counter { track, bytes } => {
                    let name = escape::terminal(&self.tracks[*track]);
                    put(&self.event(&name, "C", *at, counters, counters, json!({ "bytes": bytes })))?;
                }
                Happening::Slice { pid, name, end, evidence } => {
                    let slice = self.event(name, "X", *at, *pid, *pid, json!({ "ends_with": evidence }));
                    put(&Event { dur: Some(end.saturating_sub(*at) as f64 / 1e3), ..slice })?;
                }
                Happening::Instant { pid, tid, name, args } => {
                    let name = escape::terminal(name);
                    put(&Event { s: Some("t"), ..self.event(&name, "i", *at, *pid, *tid, args.clone()) })?;
                }
            }
        }
        to.write_all(b"\n]}\n")
    }

    fn event<'e>(&self, name: &'e str, ph: &'static str, at: u64, pid: u32, tid: u32, args: Value) -> Event<'e> {
        let ts = at.saturating_sub(self.begin) as f64 / 1e3;
        Event { name, ph, ts, dur: None, pid, tid, s: None, args }
    }
}
