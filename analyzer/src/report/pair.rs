//! The page of two runs.

use super::evidence::Evidence;
use super::page::{Card, Page, Part};
use super::run::{self, Run};
use super::svg::waterfall::Kind;
use super::table::section;
use super::waterfall::{Row, Table};
use super::{figure, named, shown};
use crate::diff::{self, Diff};
use crate::failure::Failure;
use crate::symbols::Places;
use crate::{load, render};
use maud::{Markup, html};
use std::path::Path;

/// # Errors
/// Those of `diff`.
pub fn page(a: &Path, b: &Path, places: &Places) -> Result<Page, Failure> {
    let (trace_a, trace_b) = load::pair(a, b)?;
    let diff = diff::diff(&trace_a, &trace_b)?;
    let runs = [Run::of(trace_a, "show-a", "A", places)?, Run::of(trace_b, "show-b", "B", places)?];
    let [of_a, of_b] = &runs;
    let evidence = Evidence::default();
    let both = |of: &dyn Fn(&Run) -> Markup| {
        html! { @for run in &runs { @let body = of(run); @if !body.0.is_empty() { h3 { (side(run, of_a)) } (body) } } }
    };
    let mut parts = vec![
        Part::new("waterfall", "From A to B", waterfall(&diff, &evidence)),
        Part::new("verdicts", "What may have made it", run::verdicts(WHY, &diff.verdicts, &evidence)),
        Part::new("timeline", "Memory over time", both(&|run| run.timeline(&evidence))),
        Part::new("device", "Where the device went", both(&|run| run.device(&evidence))),
        Part::new("page-cache", "Page cache", both(&|run| run.page_cache(&evidence))),
        Part::new("capacity", "Capacity", run::capacity(&[of_a, of_b])),
        Part::new("comparable", "Comparable", sections(&[&render::diff::checks(&diff)], &evidence)),
        Part::new(
            "environment",
            "What else differs",
            sections(&[&render::diff::environment(&diff, true), &render::diff::cgroups(&diff)], &evidence),
        ),
        Part::new("owners", "Owners", sections(&[&render::diff::owners(&diff)], &evidence)),
        Part::new("decisions", "Decisions", both(&|run| run.decision(&evidence))),
        Part::new("details", "Details", both(&|run| html! { (run.scene(&evidence)) (run.details(&evidence)) })),
    ];
    parts.push(run::events(&evidence, &[("A", a), ("B", b)]));
    let answer = render::diff::answer(&diff);
    let sentences = render::diff::document(&diff, true).sentences;
    let (doubts, notes) = around(sentences, &answer);
    Ok(Page {
        title: format!(
            "KV cache {} to {}, {} against {}",
            render::gib(diff.a.kv_cache_bytes.into()),
            render::gib(diff.b.kv_cache_bytes.into()),
            of_a.name,
            of_b.name
        ),
        simulated: diff.simulated.then(|| render::SIMULATED.to_owned()),
        patched: diff.patched.clone(),
        doubts,
        answer,
        notes,
        cards: cards(&diff),
        parts,
        sources: vec![
            ("diff".into(), format!("kvtrace diff {} {} --format json", shown(a), shown(b))),
            ("show-a".into(), format!("kvtrace show {} --format json", shown(a))),
            ("show-b".into(), format!("kvtrace show {} --format json", shown(b))),
        ],
    })
}

const WHY: &str = "Named explanations of the difference, and what the traces say of each";

/// What stands before the answer makes it doubtful; what stands behind it is more. That a GPU is simulated is said above.
pub fn around(sentences: Vec<String>, answer: &str) -> (Vec<String>, Vec<String>) {
    let at = sentences.iter().position(|sentence| sentence == answer).unwrap_or(0);
    let mut doubts = sentences;
    let notes = doubts.split_off(at);
    let kept = |sentence: &String| sentence != answer && sentence != render::SIMULATED;
    (doubts, notes.into_iter().filter(kept).collect())
}

fn side(run: &Run, first: &Run) -> Markup {
    html! { (if std::ptr::eq(run, first) { "A" } else { "B" }) ": " (figure::name(&run.name)) }
}

fn sections(list: &[&render::Section], evidence: &Evidence) -> Markup {
    html! { @for part in list { (section(part, evidence, "")) } }
}

fn cards(diff: &Diff) -> Vec<Card> {
    let sides = [("A", &diff.a, "a"), ("B", &diff.b, "b")];
    let mut cards: Vec<Card> = sides
        .into_iter()
        .map(|(letter, side, key)| Card {
            label: format!("{letter}: {}", named(&side.label, &side.trace)),
            figure: figure::bytes(side.kv_cache_bytes, Some(&format!("diff/{key}/kv_cache_bytes"))),
            note: html! { (figure::bytes(side.free_at_b_bytes, Some(&format!("diff/{key}/free_at_b_bytes")))) " free as told" },
        })
        .collect();
    cards.push(Card {
        label: "Difference".into(),
        figure: figure::changed(diff.difference_bytes, Some("diff/difference_bytes")),
        note: html! { "KV cache" },
    });
    cards.push(Card {
        label: "Unexplained".into(),
        figure: figure::changed(diff.unexplained_bytes, Some("diff/unexplained_bytes")),
        note: html! {
            @if let Some(share) = diff.unexplained_share { (figure::share(share, Some("diff/unexplained_share"))) " of it" }
        },
    });
    cards
}

fn waterfall(diff: &Diff, evidence: &Evidence) -> Markup {
    let size = |letter: &str, side: &diff::SideSummary, key: &str| {
        let name = format!("{letter}: {}", named(&side.label, &side.trace));
        (name, i128::from(side.kv_cache_bytes), format!("diff/{key}/kv_cache_bytes"))
    };
    let bytes = |value: Option<i128>, place: String| html! { @if let Some(value) = value { (figure::bytes(value, Some(&place))) } };
    let share = |value: Option<f64>, place: String| html! { @if let Some(value) = value { (figure::share(value, Some(&place))) } };
    let terms = diff.terms.iter().enumerate().filter(|(_, term)| render::diff::shown(term));
    let mut rows: Vec<Row> = terms
        .map(|(at, term)| {
            let place = |field: &str| format!("diff/terms/{at}/{field}");
            Row {
                title: term.title.into(),
                change: term.kv_change_bytes,
                place: place("kv_change_bytes"),
                kind: Kind::Change,
                cells: vec![
                    share(term.share, place("share")),
                    bytes(term.a_bytes, place("a_bytes")),
                    bytes(term.b_bytes, place("b_bytes")),
                    html! { (term.confidence.name()) },
                    evidence.links(&term.evidence.join(", "), ""),
                ],
            }
        })
        .collect();
    rows.push(Row {
        title: "unexplained".into(),
        change: diff.unexplained_bytes,
        place: "diff/unexplained_bytes".into(),
        kind: Kind::Rest,
        cells: vec![
            share(diff.unexplained_share, "diff/unexplained_share".into()),
            html! {},
            html! {},
            html! {},
            html! {},
        ],
    });
    let table = Table {
        a: size("A", &diff.a, "a"),
        b: size("B", &diff.b, "b"),
        rows,
        columns: vec!["share", "at A", "at B", "known", "evidence"],
    };
    table.html()
}
