//! The page of many runs: the line through them, and what it says about explanations.

use super::evidence::Evidence;
use super::figure;
use super::page::{Card, Page, Part};
use super::svg::scatter::{Point, Scatter};
use super::table::{scroll, section};
use crate::failure::Failure;
use crate::fit::{self, Fit, Run};
use crate::render;
use maud::{Markup, html};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Rows of the table of runs.
const ROWS: usize = 500;
/// With more names than this, shape and colour tell nothing.
const SERIES: usize = 6;

/// # Errors
/// Those of `fit`.
pub fn page(inputs: &[PathBuf]) -> Result<Page, Failure> {
    let fit = fit::fit(inputs)?;
    let document = render::fit::document(&fit);
    let mut notes = document.sentences;
    let answer = notes.remove(0);
    notes.retain(|note| note != render::fit::SIMULATED);
    let series = series(&fit.runs);
    let paths: Vec<String> = inputs.iter().map(|path| path.display().to_string()).collect();
    // A thousand folders are no command line to read.
    let paths = if paths.len() > 6 { format!("{} ... ({} inputs)", paths[0], paths.len()) } else { paths.join(" ") };
    Ok(Page {
        title: format!("KV cache of {} runs", fit.runs.len()),
        simulated: fit.simulated.then(|| render::fit::SIMULATED.to_owned()),
        patched: fit.patched.clone(),
        doubts: Vec::new(),
        answer,
        notes,
        cards: cards(&fit),
        parts: vec![
            Part::new("runs", "KV cache against peak", html! { (scatter(&fit, &series)) (runs(&fit)) }),
            Part::new("hypotheses", "What the line says", hypotheses(&fit)),
        ],
        sources: vec![("fit".into(), format!("kvtrace fit {paths} --format json"))],
    })
}

pub fn hypotheses(fit: &Fit) -> Markup {
    section(&render::fit::hypotheses(fit), &Evidence::default(), "")
}

fn cards(fit: &Fit) -> Vec<Card> {
    let card = |label: &str, figure, note| Card { label: label.into(), figure, note };
    let mut cards = vec![card(
        "Fraction",
        figure::number(fit.fraction, 4, Some("fit/fraction")),
        html! { "of what the peak leaves" },
    )];
    if let Some(total) = fit.total_bytes {
        cards.push(card(
            "Peak that leaves nothing",
            figure::bytes(total, Some("fit/total_bytes")),
            html! { "device total and temporary pool" },
        ));
    }
    cards.push(card(
        "Largest residual",
        figure::bytes(fit.max_residual_bytes, Some("fit/max_residual_bytes")),
        html! { (fit.runs.len()) " runs" },
    ));
    cards
}

/// By which name runs are told apart: the first label with a few values.
fn series(runs: &[Run]) -> Vec<String> {
    let columns = runs.first().map(|run| run.labels.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    // Labels that users give come before those that a trace has by itself.
    let of = |column: &str| -> Vec<String> {
        runs.iter().map(|run| run.labels.get(column).cloned().unwrap_or_default()).collect()
    };
    let preferred = ["environment", "label", "model"].map(str::to_owned);
    let columns = preferred.into_iter().chain(columns.into_iter().filter(|column| column != "trace"));
    let found = columns.map(|column| of(&column)).find(|values| {
        let different: BTreeSet<&String> = values.iter().collect();
        (2..=SERIES).contains(&different.len())
    });
    found.unwrap_or_else(|| vec![String::new(); runs.len()])
}

/// `series` names each run's series.
pub fn scatter(fit: &Fit, series: &[String]) -> Markup {
    let mut names: Vec<String> = Vec::new();
    let mut position = |name: &String| {
        names.iter().position(|other| other == name).unwrap_or_else(|| {
            names.push(name.clone());
            names.len() - 1
        })
    };
    let point = |(run, series): (&Run, &String)| Point {
        x: run.peak_gib,
        y: run.kv_gib,
        series: position(series),
        title: render::escape::terminal(&format!(
            "{}: peak {:.2} GiB, KV {:.2} GiB",
            title(run),
            run.peak_gib,
            run.kv_gib
        )),
        outlier: run.outlier,
    };
    let points: Vec<Point> = fit.runs.iter().zip(series).map(point).collect();
    let slope = fit.slope;
    let line = fit.runs.first().map(|run| {
        let (x, y) = (run.peak_gib, run.kv_gib - run.residual_gib);
        Box::new(move |peak: f64| y + slope * (peak - x)) as Box<dyn Fn(f64) -> f64>
    });
    let chart = Scatter {
        id: "scatter",
        title: "KV cache against peak memory".into(),
        description: format!(
            "{} runs, a point each, and the line through them with slope {slope:.3}. The table of runs has the figures.",
            fit.runs.len()
        ),
        across: "peak: device memory that was not free when the cache was sized, GiB",
        up: "of KV cache",
        points,
        series: names,
        line,
    };
    html! { figure { (chart.svg()) } }
}

fn title(run: &Run) -> String {
    run.labels.values().map(String::as_str).collect::<Vec<_>>().join(", ")
}

pub fn runs(fit: &Fit) -> Markup {
    let place = |at: usize, field: &str| format!("fit/runs/{at}/{field}");
    let table = html! {
        table {
            caption { "Runs" @if fit.runs.len() > ROWS { ", the first " (ROWS) " of " (fit.runs.len()) } }
            thead { tr {
                th scope="col" { "run" }
                th.num scope="col" { "peak, GiB" }
                th.num scope="col" { "KV cache, GiB" }
                th.num scope="col" { "off the line, GiB" }
                th scope="col" { "" }
            } }
            tbody { @for (at, run) in fit.runs.iter().enumerate().take(ROWS) { tr {
                th scope="row" { (figure::name(&title(run))) }
                td.num { (figure::number(run.peak_gib, 2, Some(&place(at, "peak_gib")))) }
                td.num { (figure::number(run.kv_gib, 2, Some(&place(at, "kv_gib")))) }
                td.num { (figure::number(run.residual_gib, 3, Some(&place(at, "residual_gib")))) }
                td { @if run.outlier { "outlier" } }
            } } }
        }
    };
    html! { details open[fit.runs.len() <= 12] { summary { "Runs" } (scroll("Runs", &table)) } }
}
