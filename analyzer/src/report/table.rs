//! Tables as HTML.

use super::evidence::Evidence;
use super::figure;
use crate::render::{Cell, Section, escape};
use maud::{Markup, html};

/// Around whatever may be wider than the page: it scrolls by itself, by keyboard too.
pub fn scroll(label: &str, table: &Markup) -> Markup {
    html! { div.scroll role="region" aria-label=(escape::terminal(label)) tabindex="0" { (table) } }
}

/// A section of the command's own answer, with links for its evidence.
pub fn section(section: &Section, evidence: &Evidence, side: &'static str) -> Markup {
    if section.rows.is_empty() {
        return html! {};
    }
    let is_number = |at: usize| section.rows.iter().any(|row| row.get(at).is_some_and(Cell::is_number));
    let body = html! {
        table {
            caption { (figure::name(&section.title)) }
            thead { tr {
                @for (at, column) in section.columns.iter().enumerate() {
                    th.num[is_number(at)] scope="col" { (column) }
                }
            } }
            tbody { @for row in &section.rows { tr {
                @for (at, cell) in row.iter().enumerate() {
                    @let linked = section.columns.get(at) == Some(&"evidence");
                    @match cell {
                        Cell::Text(text) if linked && at == 0 => th.evidence scope="row" { (evidence.links(text, side)) },
                        Cell::Text(text) if linked => td.evidence { (evidence.links(text, side)) },
                        // What a row is about has a level of its own where it is indented.
                        Cell::Text(text) if at == 0 => th scope="row" { (indent(text)) (figure::name(text.trim_start())) },
                        // One of three words.
                        Cell::Text(_) if section.columns.get(at) == Some(&"verdict") => td.keep { (figure::cell(cell)) },
                        Cell::Text(_) if is_number(at) => td.words { (figure::cell(cell)) },
                        _ => td.num[is_number(at)] { (figure::cell(cell)) },
                    }
                }
            } } }
        }
    };
    scroll(&section.title, &body)
}

fn indent(text: &str) -> String {
    "\u{2003}".repeat((text.len() - text.trim_start().len()) / 2)
}
