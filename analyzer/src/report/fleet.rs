//! The page of a fleet.

use super::page::{Card, Page, Part};
use super::svg::bar::bar;
use super::table::scroll;
use super::{figure, shown};
use crate::diff::{self, Fleet, FleetGroup};
use crate::failure::Failure;
use crate::render;
use maud::{Markup, html};
use std::path::Path;

/// Rows of the table of groups.
const ROWS: usize = 500;

/// # Errors
/// Those of `fleet`.
pub fn page(folder: &Path) -> Result<Page, Failure> {
    let fleet = diff::fleet(folder)?;
    let mut notes = render::fleet::document(&fleet).sentences;
    let answer = notes.remove(0);
    notes.retain(|note| note != render::fleet::SIMULATED);
    let card = |label: &str, figure, note| Card { label: label.into(), figure, note };
    Ok(Page {
        title: format!("KV cache of {} runs in {} groups", fleet.runs, fleet.groups.len()),
        simulated: fleet.simulated.then(|| render::fleet::SIMULATED.to_owned()),
        patched: fleet.patched.clone(),
        doubts: Vec::new(),
        answer,
        notes,
        cards: vec![
            card(
                "Runs",
                figure::count(fleet.runs as u64, Some("fleet/runs")),
                html! { "in " (fleet.groups.len()) @if fleet.groups.len() == 1 { " group" } @else { " groups" } },
            ),
            card("Lost in all", figure::bytes(fleet.lost_bytes, Some("fleet/lost_bytes")), html! { "of KV cache" }),
            card(
                "Unexplained",
                figure::bytes(fleet.unexplained_bytes, Some("fleet/unexplained_bytes")),
                html! { "of what was lost" },
            ),
        ],
        parts: vec![
            Part::new("causes", "What took it", causes(&fleet)),
            Part::new("groups", "Groups, what lost most first", groups(&fleet)),
        ],
        sources: vec![("fleet".into(), format!("kvtrace fleet {} --format json", shown(folder)))],
    })
}

fn causes(fleet: &Fleet) -> Markup {
    let longest = fleet.causes.iter().map(|cause| cause.lost_bytes).max().unwrap_or(1).max(1) as f64;
    let table = html! {
        table.bars {
            caption { "Over all runs, against the best run of the same model, runtime and device" }
            thead { tr {
                th scope="col" { "term" } th.wide scope="col" { span.unseen { "bar" } } th.num scope="col" { "lost" } th.num scope="col" { "share" }
            } }
            tbody {
                @for (at, cause) in fleet.causes.iter().enumerate() { tr {
                    th scope="row" { (cause.title) }
                    td.wide { (bar(0.0, cause.lost_bytes as f64 / longest)) }
                    td.num { (figure::bytes(cause.lost_bytes, Some(&format!("fleet/causes/{at}/lost_bytes")))) }
                    td.num { @if let Some(share) = cause.share { (figure::share(share, Some(&format!("fleet/causes/{at}/share")))) } }
                } }
                tr.sum {
                    th scope="row" { "unexplained" }
                    td.wide { (bar(0.0, fleet.unexplained_bytes as f64 / longest)) }
                    td.num { (figure::bytes(fleet.unexplained_bytes, Some("fleet/unexplained_bytes"))) }
                    td {}
                }
            }
        }
    };
    scroll("What took it", &table)
}

fn groups(fleet: &Fleet) -> Markup {
    let widest = fleet.groups.iter().map(|group| group.best_kv_cache_bytes).max().unwrap_or(1).max(1) as f64;
    let table = html! {
        table.bars {
            caption { "The bar is the median within the best" @if fleet.groups.len() > ROWS { "; the first " (ROWS) " of " (fleet.groups.len()) } }
            thead { tr {
                th scope="col" { "host" }
                th scope="col" { "model" }
                th scope="col" { "runtime, device, driver" }
                th.wide scope="col" { span.unseen { "bar" } }
                th.num scope="col" { "runs" }
                th.num scope="col" { "best" }
                th.num scope="col" { "median" }
                th.num scope="col" { "least" }
                th.num scope="col" { "lost in all" }
                th scope="col" { "mostly to" }
            } }
            tbody { @for (at, group) in fleet.groups.iter().enumerate().take(ROWS) { (row(at, group, widest)) } }
        }
    };
    scroll("Groups", &table)
}

fn row(at: usize, group: &FleetGroup, widest: f64) -> Markup {
    let place = |field: &str| format!("fleet/groups/{at}/{field}");
    let bytes = |value: i128, field: &str| figure::bytes(value, Some(&place(field)));
    let part = |bytes: u64| bytes as f64 / widest;
    html! {
        tr {
            th scope="row" { (figure::name(&group.host)) }
            td { (figure::name(&group.model)) }
            td { (group.runtime) ", " (figure::name(&group.device)) @if !group.driver.is_empty() { ", CUDA " (figure::name(&group.driver)) } }
            td.wide { (bar(part(group.best_kv_cache_bytes), part(group.median_kv_cache_bytes))) }
            td.num { (figure::count(group.runs as u64, Some(&place("runs")))) }
            td.num { (bytes(group.best_kv_cache_bytes.into(), "best_kv_cache_bytes")) }
            td.num { (bytes(group.median_kv_cache_bytes.into(), "median_kv_cache_bytes")) }
            td.num { (bytes(group.least_kv_cache_bytes.into(), "least_kv_cache_bytes")) }
            td.num { (bytes(group.lost_bytes, "lost_bytes")) }
            td { @if let Some(cause) = group.causes.first().filter(|cause| cause.lost_bytes > 0) { (cause.title) } }
        }
    }
}
