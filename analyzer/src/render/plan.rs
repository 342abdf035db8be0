//! `kvtrace plan` as sentences and a table.

use super::{Cell, Document, Section, gib, grouped};
use crate::plan::Plan;

pub fn document(plan: &Plan) -> Document {
    let mut sentences = vec![format!(
        "{} of KV cache hold {} tokens of {} bytes ({}, {} attention layers), in {} blocks of {}.",
        gib(plan.kv_bytes.into()),
        grouped(plan.tokens),
        grouped(plan.kv_bytes_per_token),
        plan.kv_dtype,
        plan.attention_layers,
        grouped(plan.blocks),
        plan.tokens_per_block
    )];
    sentences.extend(plan.settings.iter().map(|setting| format!("To have that size whatever is free: {setting}")));
    sentences.extend(plan.notes.iter().map(|note| format!("Careful: {note}.")));
    let rows = plan.capacity.iter().map(|row| {
        let note = if row.beyond_model { "beyond what the model was made for" } else { "" };
        vec![Cell::Count(row.context), Cell::Count(row.requests), Cell::Text(note.into())]
    });
    let section = Section {
        title: "Requests that fit at once".into(),
        columns: vec!["tokens of each", "requests", ""],
        rows: rows.collect(),
    };
    Document { sentences, sections: vec![section], main: 0, more: Vec::new() }
}
