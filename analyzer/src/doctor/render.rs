//! The report for people: a sentence, a table of all that was looked at, and a word on each thing that is not ok.

use super::Report;
use super::finding::State;
use crate::render::{Cell, Document, Section, escape, table};

/// For a terminal. Reasons and remedies are sentences and commands: they stand below the table, each on its line.
pub fn terminal(report: &Report) -> String {
    let mut short = document(report);
    if let Some(section) = short.sections.first_mut() {
        section.columns.truncate(3);
        section.rows.iter_mut().for_each(|row| row.truncate(3));
    }
    let mut out = table::render(&short);
    for finding in report.findings.iter().filter(|finding| finding.state != State::Ok) {
        out.push_str(&format!("\n{}: {}\n", finding.state.word(), finding.check));
        for (mark, text) in [("", &finding.found), ("why: ", &finding.why), ("do:  ", &finding.remedy)] {
            if !text.is_empty() {
                out.push_str(&format!("  {mark}{}\n", escape::terminal(text)));
            }
        }
    }
    out
}

/// For Markdown and CSV: everything in one table.
pub fn document(report: &Report) -> Document {
    let rows = report.findings.iter().map(|finding| {
        [finding.state.word(), finding.check, &finding.found, &finding.why, &finding.remedy]
            .map(|text| Cell::Text(text.to_owned()))
            .to_vec()
    });
    let section = Section {
        title: "What was looked at".into(),
        columns: vec!["state", "check", "found", "why", "do"],
        rows: rows.collect(),
    };
    Document { sentences: vec![answer(report)], sections: vec![section], main: 0, more: Vec::new() }
}

fn answer(report: &Report) -> String {
    let what = report.command.first().map_or("A dynamically linked program", String::as_str);
    let of = |state| -> Vec<&str> {
        let findings = report.findings.iter().filter(|finding| finding.state == state);
        findings.map(|finding| finding.check).collect()
    };
    let (problems, notes, unknown) = (of(State::Problem), of(State::Note), of(State::Unknown));
    let mut answer = match problems.as_slice() {
        [] if unknown.iter().any(|check| check.starts_with("target.")) => {
            format!("Nothing was found that keeps {what} from being traced, but not all of it could be looked at.")
        }
        [] => format!("{what} can be traced here."),
        checks => format!("{what} cannot be traced here: see {}.", list(checks)),
    };
    for (what, checks) in [("Worth knowing", notes), ("Not to be found out here", unknown)] {
        if !checks.is_empty() {
            answer.push_str(&format!(" {what}: {}.", list(&checks)));
        }
    }
    answer
}

/// The names, each once.
fn list(checks: &[&str]) -> String {
    let mut names = checks.to_vec();
    names.dedup();
    names.join(", ")
}
