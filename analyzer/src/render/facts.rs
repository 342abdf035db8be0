//! Kernel, driver, signs of a container, and what was not to be had.

use super::scene::middle;
use super::{Cell, Section};
use crate::facts::{Facts, Says};

/// Shown without --all, besides what begins with `NVIDIA`.
const FIRST: [&str; 7] = [
    "kernel",
    "machine",
    "kernel command line",
    "vm.min_free_kbytes",
    "vm.watermark_boost_factor",
    "transparent huge pages",
    "swap devices",
];
const LONGEST: usize = 64;

pub fn sections(facts: &Facts, all: bool) -> Vec<Section> {
    let mut sections = vec![machine(facts, all), signs(facts, all), missing(facts, all)];
    if all {
        sections.push(libraries(facts));
    }
    sections
}

fn text(text: &str, all: bool) -> Cell {
    Cell::Text(if all { text.to_owned() } else { middle(text, LONGEST) })
}

fn machine(facts: &Facts, all: bool) -> Section {
    let shown =
        facts.machine.iter().filter(|row| all || FIRST.contains(&row.name.as_str()) || row.name.contains("NVIDIA"));
    let rows =
        shown.map(|row| vec![Cell::Text(row.name.clone()), text(&row.value, all), Cell::Text(row.evidence.clone())]);
    Section { title: "Facts".into(), columns: vec!["fact", "value", "evidence"], rows: rows.collect() }
}

fn signs(facts: &Facts, all: bool) -> Section {
    let count = |says| facts.signs.iter().filter(|sign| sign.says == says).count();
    let rows = facts.signs.iter().filter(|sign| all || sign.says != Says::Nothing).map(|sign| {
        let says = match sign.says {
            Says::Container => "a container",
            Says::NoContainer => "no container",
            Says::Nothing => "nothing",
        };
        vec![
            Cell::Text(sign.sign.into()),
            text(&sign.found, all),
            Cell::Text(says.into()),
            Cell::Text(sign.evidence.clone()),
        ]
    });
    Section {
        title: format!(
            "Signs of a container: {} for, {} against, {} say nothing; none decides alone",
            count(Says::Container),
            count(Says::NoContainer),
            count(Says::Nothing)
        ),
        columns: vec!["sign", "found", "points to", "evidence"],
        rows: rows.collect(),
    }
}

fn missing(facts: &Facts, all: bool) -> Section {
    let rows: Vec<Vec<Cell>> = match all {
        true => facts
            .missing
            .iter()
            .map(|row| {
                let source = Cell::Text(row.source.clone());
                vec![Cell::Text(row.what.clone()), Cell::Text(reason(&row.reason)), source]
            })
            .collect(),
        false => facts
            .missing_together
            .iter()
            .map(|row| {
                let source = match row.sources.as_slice() {
                    [first, rest @ ..] if !rest.is_empty() => {
                        format!("{} and {} more (--all)", middle(first, 40), rest.len())
                    }
                    sources => sources.join(" "),
                };
                vec![Cell::Text(row.kind.clone()), Cell::Text(reason(&row.reason)), text(&source, all)]
            })
            .collect(),
    };
    Section { title: "What was not to be had".into(), columns: vec!["what", "why", "where"], rows }
}

/// The common errors in words.
fn reason(reason: &str) -> String {
    let words = match reason {
        "ENOENT" => "does not exist here",
        "EACCES" | "EPERM" => "may not be read",
        "ENOSYS" => "the kernel is too old",
        _ => return reason.to_owned(),
    };
    format!("{words} ({reason})")
}

fn libraries(facts: &Facts) -> Section {
    let rows = facts.libraries.iter().map(|library| {
        let file = if library.file.is_empty() { &library.path } else { &library.file };
        vec![Cell::Text(file.clone()), Cell::Text(library.build_id.clone())]
    });
    Section { title: "Libraries".into(), columns: vec!["file", "build id"], rows: rows.collect() }
}
