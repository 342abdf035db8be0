//! Where a device's memory went, as a table in the columns of a decision's.

use super::{Cell, Section, decision, gib};
use crate::attribution::Attribution;

/// Parts of a term that the table shows: a model has many files.
const SHOWN_PARTS: usize = 8;
/// Parts below this share of the device are not worth a row.
const SMALL: f64 = 0.0005;

/// What limits the answer.
pub fn sentences(found: &Attribution) -> Vec<String> {
    let terms = found.terms.iter().filter_map(|term| Some((term.title, term.note.as_ref()?)));
    let terms = terms.map(|(title, note)| format!("{}: {note}.", super::capital(title)));
    let notes = found.notes.iter().map(|note| format!("Where the device's memory went: {note}."));
    terms.chain(notes).collect()
}

pub fn section(found: &Attribution, all: bool) -> Section {
    let mut rows = Vec::new();
    let mut row = |name: String, bytes: i128, known: &str, evidence: &[String]| {
        rows.push(vec![Cell::Text(name), Cell::Bytes(bytes), Cell::Text(known.into()), Cell::Text(evidence.join(" "))]);
    };
    for term in &found.terms {
        row(term.title.into(), term.bytes, term.confidence.name(), &term.evidence);
        let small = |bytes: i128| bytes.unsigned_abs() as f64 <= SMALL * found.total_bytes as f64;
        let (shown, hidden): (Vec<_>, Vec<_>) =
            term.parts.iter().enumerate().partition(|(at, part)| all || *at < SHOWN_PARTS && !small(part.bytes));
        for (_, part) in &shown {
            row(format!("  {}", super::show::file_name(&part.title)), part.bytes, "", &part.evidence);
        }
        let rest: i128 = hidden.iter().map(|(_, part)| part.bytes).sum();
        if !shown.is_empty() && !small(rest) {
            row(format!("  {} more", hidden.len()), rest, "", &[]);
        }
    }
    row("unexplained".into(), found.unexplained_bytes, "", &[]);
    row("device total".into(), found.total_bytes.into(), "", &[]);
    Section {
        title: format!("Where the {} of the device went, as of query B {}", gib(found.total_bytes.into()), found.of),
        columns: decision::COLUMNS.to_vec(),
        rows,
    }
}
