//! Figures and names as HTML. A figure carries its exact value, and where the JSON of the same answer has it.

use crate::render::{Cell, change, escape, gib, grouped};
use maud::{Markup, html};

/// `ANSWER/POINTER`: the command's answer, and the JSON pointer into it.
pub type Place<'p> = Option<&'p str>;

/// Of the traced program: it may hold anything. Not reordered with what stands around it.
pub fn name(text: &str) -> Markup {
    html! { bdi { (escape::terminal(text)) } }
}

pub fn bytes(value: impl Into<i128>, place: Place) -> Markup {
    let value = value.into();
    marked(&value.to_string(), &minus(&gib(value)), place)
}

/// With a sign.
pub fn changed(value: impl Into<i128>, place: Place) -> Markup {
    let value = value.into();
    marked(&value.to_string(), &minus(&change(value)), place)
}

pub fn count(value: u64, place: Place) -> Markup {
    marked(&value.to_string(), &grouped(value), place)
}

/// A measured number with as many digits as a person wants.
pub fn number(value: f64, digits: usize, place: Place) -> Markup {
    // Adding 0 takes the sign off what rounds to zero.
    let shown = format!("{:.digits$}", (value * 1e9).round() / 1e9 + 0.0);
    marked(&value.to_string(), &minus(&shown), place)
}

/// A share of one, in percent.
pub fn share(value: f64, place: Place) -> Markup {
    marked(&value.to_string(), &minus(&Cell::Share(value).shown()), place)
}

pub fn cell(cell: &Cell) -> Markup {
    match cell {
        Cell::Text(text) => name(text),
        Cell::Empty => html! {},
        Cell::Bytes(value) => bytes(*value, None),
        Cell::Change(value) => changed(*value, None),
        Cell::Count(value) => count(*value, None),
        other => html! { (minus(&other.shown())) },
    }
}

fn marked(exact: &str, shown: &str, place: Place) -> Markup {
    html! { data value=(exact) data-json=[place] { (shown) } }
}

/// The sign that is as wide as a plus.
fn minus(text: &str) -> String {
    match text.strip_prefix('-') {
        Some(rest) => format!("\u{2212}{rest}"),
        None => text.to_owned(),
    }
}
