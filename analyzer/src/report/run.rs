//! What a page says of one run, alone or as a side of a pair.

use super::evidence::Evidence;
use super::page::{Card, Page, Part};
use super::svg::bar::bar;
use super::svg::timeline::{Chart, Mark};
use super::table::{scroll, section};
use super::{figure, named};
use crate::decision;
use crate::failure::Failure;
use crate::history::{self, History, Window};
use crate::load::Trace;
use crate::load::events::Query;
use crate::page_cache::{CachedAt, PageCache};
use crate::render;
use crate::render::show::file_name;
use crate::show::{self, Options, QueryRow, Show};
use crate::symbols::Places;
use crate::verdict::Verdict;
use crate::verdicts::Finding;
use crate::{ledger, load};
use maud::{Markup, html};
use std::path::Path;

/// Instants in each line of a timeline.
const POINTS: usize = 600;
/// Rows of a table of files.
const FILES: usize = 40;
/// Rows of the table beside the timeline, where no query decided.
const QUERIES: usize = 12;

pub struct Run {
    /// Of the answer, in `data-json`.
    key: &'static str,
    /// `A` or `B` of a pair.
    side: &'static str,
    pub name: String,
    pub trace: Trace,
    pub show: Show,
    history: History,
    window: Window,
}

/// The page of one run, and whether it sized a KV cache.
pub fn page(path: &Path, places: &Places) -> Result<(Page, Result<(), Failure>), Failure> {
    let run = Run::of(load::trace(path)?, "show", "", places)?;
    if run.show.queries.is_empty() && run.show.owners.is_empty() {
        return Err(show::no_decision(&run.trace));
    }
    let outcome = if run.show.decisions.is_empty() { Err(show::no_decision(&run.trace)) } else { Ok(()) };
    let document = render::show::document(&run.show, true);
    let simulated = render::show::simulated(&run.show);
    let mut notes = document.sentences.into_iter();
    let answer = notes.next().unwrap_or_default();
    let notes = notes.filter(|note| Some(note) != simulated.as_ref()).collect();
    let evidence = Evidence::default();
    let mut parts = vec![
        Part::new("timeline", "Memory over time", run.timeline(&evidence)),
        Part::new("decision", "Decision", run.decision(&evidence)),
        Part::new("verdicts", "Why it has this size", verdicts(WHY, &run.show.verdicts, &evidence)),
        Part::new("device", "Where the device went", run.device(&evidence)),
        Part::new("page-cache", "Page cache", run.page_cache(&evidence)),
        Part::new("capacity", "Capacity", capacity(&[&run])),
        Part::new("query", "The query", run.scene(&evidence)),
        Part::new("details", "Details", run.details(&evidence)),
    ];
    parts.push(events(&evidence, &[("", path)]));
    let page = Page {
        title: match run.show.decisions.first() {
            Some(found) => format!("KV cache {}, {}", render::gib(found.final_pool_bytes.value.into()), run.name),
            None => format!("no KV cache, {}", run.name),
        },
        simulated,
        patched: run.show.patched.clone(),
        doubts: Vec::new(),
        answer,
        notes,
        cards: run.cards(),
        parts,
        sources: vec![("show".into(), format!("kvtrace show {} --format json", super::shown(path)))],
    };
    Ok((page, outcome))
}

const WHY: &str = "Named explanations, and what the trace says of each";

/// Explanations with their verdicts, the supported ones first, and what to do about those.
pub fn verdicts(title: &str, findings: &[Finding], evidence: &Evidence) -> Markup {
    let supported = render::verdicts::sections(title, findings, false);
    let others: Vec<Finding> = findings.iter().filter(|found| found.verdict != Verdict::Supported).cloned().collect();
    let rest = render::verdicts::sections("Refuted, or left open", &others, true);
    html! {
        @if findings.is_empty() { "" } @else if supported.iter().all(|part| part.rows.is_empty()) {
            p.lead { "Of " (findings.len()) " explanations the trace supports none." }
        }
        @for part in &supported { (section(part, evidence, "")) }
        @if let Some(part) = rest.first().filter(|part| !part.rows.is_empty()) {
            details { summary { (part.rows.len()) " that it refutes or leaves open" } (section(part, evidence, "")) }
        }
    }
}

/// The events that the page has linked, as the last part.
pub fn events(evidence: &Evidence, sides: &[(&'static str, &Path)]) -> Part {
    if evidence.is_empty() {
        return Part::new("evidence", "", html! {});
    }
    for (side, path) in sides {
        evidence.read(side, path);
    }
    let body = html! {
        p.lead { "The lines of the trace that this page refers to, as they were written." }
        (evidence.section())
    };
    Part::new("evidence", "Evidence", body)
}

impl Run {
    /// # Errors
    /// Those of `show`.
    pub fn of(trace: Trace, key: &'static str, side: &'static str, places: &Places) -> Result<Self, Failure> {
        let options = Options { places: places.clone(), ..Options::of(trace.name.clone().into()) };
        let show = show::show(&trace, &options)?;
        let ledger = ledger::replay(&trace)?;
        let decisions = decision::decide(&trace, &ledger);
        let window = Window::of_start(&trace, &show.phases);
        let history = history::of(&trace, &ledger, &decisions, window, POINTS);
        let name = named(&show.label, &show.trace);
        Ok(Run { key, side, name, trace, show, history, window })
    }

    fn place(&self, pointer: &str) -> String {
        format!("{}{pointer}", self.key)
    }

    fn cards(&self) -> Vec<Card> {
        let Some(found) = self.show.decisions.first() else { return Vec::new() };
        let place = |field: &str| self.place(&format!("/decisions/0/{field}/value"));
        let card = |label: &str, figure, note| Card { label: label.into(), figure, note };
        let known = |confidence: decision::Confidence| html! { (confidence.name()) };
        let tokens = found.tokens.as_ref();
        let mut cards = vec![
            card(
                "KV cache",
                figure::bytes(found.final_pool_bytes.value, Some(&place("final_pool_bytes"))),
                html! {
                    @if let Some(tokens) = tokens { (figure::count(tokens.value, Some(&place("tokens")))) " tokens" }
                },
            ),
            card(
                "Free, as told at B",
                figure::bytes(found.free_b_bytes.value, Some(&place("free_b_bytes"))),
                html! { "of " (figure::bytes(found.total_bytes.value, Some(&place("total_bytes")))) },
            ),
            card(
                "Fraction",
                html! { (render::decision::fraction(found.fraction.value)) },
                known(found.fraction.confidence),
            ),
            card(
                "Unexplained",
                figure::changed(found.unexplained_bytes, Some(&self.place("/decisions/0/unexplained_bytes"))),
                html! { (found.runtime) },
            ),
        ];
        if found.unexplained_bytes == 0 {
            cards.retain(|card| card.label != "Unexplained");
            cards.push(card(
                "Runtime",
                html! { span.words { (found.runtime) } },
                html! { "its rule explains every byte" },
            ));
        }
        cards
    }

    /// The figures of each decision.
    pub fn decision(&self, evidence: &Evidence) -> Markup {
        html! {
            @for decision in self.show.decisions.iter().take(8) {
                (section(&render::decision::section(decision), evidence, self.side))
            }
        }
    }

    /// The whole device, to the byte.
    pub fn device(&self, evidence: &Evidence) -> Markup {
        html! {
            @for found in self.show.attributions.iter().take(8) {
                (section(&render::attribution::section(found, true), evidence, self.side))
            }
        }
    }

    pub fn timeline(&self, evidence: &Evidence) -> Markup {
        let first = self.show.decisions.first().map(|found| found.pid);
        let total = self.show.decisions.first().map(|found| found.total_bytes.value);
        let total = total.or_else(|| self.show.devices.first().map(|device| device.total_bytes));
        let chart = Chart {
            id: if self.side == "B" { "timeline-b" } else { "timeline-a" },
            history: &self.history,
            window: self.window,
            total,
            phases: self.show.phases.iter().filter(|phase| Some(phase.pid) == first).collect(),
            marks: self.marks(),
            title: format!("Memory over time, {}", self.name),
            description:
                "Device memory by owner as stacked bands from the bottom, and what the program was told is free \
                from the top. What lies between is in use by nobody who was traced. Below it the machine's own free \
                memory and page cache. The table that follows has the figures at the queries."
                    .into(),
        };
        html! {
            @if self.window.is_cut { p.lead { "From the start to a while after the KV cache was sized; the trace goes on." } }
            figure { (chart.svg()) }
            (self.at_queries(evidence))
            (self.phases(evidence))
        }
    }

    /// Of the process with the largest KV cache: ranks decide alike, and a dozen labels at one place say no more.
    fn marks(&self) -> Vec<Mark> {
        let Some(first) = self.show.decisions.first() else { return Vec::new() };
        let queries = self.show.queries.iter().zip(&self.trace.queries).enumerate();
        let marks = queries.filter(|(_, (row, query))| {
            !row.role.is_empty() && query.process == first.process && query.end <= self.window.end
        });
        let mark = |(at, (row, query)): (usize, (&QueryRow, &Query))| {
            let decides = first.sizing_query == at;
            let what = if decides { ", which sized the KV cache" } else { "" };
            let title = format!("query {} ({}){what}", row.role, row.evidence);
            Mark { at: query.end, label: row.role.into(), title, decides }
        };
        marks.map(mark).collect()
    }

    /// What the chart shows, at the queries that decided.
    fn at_queries(&self, evidence: &Evidence) -> Markup {
        let decided = self.show.queries.iter().any(|query| !query.role.is_empty());
        let rows = self.show.queries.iter().enumerate();
        let rows = rows.filter(|(_, query)| if decided { !query.role.is_empty() } else { query.free_bytes.is_some() });
        let rows: Vec<_> = rows.take(QUERIES).collect();
        if rows.is_empty() {
            return html! {};
        }
        let bytes = |value: Option<u64>, at: usize, field: &str| {
            html! { td.num { @if let Some(value) = value { (figure::bytes(value, Some(&self.place(&format!("/queries/{at}/{field}"))))) } } }
        };
        let table = html! {
            table {
                caption { "At the queries" @if decided { " that decided" } }
                thead { tr {
                    th scope="col" { "query" }
                    th.num scope="col" { "at" }
                    th.num scope="col" { "free as told" }
                    th.num scope="col" { "held on the device" }
                    th.num scope="col" { "MemFree" }
                    th.num scope="col" { "cached" }
                    th scope="col" { "evidence" }
                } }
                tbody { @for (at, query) in rows { tr {
                    th scope="row" { (if query.role.is_empty() { query.function.as_str() } else { query.role }) }
                    td.num { (figure::number(query.seconds, 3, Some(&self.place(&format!("/queries/{at}/seconds"))))) " s" }
                    (bytes(query.free_bytes, at, "free_bytes"))
                    (bytes(Some(query.all_device_live_bytes), at, "all_device_live_bytes"))
                    (bytes(query.machine.as_ref().and_then(|machine| machine.mem_free_bytes), at, "machine/mem_free_bytes"))
                    (bytes(query.machine.as_ref().and_then(|machine| machine.cached_bytes), at, "machine/cached_bytes"))
                    td.evidence { (evidence.links(&query.evidence, self.side)) }
                } } }
            }
        };
        scroll("At the queries", &table)
    }

    fn phases(&self, evidence: &Evidence) -> Markup {
        if self.show.phases.is_empty() {
            return html! {};
        }
        let seconds = |value: f64, at: usize, field: &str| {
            html! { td.num { (figure::number(value, 3, Some(&self.place(&format!("/phases/{at}/{field}"))))) " s" } }
        };
        let table = html! {
            table {
                caption { "Phases" }
                thead { tr {
                    th scope="col" { "phase" } th.num scope="col" { "from" } th.num scope="col" { "to" } th scope="col" { "ends with" }
                } }
                tbody { @for (at, phase) in self.show.phases.iter().enumerate().take(24) { tr {
                    th scope="row" { (phase.name) }
                    (seconds(phase.begin_seconds, at, "begin_seconds"))
                    (seconds(phase.end_seconds, at, "end_seconds"))
                    td.evidence { (evidence.links(phase.evidence.as_deref().unwrap_or_default(), self.side)) }
                } } }
            }
        };
        scroll("Phases", &table)
    }

    pub fn page_cache(&self, evidence: &Evidence) -> Markup {
        html! {
            @for (at, cache) in self.show.page_caches.iter().enumerate().take(4) {
                (self.cache(cache, &format!("/page_caches/{at}"), evidence))
                @if !cache.notes.is_empty() { ul.notes { @for note in &cache.notes { li { (figure::name(note)) } } } }
            }
        }
    }

    fn cache(&self, cache: &PageCache, at: &str, evidence: &Evidence) -> Markup {
        let place = |field: &str| self.place(&format!("{at}/{field}"));
        let longest =
            cache.files.iter().map(|file| file.size_bytes).chain([cache.total_bytes]).max().unwrap_or(1) as f64;
        let part = |bytes: u64| bytes as f64 / longest.max(1.0);
        let figure = |seen: Option<&CachedAt>, field: String| {
            html! { td.num { @if let Some(seen) = seen { (figure::bytes(seen.cached_bytes, Some(&place(&field)))) } } }
        };
        let others = [
            ("other mapped files", cache.libraries.as_ref().map(|group| group.cached_bytes), "libraries/cached_bytes"),
            ("shared memory (tmpfs)", Some(cache.shared_bytes), "shared_bytes"),
            ("buffers", Some(cache.buffers_bytes), "buffers_bytes"),
            ("other files", Some(cache.other_bytes), "other_bytes"),
            ("page cache", Some(cache.total_bytes), "total_bytes"),
        ];
        let table = html! {
            table.bars {
                caption { "At query " (cache.of) ": pages in memory of each file, within its size" }
                thead { tr {
                    th scope="col" { "file" }
                    th.wide scope="col" { span.unseen { "bar" } }
                    th.num scope="col" { "size" }
                    th.num scope="col" { "when opened" }
                    th.num scope="col" { "at the query" }
                    th scope="col" { "evidence" }
                } }
                tbody {
                    @for (at, file) in cache.files.iter().enumerate().take(FILES) {
                        @let now = file.now.as_ref();
                        tr {
                            th scope="row" title=(render::escape::terminal(&file.path)) { (figure::name(file_name(&file.path))) }
                            td.wide { (bar(part(file.size_bytes), part(now.map_or(0, |now| now.cached_bytes)))) }
                            td.num { (figure::bytes(file.size_bytes, Some(&place(&format!("files/{at}/size_bytes"))))) }
                            (figure(file.at_open.as_ref(), format!("files/{at}/at_open/cached_bytes")))
                            (figure(now, format!("files/{at}/now/cached_bytes")))
                            td.evidence { (evidence.links(now.map_or("", |now| &now.evidence), self.side)) }
                        }
                    }
                    @if cache.files.len() > FILES { tr { th scope="row" { (cache.files.len() - FILES) " more files, in JSON" } } }
                    @for (name, value, field) in others {
                        @if let Some(value) = value { tr.sum[field == "total_bytes"] {
                            th scope="row" { (name) }
                            td.wide { (bar(0.0, part(value))) }
                            td {} td {}
                            td.num { (figure::bytes(value, Some(&place(field)))) }
                            td {}
                        } }
                    }
                }
            }
        };
        scroll("Page cache by file", &table)
    }

    /// Who asked and the machine's figures.
    pub fn scene(&self, evidence: &Evidence) -> Markup {
        html! {
            @for scene in self.show.scenes.iter().take(1) {
                @for part in render::scene::sections(scene, true) { (section(&part, evidence, self.side)) }
            }
        }
    }

    /// Everything else, folded.
    pub fn details(&self, evidence: &Evidence) -> Markup {
        let fold = |title: &str, body: Markup| {
            html! { @if !body.0.is_empty() { details { summary { (title) } (body) } } }
        };
        let one = |part: &render::Section| section(part, evidence, self.side);
        let several = |parts: Vec<render::Section>| html! { @for part in &parts { (one(part)) } };
        html! {
            (fold("Queries", one(&render::show::queries(&self.show, false))))
            (fold("Allocations by owner", one(&render::show::owners(&self.show))))
            @if !self.show.files.is_empty() { (fold("Memory files opened", one(&render::show::files(&self.show)))) }
            (fold("Model", several(render::model::sections(&self.show))))
            (fold("Processes", one(&render::show::processes(&self.show))))
            (fold("Facts, signs of a container, and what was not to be had", several(render::facts::sections(&self.show.facts, true))))
        }
    }
}

/// Requests that fit at once, for each run that tells how many tokens its cache holds.
pub fn capacity(runs: &[&Run]) -> Markup {
    let known: Vec<_> = runs.iter().filter_map(|run| Some((run, run.show.capacities.first()?))).collect();
    let Some((_, first)) = known.first() else { return html! {} };
    let contexts: Vec<u64> = first.capacity.iter().map(|row| row.context).collect();
    let table = html! {
        table.narrow {
            caption { "Requests that fit at once" }
            thead { tr {
                th.num scope="col" { "tokens of each" }
                @for (run, _) in &known { th.num scope="col" { @if run.side.is_empty() { "requests" } @else { (run.side) } } }
            } }
            tbody {
                @for (at, context) in contexts.iter().enumerate() { tr {
                    th.num scope="row" { (figure::count(*context, None)) }
                    @for (run, held) in &known {
                        @let row = &held.capacity[at];
                        td.num { (figure::count(row.requests, Some(&run.place(&format!("/capacities/0/capacity/{at}/requests"))))) }
                    }
                } }
                tr.sum {
                    th.num scope="row" { "tokens in all" }
                    @for (run, held) in &known { td.num { (figure::count(held.tokens, Some(&run.place("/capacities/0/tokens")))) } }
                }
            }
        }
    };
    scroll("Requests that fit at once", &table)
}
