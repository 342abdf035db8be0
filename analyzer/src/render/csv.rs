//! The main table of a document, and those that go on with it, in bytes.

use super::{Cell, Document, escape};

pub fn render(document: &Document) -> String {
    let Some(section) = document.sections.get(document.main) else { return String::new() };
    let mut writer = csv::Writer::from_writer(Vec::new());
    let header = section.columns.iter().map(|column| column.replace(' ', "_"));
    let more = document.more.iter().filter_map(|at| document.sections.get(*at));
    let rows = std::iter::once(section).chain(more).flat_map(|section| &section.rows).map(|row| {
        let cells = row.iter().map(|cell| match cell {
            Cell::Text(text) => escape::csv(text),
            number => number.exact(),
        });
        cells.collect::<Vec<_>>()
    });
    for row in std::iter::once(header.collect()).chain(rows) {
        // Writing to memory: a row of another length is the one thing that could be refused, and there is none.
        if writer.write_record(row).is_err() {
            break;
        }
    }
    writer.into_inner().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
