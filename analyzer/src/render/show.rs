//! `kvtrace show` as sentences and tables.

use super::{Cell, Document, Section, decision, gib};
use crate::load::events::{LogLine, Trace};
use crate::show::{EvictionRow, QueryRow, Show};

/// A server polls for ever; the table keeps what fits a screen or two. JSON and --all have all.
const SHOWN_QUERIES: usize = 60;
const SHOWN_OWNERS: usize = 30;
const SHOWN_FILES: usize = 20;

/// `all`: nothing is left out for brevity.
pub fn document(show: &Show, all: bool) -> Document {
    let mut sentences = Vec::new();
    match show.decisions.first() {
        Some(found) => sentences.push(decision::answer(found)),
        None => sentences.push(format!("{}: no KV cache was sized in this trace.", show.trace)),
    }
    sentences.extend(simulated(show));
    if show.decisions.len() > 1 {
        sentences.push(format!(
            "{} processes sized a KV cache; the largest is shown in the first line.",
            show.decisions.len()
        ));
    }
    // Ranks of one server decide alike.
    let scenes = || show.scenes.iter().take(if all { usize::MAX } else { 1 });
    sentences.extend(scenes().flat_map(super::scene::sentences));
    for decision in &show.decisions {
        sentences.extend(decision.contradictions.iter().map(|text| format!("Witnesses disagree: {text}.")));
    }
    if show.dropped > 0 {
        sentences.push(format!("{} events are missing: sums may be too small.", show.dropped));
    }
    sentences.extend(evictions(show));
    if show.unmatched_frees > 0 {
        sentences.push(format!("{} frees of memory whose allocation was not traced.", show.unmatched_frees));
    }
    sentences.extend(show.problems.iter().map(|text| format!("Trouble in the trace: {text}.")));
    if show.more_problems > 0 {
        sentences.push(format!("{} more such lines.", show.more_problems));
    }
    sentences.extend(super::page_cache::sentences(show));
    sentences.extend(show.attributions.first().into_iter().flat_map(super::attribution::sentences));
    sentences.extend(super::verdicts::summary(&show.verdicts, all));
    let mut sections: Vec<Section> = show.decisions.iter().map(decision::section).collect();
    if sections.is_empty() {
        sections.push(Section { title: "Decision".into(), columns: decision::COLUMNS.to_vec(), rows: Vec::new() });
    }
    // What the first decision left of the device goes on with its table.
    let more =
        show.attributions.first().filter(|found| show.decisions.first().is_some_and(|made| made.pid == found.pid));
    let more: Vec<usize> = more.map(|_| sections.len()).into_iter().collect();
    sections.extend(show.attributions.iter().map(|found| super::attribution::section(found, all)));
    sections.extend(super::verdicts::sections("Why the KV cache has this size", &show.verdicts, all));
    sections.extend(scenes().flat_map(|scene| super::scene::sections(scene, all)));
    sections.extend(show.timeline.as_ref().map(super::timeline::section));
    sections.extend([queries(show, all), owners(show)]);
    if !show.files.is_empty() {
        sections.push(files(show));
    }
    sections.extend(super::model::sections(show));
    sections.extend(super::page_cache::sections(show));
    sections.push(processes(show));
    sections.extend(super::facts::sections(&show.facts, all));
    Document { sentences, sections, main: 0, more }
}

/// What was given back in all, and what was not.
fn evictions(show: &Show) -> Option<String> {
    let last = show.evictions.last()?;
    let bytes = |row: &EvictionRow| row.cached_bytes.saturating_sub(row.left_bytes);
    let sum: u64 = show.evictions.iter().map(bytes).sum();
    let skipped = match show.evictions.iter().map(|row| row.skipped).max().unwrap_or(0) {
        0 => String::new(),
        files => format!("; {files} files were left alone, with pages to be written back or not known to have none"),
    };
    Some(format!(
        "The page cache of weights was given back before questions: {} in all (the last time at {}){skipped}.",
        gib(sum.into()),
        last.evidence
    ))
}

/// What is said first of a simulation.
pub fn simulated(show: &Show) -> Option<String> {
    let device = show.device.as_deref().unwrap_or_default();
    show.simulated.then(|| format!("Run on a simulated GPU ({device}): the order of calls is real, the device is not."))
}

pub fn queries(show: &Show, all: bool) -> Section {
    let whole = all || show.queries.len() <= SHOWN_QUERIES;
    let rows: Vec<_> = show.queries.iter().filter(|query| whole || !query.role.is_empty()).collect();
    let title = match whole {
        true => "Queries: who asked, and what was answered".into(),
        false => format!("Queries: those that decided, of {} (--all)", show.queries.len()),
    };
    let mut columns = vec!["evidence", "at", "query", "asked by", "function", "free", "total"];
    if all {
        columns.extend(["memfree", "memavailable", "cached", "cgroup", "current", "max"]);
    }
    Section { title, columns, rows: rows.into_iter().map(|row| query(row, all)).collect() }
}

fn query(query: &QueryRow, all: bool) -> Vec<Cell> {
    let bytes = |value: Option<u64>| value.map_or(Cell::Empty, |value| Cell::Bytes(value.into()));
    let machine = query.machine.as_ref();
    let function = match (query.rc, query.unpatched_free_bytes) {
        (0, None) => query.function.clone(),
        (0, Some(real)) => format!("{} (patched, really {})", query.function, gib(real.into())),
        (rc, _) => format!("{} failed with {rc}", query.function),
    };
    let mut row = vec![
        Cell::Text(query.evidence.clone()),
        Cell::Seconds(query.seconds),
        Cell::Text(query.role.into()),
        Cell::Text(match &query.line {
            Some(line) => super::scene::place(line),
            None => super::scene::native(&query.native),
        }),
        Cell::Text(function),
        bytes(query.free_bytes),
        bytes(query.total_bytes),
    ];
    if all {
        row.extend([
            bytes(machine.and_then(|machine| machine.mem_free_bytes)),
            bytes(machine.and_then(|machine| machine.mem_available_bytes)),
            bytes(machine.and_then(|machine| machine.cached_bytes)),
            Cell::Text(machine.map(|machine| short_path(&machine.cgroup_path)).unwrap_or_default()),
            bytes(machine.and_then(|machine| machine.cgroup_current_bytes)),
            bytes(machine.and_then(|machine| machine.cgroup_max_bytes)),
        ]);
    }
    row
}

/// Last part of a module's path.
pub fn file_name(path: &str) -> &str {
    match path.rsplit('/').next().unwrap_or_default() {
        "" => "?",
        name => name,
    }
}

pub fn owners(show: &Show) -> Section {
    let rows = show.owners.iter().take(SHOWN_OWNERS).map(|owner| {
        vec![
            Cell::Text(file_name(&owner.module).into()),
            Cell::Text(owner.kind.into()),
            Cell::Bytes(owner.live_bytes.into()),
            Cell::Bytes(owner.peak_bytes.into()),
            Cell::Bytes(owner.total_bytes.into()),
            Cell::Count(owner.allocations),
        ]
    });
    Section {
        title: format!(
            "Allocations by owner: {} on the device at the end, {} at most",
            gib(show.device_live_bytes.into()),
            gib(show.device_peak_bytes.into())
        ),
        columns: vec!["owner", "kind", "live", "peak", "allocated in all", "allocations"],
        rows: rows.collect(),
    }
}

pub fn files(show: &Show) -> Section {
    let rows = show.files.iter().take(SHOWN_FILES).map(|file| {
        vec![
            Cell::Text(file.evidence.clone()),
            Cell::Seconds(file.seconds),
            Cell::Text(super::scene::native(&file.native)),
            Cell::Text(file.function.clone()),
            Cell::Text(file.path.clone()),
        ]
    });
    let title = match show.files.len() > SHOWN_FILES {
        true => format!("Memory files opened: the first {SHOWN_FILES} of {} (JSON has all)", show.files.len()),
        false => "Memory files opened".into(),
    };
    Section { title, columns: vec!["evidence", "at", "opened by", "function", "file"], rows: rows.collect() }
}

pub fn processes(show: &Show) -> Section {
    let rows = show.processes.iter().map(|process| {
        let indent = "  ".repeat(process.depth as usize);
        vec![
            Cell::Text(format!("{indent}{}", process.pid)),
            Cell::Text(process.role.into()),
            Cell::Text(short(&process.command, &process.exe)),
            Cell::Text(short_path(&process.memory_cgroup)),
            Cell::Count(process.events),
        ]
    });
    let mut title = "Processes".to_owned();
    for exit in &show.exits {
        title.push_str(&format!("; {exit}"));
    }
    Section { title, columns: vec!["pid", "role", "command", "cgroup", "events"], rows: rows.collect() }
}

fn short(command: &str, exe: &str) -> String {
    const LONGEST: usize = 100;
    let text = if command.is_empty() { exe } else { command };
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

/// A container's group has an id of 64 digits: its ends tell it apart.
fn short_path(path: &str) -> String {
    super::scene::middle(path, 40)
}

/// The runtime's own lines about memory, as a section behind the others.
pub fn add_log(document: &mut Document, trace: &Trace) {
    let row = |line: &LogLine| {
        let evidence = trace.evidence(line.process, line.n);
        vec![Cell::Text(line.text.clone()), Cell::Text(evidence)]
    };
    let rows: Vec<_> = trace.logs.iter().map(row).collect();
    if !rows.is_empty() {
        let title = "What the runtime itself says".into();
        document
            .sections
            .insert(1.min(document.sections.len()), Section { title, columns: vec!["line", "evidence"], rows });
    }
}
