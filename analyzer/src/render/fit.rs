//! `kvtrace fit` as sentences and tables.

use super::{Cell, Document, Section};
use crate::fit::{Between, Fit};
use kvtrace_sizing::GIB;

pub const SIMULATED: &str = "Runs on the simulated GPU are among these.";

pub fn document(fit: &Fit) -> Document {
    let gib = |bytes: u64| bytes as f64 / GIB as f64;
    let formula = match fit.total_bytes {
        Some(total) => format!("{:.3} x ({:.2} GiB - peak)", fit.fraction, gib(total)),
        None => "one size, whatever the peak".into(),
    };
    let mut sentences = vec![format!(
        "KV = {formula}: {} runs, slope {:.3}, largest residual {:.3} GiB.",
        fit.runs.len(),
        fit.slope,
        gib(fit.max_residual_bytes),
    )];
    if let (Some([low, high]), Some([least, most])) = (fit.slope_interval, fit.total_interval_bytes) {
        sentences.push(format!(
            "With 95 % confidence the slope is {low:.4} to {high:.4}, and the peak that leaves nothing {:.3} to {:.3} GiB.",
            gib(least),
            gib(most)
        ));
    }
    sentences.extend(fit.warnings.iter().map(|warning| format!("Careful: {warning}.")));
    if fit.simulated {
        sentences.push(SIMULATED.into());
    }
    let bytes = |gib: f64| (gib * GIB as f64).round() as i128;
    let runs = fit.runs.iter().map(|run| {
        let labels: Vec<_> = run.labels.values().map(String::as_str).collect();
        let outlier = if run.outlier { "outlier" } else { "" };
        vec![
            Cell::Text(labels.join(", ")),
            Cell::Bytes(bytes(run.peak_gib)),
            Cell::Bytes(bytes(run.kv_gib)),
            Cell::Change(bytes(run.residual_gib)),
            Cell::Text(outlier.into()),
        ]
    });
    let mut sections = vec![
        hypotheses(fit),
        Section { title: "Runs".into(), columns: vec!["run", "peak", "kv", "residual", ""], rows: runs.collect() },
    ];
    sections.extend(fit.between.iter().map(between));
    Document { sentences, sections, main: 1, more: Vec::new() }
}

/// What the peak explains between runs of two labels.
fn between(between: &Between) -> Section {
    let bytes = |gib: f64| (gib * GIB as f64).round() as i128;
    let rows = between.gaps.iter().map(|gap| {
        let changes = [gap.peak_change_gib, gap.by_peak_gib, gap.kv_change_gib, gap.unexplained_gib];
        let name = if gap.alike.is_empty() { &between.to } else { &gap.alike };
        std::iter::once(Cell::Text(name.clone())).chain(changes.map(|gib| Cell::Change(bytes(gib)))).collect()
    });
    Section {
        title: format!("From {} to {}: what the peak explains", between.from, between.to),
        columns: vec!["runs", "peak", "by the line", "kv", "unexplained"],
        rows: rows.collect(),
    }
}

pub fn hypotheses(fit: &Fit) -> Section {
    let rows = fit.hypotheses.iter().map(|hypothesis| {
        vec![
            Cell::Text(hypothesis.name.clone()),
            Cell::Text(hypothesis.verdict.name().into()),
            Cell::Text(hypothesis.because.clone()),
        ]
    });
    Section { title: "Hypotheses".into(), columns: vec!["hypothesis", "verdict", "because"], rows: rows.collect() }
}
