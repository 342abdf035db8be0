//! The page of two groups of runs.

use super::page::{Card, Page, Part};
use super::svg::waterfall::Kind;
use super::table::scroll;
use super::waterfall::{Row, Table};
use super::{figure, many, pair, shown};
use crate::diff::{self, Group, Groups};
use crate::failure::Failure;
use crate::{fit, render};
use maud::{Markup, html};
use std::path::Path;

/// # Errors
/// Those of `diff`. Where no line goes through the runs there is none on the page.
pub fn page(a: &Path, b: &Path) -> Result<Page, Failure> {
    let groups = diff::groups(a, b)?;
    let inputs = diff::each_run(&[a.to_owned(), b.to_owned()]);
    let fit = fit::fit(&inputs);
    let in_b = |trace: Option<&String>| groups.b.runs.iter().any(|run| Some(&run.trace) == trace);
    let line = match &fit {
        Ok(fit) => {
            let side = |run: &fit::Run| if in_b(run.labels.get("trace")) { "B" } else { "A" }.to_owned();
            let series: Vec<String> = fit.runs.iter().map(side).collect();
            html! { (many::scatter(fit, &series)) (many::runs(fit)) (many::hypotheses(fit)) }
        }
        Err(why) => html! { p { (figure::name(&why.message)) "." } },
    };
    let answer = render::groups::answer(&groups);
    let (doubts, notes) = pair::around(render::groups::document(&groups).sentences, &answer);
    let mut sources = vec![("diff".into(), format!("kvtrace diff {} {} --format json", shown(a), shown(b)))];
    if fit.is_ok() {
        sources.push(("fit".into(), format!("kvtrace fit {}/* {}/* --format json", shown(a), shown(b))));
    }
    Ok(Page {
        title: format!(
            "KV cache {} to {}, {} and {} runs",
            render::gib(groups.a.mean_kv_cache_bytes),
            render::gib(groups.b.mean_kv_cache_bytes),
            groups.a.runs.len(),
            groups.b.runs.len()
        ),
        simulated: groups.simulated.then(|| render::SIMULATED.to_owned()),
        patched: groups.patched.clone(),
        doubts,
        answer,
        notes,
        cards: cards(&groups),
        parts: vec![
            Part::new("waterfall", "From A to B on average", waterfall(&groups)),
            Part::new("line", "KV cache against peak", line),
            Part::new("runs", "Every run", runs(&groups)),
        ],
        sources,
    })
}

fn cards(groups: &Groups) -> Vec<Card> {
    let side = |label: &str, group: &Group, key: &str| Card {
        label: format!("{label}: mean of {} runs", group.runs.len()),
        figure: figure::bytes(group.mean_kv_cache_bytes, Some(&format!("diff/{key}/mean_kv_cache_bytes"))),
        note: html! {
            (figure::bytes(group.least_kv_cache_bytes, Some(&format!("diff/{key}/least_kv_cache_bytes")))) " to "
            (figure::bytes(group.most_kv_cache_bytes, Some(&format!("diff/{key}/most_kv_cache_bytes"))))
        },
    };
    let difference = Card {
        label: "Difference".into(),
        figure: figure::changed(groups.difference_bytes, Some("diff/difference_bytes")),
        note: interval(groups.difference_interval_bytes, "diff/difference_interval_bytes"),
    };
    let rest = Card {
        label: "Unexplained".into(),
        figure: figure::changed(groups.unexplained_bytes, Some("diff/unexplained_bytes")),
        note: interval(groups.unexplained_interval_bytes, "diff/unexplained_interval_bytes"),
    };
    vec![side("A", &groups.a, "a"), side("B", &groups.b, "b"), difference, rest]
}

fn interval(ends: Option<[i128; 2]>, place: &str) -> Markup {
    html! {
        @if let Some([low, high]) = ends {
            "95 %: " (figure::changed(low, Some(&format!("{place}/0")))) " to " (figure::changed(high, Some(&format!("{place}/1"))))
        }
    }
}

fn waterfall(groups: &Groups) -> Markup {
    let ends = |ends: Option<[i128; 2]>, place: &str| -> Vec<Markup> {
        (0..2)
            .map(|at| html! { @if let Some(ends) = ends { (figure::changed(ends[at], Some(&format!("{place}/{at}")))) } })
            .collect()
    };
    let terms = groups.terms.iter().enumerate().filter(|(_, term)| render::groups::shown(term));
    let mut rows: Vec<Row> = terms
        .map(|(at, term)| {
            let place = |field: &str| format!("diff/terms/{at}/{field}");
            let share = html! { @if let Some(share) = term.share { (figure::share(share, Some(&place("share")))) } };
            let mut cells = vec![share];
            cells.extend(ends(term.interval_bytes, &place("interval_bytes")));
            cells.push(html! { (term.confidence.name()) });
            Row {
                title: term.title.into(),
                change: term.kv_change_bytes,
                place: place("kv_change_bytes"),
                kind: Kind::Change,
                cells,
            }
        })
        .collect();
    let mut cells = vec![html! {}];
    cells.extend(ends(groups.unexplained_interval_bytes, "diff/unexplained_interval_bytes"));
    cells.push(html! {});
    rows.push(Row {
        title: "unexplained".into(),
        change: groups.unexplained_bytes,
        place: "diff/unexplained_bytes".into(),
        kind: Kind::Rest,
        cells,
    });
    let size = |label: &str, group: &Group, key: &str| {
        (format!("{label}: mean"), group.mean_kv_cache_bytes, format!("diff/{key}/mean_kv_cache_bytes"))
    };
    let table = Table {
        a: size("A", &groups.a, "a"),
        b: size("B", &groups.b, "b"),
        rows,
        columns: vec!["share", "from (95 %)", "to", "known"],
    };
    table.html()
}

fn runs(groups: &Groups) -> Markup {
    let sides = [("A", &groups.a, "a"), ("B", &groups.b, "b")];
    let table = html! {
        table {
            caption { "Runs, in the order in which they were started" }
            thead { tr {
                th scope="col" { "run" }
                th scope="col" { "side" }
                th scope="col" { "label" }
                th.num scope="col" { "free at B" }
                th.num scope="col" { "KV cache" }
                th scope="col" { "sizing query" }
            } }
            tbody {
                @for (letter, group, key) in sides {
                    @for (at, run) in group.runs.iter().enumerate() { tr {
                        th scope="row" { (figure::name(&run.trace)) }
                        td { (letter) }
                        td { (figure::name(&run.label)) }
                        td.num { (figure::bytes(run.free_at_b_bytes, Some(&format!("diff/{key}/runs/{at}/free_at_b_bytes")))) }
                        td.num { (figure::bytes(run.kv_cache_bytes, Some(&format!("diff/{key}/runs/{at}/kv_cache_bytes")))) }
                        td.evidence { (figure::name(&run.sizing_query)) }
                    } }
                }
            }
        }
    };
    scroll("Runs", &table)
}
