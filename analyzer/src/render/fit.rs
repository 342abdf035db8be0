//! `kvtrace fit` as sentences and tables.

use super::{Cell, Document, Section};
use crate::fit::Fit;
use kvtrace_sizing::GIB;

pub fn document(fit: &Fit) -> Document {
    let gib = |bytes: u64| bytes as f64 / GIB as f64;
    let mut sentences = vec![format!(
        "KV = {:.3} x ({:.2} GiB - peak): {} runs, slope {:.3}, largest residual {:.3} GiB.",
        fit.fraction,
        gib(fit.total_bytes),
        fit.runs.len(),
        fit.slope,
        gib(fit.max_residual_bytes),
    )];
    if fit.simulated {
        sentences.push("Runs on the simulated GPU are among these.".into());
    }
    let hypotheses = fit.hypotheses.iter().map(|hypothesis| {
        vec![
            Cell::Text(hypothesis.name.clone()),
            Cell::Text(hypothesis.verdict.name().into()),
            Cell::Text(hypothesis.because.clone()),
        ]
    });
    let bytes = |gib: f64| (gib * GIB as f64).round() as i128;
    let runs = fit.runs.iter().map(|run| {
        let labels: Vec<_> = run.labels.values().map(String::as_str).collect();
        vec![
            Cell::Text(labels.join(", ")),
            Cell::Bytes(bytes(run.peak_gib)),
            Cell::Bytes(bytes(run.kv_gib)),
            Cell::Change(bytes(run.residual_gib)),
        ]
    });
    let sections = vec![
        Section {
            title: "Hypotheses".into(),
            columns: vec!["hypothesis", "verdict", "because"],
            rows: hypotheses.collect(),
        },
        Section { title: "Runs".into(), columns: vec!["run", "peak", "kv", "residual"], rows: runs.collect() },
    ];
    Document { sentences, sections, main: 1 }
}
