//! `kvtrace whatif` as sentences and tables.

use super::{Cell, Document, Section, decision, gib, grouped};
use crate::whatif::{Change, Outcome, WhatIf};

pub fn document(answer: &WhatIf) -> Document {
    let tokens = |outcome: &Outcome| outcome.tokens.map(|tokens| format!(" ({} tokens)", grouped(tokens)));
    let direction = match answer.change_bytes {
        0 => "as much as".to_owned(),
        bytes if bytes > 0 => format!("{} more than", gib(bytes)),
        bytes => format!("{} less than", gib(-bytes)),
    };
    let mut sentences = vec![format!(
        "The KV cache would be {}{}, {direction} the {} of this run.",
        gib(answer.predicted.kv_bytes.into()),
        tokens(&answer.predicted).unwrap_or_default(),
        gib(answer.observed.kv_bytes.into())
    )];
    if answer.simulated {
        sentences.push("Run on a simulated GPU: the order of calls is real, the device is not.".into());
    }
    if answer.rule_error_bytes != 0 {
        let direction = if answer.rule_error_bytes > 0 { "more" } else { "less" };
        let off = gib(answer.rule_error_bytes.abs());
        sentences.push(format!("For this run's own figures the rule gives {off} {direction} than was allocated."));
    }
    let settings: Vec<_> = answer.settings.iter().map(super::verdicts::setting).collect();
    if !settings.is_empty() {
        sentences.push(format!("To have it: {}", settings.join(", ")));
    }
    sentences.extend(answer.steps.iter().map(|step| format!("To have it: {step}")));
    sentences.extend(answer.notes.iter().map(|note| format!("Careful: {note}.")));
    let sections = vec![section(answer)];
    Document { sentences, sections, main: 0, more: Vec::new() }
}

fn section(answer: &WhatIf) -> Section {
    let cell = |value: f64, unit: &str| match unit {
        "bytes" => Cell::Bytes(value as i128),
        "tokens" if value == 0.0 => Cell::Text("none".into()),
        "tokens" => Cell::Count(value as u64),
        _ => Cell::Text(decision::fraction(value)),
    };
    let row = |of: &Change| {
        // The bytes of a token are no amount of memory.
        let unit = if of.what == "bytes per token" { "tokens" } else { of.unit };
        let change = if unit == "bytes" { Cell::Change((of.to - of.from) as i128) } else { Cell::Empty };
        vec![Cell::Text(of.what.into()), cell(of.from, unit), cell(of.to, unit), change]
    };
    let mut rows: Vec<_> = answer.changes.iter().map(row).collect();
    let (now, then) = (&answer.observed, &answer.predicted);
    let bytes = |outcome: &Outcome| Cell::Bytes(outcome.kv_bytes.into());
    rows.push(vec![Cell::Text("KV cache".into()), bytes(now), bytes(then), Cell::Change(answer.change_bytes)]);
    let tokens = |outcome: &Outcome| outcome.tokens.map_or(Cell::Text("not known".into()), Cell::Count);
    rows.push(vec![Cell::Text("tokens".into()), tokens(now), tokens(then), Cell::Empty]);
    let bound = |outcome: &Outcome| Cell::Text(outcome.bound.into());
    rows.push(vec![Cell::Text("bound by".into()), bound(now), bound(then), Cell::Empty]);
    Section {
        title: format!("By the rule of {}", answer.runtime),
        columns: vec!["figure", "this run", "what if", "change"],
        rows,
    }
}
