//! A document for a terminal.

use super::{Cell, Document, escape};
use comfy_table::{CellAlignment, Table, presets};

pub fn render(document: &Document) -> String {
    let mut out = String::new();
    for sentence in &document.sentences {
        out.push_str(&escape::terminal(sentence));
        out.push('\n');
    }
    for section in document.sections.iter().filter(|section| !section.rows.is_empty()) {
        out.push('\n');
        out.push_str(&escape::terminal(&section.title));
        out.push('\n');
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_header(section.columns.iter().map(|column| column.to_uppercase()));
        for row in &section.rows {
            table.add_row(row.iter().map(|cell| {
                let side = if cell.is_number() { CellAlignment::Right } else { CellAlignment::Left };
                comfy_table::Cell::new(escape::terminal(&cell.shown())).set_alignment(side)
            }));
        }
        for (column, numeric) in numeric(&section.rows).into_iter().enumerate() {
            if numeric && let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        for line in table.lines() {
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
    out
}

fn numeric(rows: &[Vec<Cell>]) -> Vec<bool> {
    let width = rows.first().map_or(0, Vec::len);
    (0..width).map(|at| rows.iter().all(|row| row.get(at).is_none_or(|cell| !matches!(cell, Cell::Text(_))))).collect()
}
