//! Many runs -> one line, and what it says about the explanations on offer.

mod gaps;
mod groups;
mod hypotheses;
mod input;
mod order;
mod regression;

use crate::failure::Failure;
use crate::verdict::Hypothesis;
pub use gaps::Between;
use kvtrace_sizing::GIB;
use kvtrace_sizing::line::Point;
use regression::{Interval, Regression};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Published figures carry two decimals of GiB, in both columns: more than this off the line is not rounding.
const ROUNDING: f64 = 0.02;

/// One run.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    pub labels: BTreeMap<String, String>,
    /// Further columns, where every run has a number.
    pub figures: BTreeMap<String, f64>,
    pub peak_gib: f64,
    pub kv_gib: f64,
    pub residual_gib: f64,
    /// Too far off the line for chance.
    pub outlier: bool,
}

impl Run {
    fn new(labels: BTreeMap<String, String>, peak_gib: f64, kv_gib: f64) -> Self {
        Run { labels, figures: BTreeMap::new(), peak_gib, kv_gib, residual_gib: 0.0, outlier: false }
    }

    fn point(&self) -> Point {
        Point { peak: self.peak_gib, kv: self.kv_gib }
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct Fit {
    pub slope: f64,
    /// 95 % interval; absent for two runs.
    pub slope_interval: Option<[f64; 2]>,
    pub fraction: f64,
    /// Peak at which nothing is left: the device's total plus the temporary pool. Absent for a flat line.
    pub total_bytes: Option<u64>,
    /// 95 % interval; absent for two runs, and where the line may be flat.
    pub total_interval_bytes: Option<[u64; 2]>,
    pub max_residual_bytes: u64,
    pub simulated: bool,
    /// The rules by which programs were told other figures than the real ones.
    pub patched: Vec<String>,
    pub warnings: Vec<String>,
    pub hypotheses: Vec<Hypothesis>,
    /// What lies between the runs of two labels.
    pub between: Vec<Between>,
    pub runs: Vec<Run>,
}

/// Reads runs from tables and trace directories and fits them.
///
/// # Errors
/// Bad input if a file cannot be read as either; no answer if the runs give no line.
pub fn fit(inputs: &[PathBuf]) -> Result<Fit, Failure> {
    let input::Runs { mut runs, simulated, patched } = input::read(inputs)?;
    let points: Vec<Point> = runs.iter().map(Run::point).collect();
    let Some(found) = Regression::through(&points) else {
        return Err(Failure::no_answer(
            format!("no line goes through {} run(s)", runs.len()),
            "at least two runs with different peaks are needed, three to test the line",
        ));
    };
    let zero = found.zero();
    let outliers = found.outliers(&points, ROUNDING);
    for (at, run) in runs.iter_mut().enumerate() {
        run.residual_gib = found.line.residual(run.point());
        run.outlier = outliers.contains(&at);
    }
    let columns: Vec<String> = runs.first().map(|run| run.labels.keys().cloned().collect()).unwrap_or_default();
    let sorted = order::sorted(&runs);
    let mut list = vec![hypotheses::one_line(&runs, &found), hypotheses::ceiling(&runs)];
    list.extend(hypotheses::rules(&runs, &found));
    list.extend(columns.iter().filter_map(|column| groups::depends_on(&runs, column)));
    list.extend(columns.iter().filter_map(|column| groups::different_models(&runs, column, -found.line.slope)));
    list.extend(columns.iter().filter_map(|column| groups::constant_overhead(&runs, column)));
    list.extend(order::drift(&sorted, &columns));
    let mut warnings: Vec<String> = columns.iter().filter_map(|column| order::not_mixed(&sorted, column)).collect();
    if runs.len() < 3 {
        warnings.push("two runs always lie on a line: more are needed to test it".into());
    }
    let bytes = |gib: f64| (gib * GIB as f64).max(0.0).round() as u64;
    let finite = |interval: Interval| (interval.low.is_finite() && interval.high.is_finite()).then_some(interval);
    Ok(Fit {
        slope: found.line.slope,
        slope_interval: finite(found.slope()).map(|interval| [interval.low, interval.high]),
        fraction: -found.line.slope,
        total_bytes: zero.map(|zero| bytes(zero.value)),
        total_interval_bytes: zero.and_then(finite).map(|interval| [bytes(interval.low), bytes(interval.high)]),
        max_residual_bytes: bytes(found.line.max_residual),
        simulated,
        patched,
        warnings,
        hypotheses: list,
        between: gaps::between(&runs, &columns, &found.line),
        runs,
    })
}

fn spread(values: impl Iterator<Item = f64>) -> f64 {
    let (least, most) = values.fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(value), most.max(value)));
    (most - least).max(0.0)
}
