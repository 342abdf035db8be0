//! The page of an experiment.

use super::evidence::Evidence;
use super::page::{Card, Page, Part};
use super::svg::scatter::{Point, Scatter};
use super::table::{scroll, section};
use super::{figure, shown};
use crate::experiment;
use crate::experiment::result::{ArmResult, Report, RunResult};
use crate::failure::Failure;
use crate::render;
use crate::verdict::Verdict;
use kvtrace_sizing::GIB;
use maud::{Markup, html};
use std::path::Path;

/// Whether the folder is one of `kvtrace experiment`.
pub fn is_one(folder: &Path) -> bool {
    folder.join("experiment.json").is_file()
}

/// # Errors
/// Bad input if the folder cannot be read.
pub fn page(folder: &Path) -> Result<Page, Failure> {
    let report = experiment::reported(folder)?;
    let mut notes = render::experiment::document(&report).sentences;
    let answer = notes.remove(0);
    notes.retain(|note| note != render::SIMULATED);
    let none = Evidence::default();
    let document = render::experiment::document(&report);
    let of = |at: usize| document.sections.get(at).map_or_else(|| html! {}, |part| section(part, &none, ""));
    Ok(Page {
        title: format!("KV cache of {} runs of {} arms", report.ended, report.arms.len()),
        simulated: report.simulated.then(|| render::SIMULATED.to_owned()),
        patched: report.patched.clone(),
        doubts: Vec::new(),
        answer,
        notes,
        cards: cards(&report),
        parts: vec![
            Part::new("runs", "Every run, in its order", chart(&report)),
            Part::new("arms", "Arms", arms(&report)),
            Part::new("predictions", "What was predicted", of(1)),
            Part::new("all", "Run by run", of(2)),
        ],
        sources: vec![("experiment".into(), format!("{}/report.json", shown(folder)))],
    })
}

fn cards(report: &Report) -> Vec<Card> {
    let count = |verdict: Verdict| report.hypotheses.iter().filter(|found| found.verdict == verdict).count() as u64;
    let card = |label: &str, figure, note| Card { label: label.into(), figure, note };
    let mut cards = vec![
        card("Supported", figure::count(count(Verdict::Supported), None), html! { "predictions that held" }),
        card("Refuted", figure::count(count(Verdict::Refuted), None), html! { "that did not" }),
        card(
            "Cannot tell",
            figure::count(count(Verdict::CannotTell), None),
            html! { "too few runs, or no prediction" },
        ),
    ];
    if let Some((base, mean)) = report.arms.first().and_then(|arm| Some((arm, arm.mean_bytes?))) {
        cards.push(Card {
            label: format!("Baseline: {}", base.name),
            figure: figure::bytes(mean, Some("experiment/arms/0/mean_bytes")),
            note: html! { "mean of " (figure::count(base.runs as u64, Some("experiment/arms/0/runs"))) " runs" },
        });
    }
    cards
}

fn chart(report: &Report) -> Markup {
    let names: Vec<String> = report.arms.iter().map(|arm| arm.name.clone()).collect();
    let point = |run: &RunResult| {
        let kv = run.kv_bytes? as f64 / GIB as f64;
        Some(Point {
            x: run.position as f64,
            y: kv,
            series: names.iter().position(|name| *name == run.arm)?,
            title: render::escape::terminal(&format!("run {}, {}: {kv:.2} GiB", run.position, run.arm)),
            outlier: false,
        })
    };
    let scatter = Scatter {
        id: "order",
        title: "KV cache of every run, in the order in which they were made".into(),
        description: "A point for each run, with a shape for each arm. The table of runs has the figures.".into(),
        across: "run, in their order",
        up: "of KV cache",
        points: report.runs.iter().filter_map(point).collect(),
        series: names.clone(),
        line: None,
    };
    html! { @if report.runs.iter().any(|run| run.kv_bytes.is_some()) { figure { (scatter.svg()) } } }
}

fn arms(report: &Report) -> Markup {
    let place = |at: usize, field: &str| format!("experiment/arms/{at}/{field}");
    let bytes = |value: Option<u64>, at: usize, field: &str| {
        html! { td.num { @if let Some(value) = value { (figure::bytes(value, Some(&place(at, field)))) } } }
    };
    let changed = |value: Option<i128>, place: String| {
        html! { td.num { @if let Some(value) = value { (figure::changed(value, Some(&place))) } } }
    };
    let end = |arm: &ArmResult, at: usize, which: usize| {
        changed(arm.change_interval_bytes.map(|ends| ends[which]), place(at, &format!("change_interval_bytes/{which}")))
    };
    let table = html! {
        table {
            caption { "KV cache by arm; the first is the baseline" }
            thead { tr {
                th scope="col" { "arm" } th.num scope="col" { "runs" } th.num scope="col" { "mean" }
                th.num scope="col" { "least" } th.num scope="col" { "most" } th.num scope="col" { "change" }
                th.num scope="col" { "from (95 %)" } th.num scope="col" { "to" } th.num scope="col" { "predicted" }
                th scope="col" { "not predicted because" }
            } }
            tbody { @for (at, arm) in report.arms.iter().enumerate() { tr {
                th scope="row" { (figure::name(&arm.name)) }
                td.num { (figure::count(arm.runs as u64, Some(&place(at, "runs")))) }
                (bytes(arm.mean_bytes, at, "mean_bytes"))
                (bytes(arm.least_bytes, at, "least_bytes"))
                (bytes(arm.most_bytes, at, "most_bytes"))
                (changed(arm.change_bytes, place(at, "change_bytes")))
                (end(arm, at, 0)) (end(arm, at, 1))
                (changed(arm.predicted_change_bytes, place(at, "predicted_change_bytes")))
                td { (figure::name(arm.not_predicted.as_deref().unwrap_or_default())) }
            } } }
        }
    };
    scroll("Arms", &table)
}
