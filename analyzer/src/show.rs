//! One trace -> what `kvtrace show` answers.

mod rows;

pub use rows::{DeviceRow, EvictionRow, FileRow, Machine, ProcessRow, QueryRow};

use crate::attribution::{self, Attribution};
use crate::decision::{self, Decision};
use crate::facts::{self, Facts};
use crate::failure::Failure;
use crate::ledger::{self, Ledger, Owner};
use crate::load::events::{Device, Eviction, FileRead, Query, Trace, View};
use crate::model::{self, Model};
use crate::page_cache::{self, PageCache};
use crate::phases::{self, Phase};
use crate::plan::{self, Held};
use crate::render::Format;
use crate::scene::{self, Scene};
use crate::symbols::{Places, Symbols};
use crate::timeline::{self, Timeline};
use crate::verdicts::{self, Finding};
use serde::Serialize;
use std::path::PathBuf;

/// What the user wants to see.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Trace directory
    pub trace: PathBuf,
    /// Explain this query instead of the one that sized the KV cache; PID:N as in the tables
    #[arg(long, value_name = "PID:N")]
    pub query: Option<String>,
    /// Show all queries, the whole stack, all verdicts, all facts and the libraries
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub places: Places,
    /// How to write it; json has everything, in bytes
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

impl Options {
    /// Of a trace, with everything else as by default.
    pub fn of(trace: PathBuf) -> Self {
        Options { trace, query: None, all: false, places: Places::default(), format: Format::Table }
    }
}

#[derive(Debug, Serialize)]
pub struct Show {
    pub trace: String,
    pub label: String,
    pub simulated: bool,
    /// The rules by which programs were told other figures than the real ones.
    pub patched: Vec<String>,
    pub integrated: Option<bool>,
    pub device: Option<String>,
    pub devices: Vec<DeviceRow>,
    pub decisions: Vec<Decision>,
    /// Where the device's memory went, for each decision that tells.
    pub attributions: Vec<Attribution>,
    /// What made the largest cache as small as it is, each hypothesis with what the evidence says.
    pub verdicts: Vec<Finding>,
    pub processes: Vec<ProcessRow>,
    /// The query that sized the KV cache, of each decision; without one the last query about a GPU; or the one that was
    /// asked for.
    pub scenes: Vec<Scene>,
    pub timeline: Option<Timeline>,
    /// Of each decision.
    pub phases: Vec<Phase>,
    /// Of each decision whose tokens are known.
    pub capacities: Vec<Held>,
    pub facts: Facts,
    pub queries: Vec<QueryRow>,
    pub files: Vec<FileRow>,
    /// Absent where no file of weights was seen.
    pub model: Option<Model>,
    /// At each decision, or at the last query that tells.
    /// Page cache of weights that was given back before questions.
    pub evictions: Vec<EvictionRow>,
    pub page_caches: Vec<PageCache>,
    pub owners: Vec<Owner>,
    /// At the end of each process or of the trace, summed.
    pub device_live_bytes: u64,
    pub device_peak_bytes: u64,
    pub unmatched_frees: u64,
    pub events: u64,
    pub dropped: u64,
    pub exits: Vec<String>,
    pub problems: Vec<String>,
    pub more_problems: u64,
}

/// Builds the answer.
///
/// # Errors
/// Internal, if a frame cannot be built; input, if there is no such query.
pub fn show(trace: &Trace, options: &Options) -> Result<Show, Failure> {
    let ledger = ledger::replay(trace)?;
    let decisions = decision::decide(trace, &ledger);
    let wanted = match &options.query {
        Some(name) => vec![find(trace, name)?],
        None if decisions.is_empty() => trace.queries.iter().rposition(|query| query.dev >= 0).into_iter().collect(),
        None => decisions.iter().map(|decision| decision.sizing_query).collect(),
    };
    let symbols = Symbols::of(trace, &options.places);
    Ok(assemble(trace, ledger, decisions, &symbols, &wanted))
}

/// The query of that name.
fn find(trace: &Trace, name: &str) -> Result<usize, Failure> {
    let found = trace.queries.iter().position(|query| trace.evidence(query.process, query.n) == name);
    found.ok_or_else(|| {
        Failure::input(
            format!("{}: no query {name}", trace.name),
            "`kvtrace show --all` lists the queries, under EVIDENCE",
        )
    })
}

/// Why a trace does not answer, as far as it shows.
pub fn no_decision(trace: &Trace) -> Failure {
    let name = &trace.name;
    if trace.processes.iter().all(|process| process.launcher) {
        return Failure::no_answer(
            format!("{name}: no traced process asked for memory"),
            "check that the program uses a GPU and is not statically linked",
        );
    }
    let hint = match (trace.queries.is_empty(), trace.memory.is_empty()) {
        (true, true) => {
            "the trace holds neither a memory query nor a device allocation: trace the server from its start"
        }
        (true, false) => "the trace holds allocations but no memory query: trace the server from its start",
        (false, true) => {
            "the trace holds memory queries but no device allocation: let the server come up before it ends"
        }
        (false, false) => {
            "no runtime's order of calls was recognised: let the server come up before it ends, and trace it with \
             `kvtrace run`, which keeps its log lines"
        }
    };
    Failure::no_answer(format!("{name}: no KV cache was sized in this trace"), hint)
}

/// The view as a row.
pub fn machine(trace: &Trace, view: &View) -> Machine {
    let memory = |name: &str| view.meminfo.get(name).copied();
    let cgroup = |names: [&str; 2]| names.iter().find_map(|name| view.cgroup.get(*name).copied());
    Machine {
        evidence: trace.evidence(view.process, view.n),
        mem_free_bytes: memory("MemFree"),
        mem_available_bytes: memory("MemAvailable"),
        cached_bytes: memory("Cached"),
        cgroup_path: view.cgroup_path.clone(),
        cgroup_max_bytes: cgroup(["max", "limit_in_bytes"]),
        cgroup_current_bytes: cgroup(["current", "usage_in_bytes"]),
    }
}

fn eviction_row(trace: &Trace, eviction: &Eviction) -> EvictionRow {
    EvictionRow {
        evidence: trace.evidence(eviction.process, eviction.n),
        files: eviction.files,
        cached_bytes: eviction.cached,
        left_bytes: eviction.left,
        skipped: eviction.skipped,
    }
}

fn assemble(trace: &Trace, ledger: Ledger, decisions: Vec<Decision>, symbols: &Symbols, wanted: &[usize]) -> Show {
    let role = |at: usize| role(trace, &decisions, at);
    let scene = |at: &usize| {
        let held = ledger.at_queries.get(*at).copied().unwrap_or_default();
        scene::of(trace, symbols, *at, held, role(*at))
    };
    let mut labels = trace.processes.iter().map(|process| &process.label);
    let begin = trace.processes.iter().map(|process| process.begin).min().unwrap_or(0);
    let queries = trace.queries.iter().enumerate();
    Show {
        trace: trace.name.clone(),
        label: labels.find(|label| !label.is_empty()).cloned().unwrap_or_default(),
        simulated: trace.simulated(),
        patched: trace.patched(),
        integrated: trace.integrated(),
        device: trace.devices.first().map(|device| device.name.clone()),
        devices: trace.devices.iter().map(|device| device_row(trace, device)).collect(),
        attributions: decisions.iter().filter_map(|made| attribution::of(trace, &ledger, made)).collect(),
        verdicts: match decisions.first() {
            Some(largest) => verdicts::of_run(trace, &ledger, largest),
            None => verdicts::of_undecided(trace),
        },
        processes: processes(trace, &ledger),
        scenes: wanted.iter().filter_map(scene).collect(),
        timeline: timeline::of(trace, &ledger, &decisions, role),
        phases: phases::of(trace, &decisions),
        capacities: decisions.iter().filter_map(plan::held).collect(),
        facts: facts::of(trace),
        queries: queries.map(|(at, query)| row(trace, &ledger, symbols, at, query, role(at), begin)).collect(),
        files: trace.reads.iter().map(|read| file_row(trace, symbols, read, begin)).collect(),
        model: model::of(trace),
        evictions: trace.evictions.iter().map(|eviction| eviction_row(trace, eviction)).collect(),
        page_caches: page_cache::of_decisions(trace, &decisions),
        owners: ledger.owners,
        device_live_bytes: ledger.device_live,
        device_peak_bytes: ledger.device_peak,
        unmatched_frees: ledger.unmatched_frees,
        events: trace.events,
        dropped: trace.dropped,
        exits: trace.exits.clone(),
        problems: trace.problems.clone(),
        more_problems: trace.more_problems,
        decisions,
    }
}

/// `A`, `B` or `C` of a decision; empty if the query is none of them.
fn role(trace: &Trace, decisions: &[Decision], at: usize) -> &'static str {
    let Some(query) = trace.queries.get(at) else { return "" };
    let evidence = trace.evidence(query.process, query.n);
    let is = |fact: Option<&decision::Fact<u64>>| fact.is_some_and(|fact| fact.evidence.contains(&evidence));
    let role = decisions.iter().filter(|decision| decision.process == query.process).find_map(|decision| match () {
        () if decision.sizing_query == at => Some("B"),
        () if is(decision.free_a_bytes.as_ref()) => Some("A"),
        () if is(decision.free_c_bytes.as_ref()) => Some("C"),
        () => None,
    });
    role.unwrap_or_default()
}

fn row(
    trace: &Trace,
    ledger: &Ledger,
    symbols: &Symbols,
    at: usize,
    query: &Query,
    role: &'static str,
    begin: u64,
) -> QueryRow {
    let held = ledger.at_queries.get(at).copied().unwrap_or_default();
    let stack = scene::stack(trace, query);
    QueryRow {
        evidence: trace.evidence(query.process, query.n),
        seconds: query.begin.saturating_sub(begin) as f64 / 1e9,
        role,
        function: scene::function(query),
        native: symbols.native(trace, query.process, &query.asked),
        line: scene::headline(&stack).cloned(),
        stack,
        free_bytes: query.free,
        total_bytes: query.total,
        unpatched_free_bytes: trace.patch(query.process, query.n, "free").map(|patch| patch.real),
        rc: query.rc,
        live_bytes: held.own.named(),
        device_live_bytes: ledger::on_device(&held.own),
        all_device_live_bytes: held.device,
        machine: query.view.and_then(|view| Some(machine(trace, trace.views.get(view)?))),
    }
}

fn device_row(trace: &Trace, device: &Device) -> DeviceRow {
    DeviceRow {
        evidence: trace.evidence(device.process, device.n),
        ordinal: device.dev,
        name: device.name.clone(),
        total_bytes: device.total,
        integrated: device.integrated,
        driver: device.driver,
    }
}

fn file_row(trace: &Trace, symbols: &Symbols, read: &FileRead, begin: u64) -> FileRow {
    FileRow {
        evidence: trace.evidence(read.process, read.n),
        seconds: read.at.saturating_sub(begin) as f64 / 1e9,
        path: read.path.clone(),
        function: read.asked.name.clone(),
        native: symbols.native(trace, read.process, &read.asked),
    }
}

/// From the text of /proc/self/cgroup: the line of the memory controller (version 1), else the unified one.
fn memory_cgroup(text: &str) -> &str {
    let lines = || text.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let memory = lines().find(|(controllers, _)| controllers.split(',').any(|name| name == "memory"));
    memory.or_else(|| lines().find(|(controllers, _)| controllers.is_empty())).map_or("", |(_, path)| path)
}

/// The tree, parents before children.
fn processes(trace: &Trace, ledger: &Ledger) -> Vec<ProcessRow> {
    let all = &trace.processes;
    let known = |pid: u32| all.iter().any(|process| process.pid == pid);
    let mut rows = Vec::new();
    let mut done = vec![false; all.len()];
    // A cycle of reused pids would recurse for ever: each process is placed once.
    fn place(trace: &Trace, ledger: &Ledger, at: usize, depth: u32, done: &mut [bool], rows: &mut Vec<ProcessRow>) {
        if std::mem::replace(&mut done[at], true) {
            return;
        }
        let process = &trace.processes[at];
        let held = ledger.ends.get(at).copied().unwrap_or_default();
        rows.push(ProcessRow {
            pid: process.pid,
            parent: process.ppid,
            depth,
            role: if process.launcher { "launcher" } else { "program" },
            exe: process.exe.clone(),
            command: process.argv.join(" "),
            host: process.host.clone(),
            forked_from: process.forked_from,
            started_unix_ns: process.wall,
            cgroup: process.cgroup.trim().to_owned(),
            memory_cgroup: memory_cgroup(&process.cgroup).to_owned(),
            environment: process.env.clone(),
            live_bytes: held.named(),
            device_live_bytes: ledger::on_device(&held),
            device_peak_bytes: ledger.peaks.get(at).copied().unwrap_or(0),
            events: process.events,
        });
        for child in 0..trace.processes.len() {
            if trace.processes[child].ppid == process.pid && depth < 64 {
                place(trace, ledger, child, depth + 1, done, rows);
            }
        }
    }
    let roots = (0..all.len()).filter(|at| !known(all[*at].ppid));
    for at in roots.chain(0..all.len()) {
        place(trace, ledger, at, 0, &mut done, &mut rows);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_controller_s_group_of_either_version() {
        assert_eq!(memory_cgroup("9:name=systemd:/\n4:memory:/docker/ab\n0::/\n"), "/docker/ab");
        assert_eq!(memory_cgroup("3:cpu,memory:/both\n"), "/both");
        assert_eq!(memory_cgroup("0::/user.slice/a:b\n"), "/user.slice/a:b");
        assert_eq!(memory_cgroup(""), "");
    }
}
