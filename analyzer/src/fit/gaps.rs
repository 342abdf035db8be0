//! What lies between the runs of two labels: how much of it the peak explains along the line.

use super::Run;
use kvtrace_sizing::line::Line;
use serde::Serialize;
use std::collections::BTreeMap;

/// The runs of one label against those of another. GiB.
#[derive(Debug, Clone, Serialize)]
pub struct Between {
    /// The column that the labels are of.
    pub column: String,
    pub from: String,
    pub to: String,
    /// Means over the gaps.
    pub peak_change_gib: f64,
    pub kv_change_gib: f64,
    /// The most that the line leaves of a gap.
    pub worst_unexplained_gib: f64,
    pub gaps: Vec<Gap>,
}

/// Runs that are alike in all else. GiB, means where there are several.
#[derive(Debug, Clone, Serialize)]
pub struct Gap {
    /// The other labels that both have.
    pub alike: String,
    pub peak_change_gib: f64,
    pub kv_change_gib: f64,
    /// What the line makes of the change of the peak.
    pub by_peak_gib: f64,
    pub unexplained_gib: f64,
}

/// Of every column with two labels, in the order in which they come.
pub fn between(runs: &[Run], columns: &[String], line: &Line) -> Vec<Between> {
    columns.iter().filter_map(|column| of_column(runs, column, line)).collect()
}

fn of_column(runs: &[Run], column: &str, line: &Line) -> Option<Between> {
    let values = || runs.iter().filter_map(|run| run.labels.get(column));
    let from = values().next()?;
    let to = values().find(|value| *value != from)?;
    if values().any(|value| value != from && value != to) {
        return None;
    }
    let mut pairs: BTreeMap<String, [Vec<&Run>; 2]> = BTreeMap::new();
    for run in runs {
        let others: Vec<&str> =
            run.labels.iter().filter(|(name, _)| *name != column).map(|(_, value)| value.as_str()).collect();
        let side = usize::from(run.labels.get(column) != Some(from));
        pairs.entry(others.join(", ")).or_default()[side].push(run);
    }
    let mean = |runs: &[&Run], of: fn(&Run) -> f64| runs.iter().map(|run| of(run)).sum::<f64>() / runs.len() as f64;
    let gap = |(alike, [a, b]): (String, [Vec<&Run>; 2])| {
        if a.is_empty() || b.is_empty() {
            return None;
        }
        let change = |of: fn(&Run) -> f64| mean(&b, of) - mean(&a, of);
        let (peak_change_gib, kv_change_gib) = (change(|run| run.peak_gib), change(|run| run.kv_gib));
        let by_peak_gib = line.slope * peak_change_gib;
        Some(Gap { alike, peak_change_gib, kv_change_gib, by_peak_gib, unexplained_gib: kv_change_gib - by_peak_gib })
    };
    let gaps: Vec<Gap> = pairs.into_iter().filter_map(gap).collect();
    if gaps.is_empty() {
        return None;
    }
    let mean = |of: fn(&Gap) -> f64| gaps.iter().map(of).sum::<f64>() / gaps.len() as f64;
    Some(Between {
        column: column.to_owned(),
        from: from.clone(),
        to: to.clone(),
        peak_change_gib: mean(|gap| gap.peak_change_gib),
        kv_change_gib: mean(|gap| gap.kv_change_gib),
        worst_unexplained_gib: gaps.iter().map(|gap| gap.unexplained_gib.abs()).fold(0.0, f64::max),
        gaps,
    })
}
