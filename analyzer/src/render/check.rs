//! `kvtrace check` as a sentence and a table.

use super::{Cell, Document, Section};
use crate::check::Check;

pub fn document(check: &Check) -> Document {
    let broken = check.bounds.iter().filter(|bound| !bound.kept).count();
    let mut sentences = vec![match (broken, check.bounds.len()) {
        (0, 1) => "The bound is kept.".into(),
        (0, all) => format!("All {all} bounds are kept."),
        (1, 1) => "The bound is not kept.".into(),
        (broken, all) => format!("{broken} of {all} bounds {} not kept.", if broken == 1 { "is" } else { "are" }),
    }];
    if check.simulated {
        sentences.push("Run on a simulated GPU: the order of calls is real, the device is not.".into());
    }
    let rows = check.bounds.iter().map(|bound| {
        let result = if bound.kept { "kept" } else { "NOT KEPT" };
        let evidence = bound.evidence.join(", ");
        [&bound.name, &bound.bound, &bound.found, result, &evidence].map(|text| Cell::Text(text.into())).to_vec()
    });
    let columns = vec!["bound on", "bound", "found", "result", "evidence"];
    let section = Section { title: "Bounds".into(), columns, rows: rows.collect() };
    Document { sentences, sections: vec![section], main: 0, more: Vec::new() }
}
