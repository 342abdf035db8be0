//! `kvtrace diff` of several runs a side, as sentences and tables.

use super::{Cell, Document, Section, gib};
use crate::diff::{Group, GroupTerm, Groups};

pub fn document(groups: &Groups) -> Document {
    let mut sentences = Vec::new();
    if !groups.comparable {
        let what = groups.differing.join(", ");
        sentences.push(format!("Warning: these are not runs of one set-up: they differ in {what}."));
    }
    sentences.push(answer(groups));
    if groups.simulated {
        sentences.push(super::SIMULATED.into());
    }
    sentences.extend(groups.warnings.iter().map(|warning| format!("Careful: {warning}.")));
    Document { sentences, sections: vec![terms(groups), runs(groups)], main: 0, more: Vec::new() }
}

pub fn answer(groups: &Groups) -> String {
    let (a, b) = (&groups.a, &groups.b);
    let counts = format!("{} runs of A and {} of B", a.runs.len(), b.runs.len());
    let means = format!("{} -> {}", gib(a.mean_kv_cache_bytes), gib(b.mean_kv_cache_bytes));
    let difference = groups.difference_bytes;
    let mut text = match difference {
        0 => format!("Over {counts} the KV caches have the same mean ({})", gib(a.mean_kv_cache_bytes)),
        _ => {
            let direction = if difference < 0 { "smaller" } else { "larger" };
            format!(
                "Over {counts} the KV cache of B is {} {direction} than A's on average ({means})",
                gib(difference.abs())
            )
        }
    };
    if let Some([low, high]) = groups.difference_interval_bytes {
        text += &format!("; 95 %: {} to {}", super::change(low), super::change(high));
        if low <= 0 && high >= 0 {
            text += ", which may be nothing";
        }
    }
    let first = groups.terms.iter().max_by_key(|term| term.kv_change_bytes.unsigned_abs());
    if let Some(term) = first.filter(|term| difference != 0 && term.share.is_some_and(|share| share >= 0.5)) {
        text += &format!("; {:.1} % of it is {}", 100.0 * term.share.unwrap_or(0.0), term.title);
    }
    text + "."
}

/// What is nothing in all runs is left out; JSON has all.
pub fn shown(term: &GroupTerm) -> bool {
    term.kv_change_bytes != 0 || term.interval_bytes.is_some_and(|[low, high]| low != 0 || high != 0)
}

fn terms(groups: &Groups) -> Section {
    let row = |title: &str, change: i128, interval: Option<[i128; 2]>, share: Option<f64>, known: &str| {
        let [low, high] = interval.map_or([Cell::Empty, Cell::Empty], |ends| ends.map(Cell::Change));
        let share = share.map_or(Cell::Empty, Cell::Share);
        vec![Cell::Text(title.into()), Cell::Change(change), low, high, share, Cell::Text(known.into())]
    };
    let shown = groups.terms.iter().filter(|term| shown(term));
    let mut rows: Vec<_> = shown
        .map(|term| row(term.title, term.kv_change_bytes, term.interval_bytes, term.share, term.confidence.name()))
        .collect();
    let whole = groups.difference_bytes;
    let part = |bytes: i128| (whole != 0).then(|| bytes as f64 / whole as f64 + 0.0);
    let rest = groups.unexplained_bytes;
    rows.push(row("unexplained", rest, groups.unexplained_interval_bytes, part(rest), ""));
    rows.push(row("KV cache", whole, groups.difference_interval_bytes, part(whole), ""));
    Section {
        title: "What changed on average, and what it did to the KV cache".into(),
        columns: vec!["term", "kv change", "from (95 %)", "to", "share", "known"],
        rows,
    }
}

fn runs(groups: &Groups) -> Section {
    let of = |side: &'static str, group: &Group| {
        let row = move |run: &crate::diff::GroupRun| {
            vec![
                Cell::Text(side.into()),
                Cell::Text(run.trace.clone()),
                Cell::Text(run.label.clone()),
                Cell::Bytes(run.free_at_b_bytes.into()),
                Cell::Bytes(run.kv_cache_bytes.into()),
                Cell::Text(run.sizing_query.clone()),
            ]
        };
        group.runs.iter().map(row).collect::<Vec<_>>()
    };
    let rows = of("A", &groups.a).into_iter().chain(of("B", &groups.b)).collect();
    Section {
        title: "Runs, in the order in which they were started".into(),
        columns: vec!["side", "trace", "label", "free at B", "kv cache", "sizing query"],
        rows,
    }
}
