//! A document for an issue or a pull request.

use super::{Document, escape};

pub fn render(document: &Document) -> String {
    let mut out = String::new();
    for (at, sentence) in document.sentences.iter().enumerate() {
        let text = escape::markdown(sentence);
        match at {
            0 => out.push_str(&format!("**{text}**\n")),
            _ => out.push_str(&format!("\n{text}\n")),
        }
    }
    for section in document.sections.iter().filter(|section| !section.rows.is_empty()) {
        out.push_str(&format!("\n### {}\n\n", escape::markdown(&section.title)));
        out.push_str(&format!("| {} |\n", section.columns.join(" | ")));
        let first = section.rows.first();
        let right = |at| first.and_then(|row: &Vec<super::Cell>| row.get(at)).is_some_and(super::Cell::is_number);
        let rule: Vec<_> = (0..section.columns.len()).map(|at| if right(at) { "---:" } else { "---" }).collect();
        out.push_str(&format!("| {} |\n", rule.join(" | ")));
        for row in &section.rows {
            let cells: Vec<_> = row.iter().map(|cell| escape::markdown(&cell.shown())).collect();
            out.push_str(&format!("| {} |\n", cells.join(" | ")));
        }
    }
    out
}
