//! The terms of a comparison as a table whose rows are the steps of a waterfall.

use super::figure;
use super::svg::waterfall::{Kind, Step, Waterfall};
use super::table::scroll;
use kvtrace_sizing::GIB;
use maud::{Markup, html};

/// One term, or the rest.
pub struct Row {
    pub title: String,
    pub change: i128,
    /// Of the change, in JSON.
    pub place: String,
    pub kind: Kind,
    /// Cells behind the change, one for each of [`Table::columns`].
    pub cells: Vec<Markup>,
}

/// From the size of A to that of B.
pub struct Table {
    pub a: (String, i128, String),
    pub b: (String, i128, String),
    pub rows: Vec<Row>,
    pub columns: Vec<&'static str>,
}

impl Table {
    pub fn html(&self) -> Markup {
        let mut at = self.a.1;
        let mut steps = vec![Step { kind: Kind::Size, from: 0, to: at }];
        for row in &self.rows {
            steps.push(Step { kind: row.kind, from: at, to: at + row.change });
            at += row.change;
        }
        steps.push(Step { kind: Kind::Size, from: 0, to: self.b.1 });
        let waterfall = Waterfall::of(&steps);
        let size = |(name, bytes, place): &(String, i128, String), at: usize| {
            html! {
                tr.size {
                    th scope="row" { (figure::name(name)) }
                    td.wide { (waterfall.row(steps[at], at == 0, at > 0)) }
                    td.num { (figure::bytes(*bytes, Some(place))) }
                    @for _ in &self.columns { td {} }
                }
            }
        };
        let table = html! {
            table.waterfall {
                caption { "From the KV cache of A to that of B, term by term" }
                thead { tr {
                    th scope="col" { "term" }
                    th.wide scope="col" { span.unseen { "bar" } }
                    th.num scope="col" { "KV cache" }
                    @for column in &self.columns { th.num[is_number(column)] scope="col" { (column) } }
                } }
                tbody {
                    (size(&self.a, 0))
                    @for (at, row) in self.rows.iter().enumerate() {
                        tr.rest[row.kind == Kind::Rest] {
                            th scope="row" { (figure::name(&row.title)) }
                            td.wide { (waterfall.row(steps[at + 1], false, false)) }
                            td.num { (figure::changed(row.change, Some(&row.place))) }
                            @for (column, cell) in self.columns.iter().zip(&row.cells) {
                                td.num[is_number(column)].known[*column == "known"].evidence[*column == "evidence"] { (cell) }
                            }
                        }
                    }
                    (size(&self.b, steps.len() - 1))
                }
            }
        };
        html! {
            (scroll("From A to B", &table))
            @if let Some(low) = waterfall.begins_at() {
                p.caption { "The bars begin at " (figure::number(low / GIB as f64, 2, None)) " GiB, not at nothing." }
            }
        }
    }
}

fn is_number(column: &str) -> bool {
    !matches!(column, "known" | "evidence")
}
