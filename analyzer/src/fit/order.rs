//! The order of the runs: whether the memory in use drifts or jumps over them, and whether the order was mixed.

use super::Run;
use crate::verdict::{Hypothesis, Verdict};
use statrs::distribution::{ContinuousCDF, Normal};
use std::collections::BTreeMap;

/// Columns that give the order; without one it is the order of the rows.
const ORDER: [&str; 5] = ["order", "run", "sequence", "started", "time"];
/// Fewer runs show no trend that chance could not.
const LEAST_RUNS: usize = 8;
const SIGNIFICANT: f64 = 0.05;

/// The runs as they followed each other.
pub fn sorted(runs: &[Run]) -> Vec<&Run> {
    let mut sorted: Vec<&Run> = runs.iter().collect();
    let column = ORDER.iter().find(|name| runs.iter().all(|run| run.figures.contains_key(**name)));
    if let Some(name) = column {
        let at = |run: &Run| run.figures.get(*name).copied().unwrap_or(0.0);
        sorted.sort_by(|a, b| at(a).total_cmp(&at(b)));
    }
    sorted
}

/// Whether the peak rises or falls over the runs of each group, all groups with enough runs.
pub fn drift(sorted: &[&Run], columns: &[String]) -> Vec<Hypothesis> {
    let mut hypotheses = Vec::new();
    let all: Vec<f64> = sorted.iter().map(|run| run.peak_gib).collect();
    hypotheses.push(trend("the peak drifts over the runs", &all));
    if all.len() >= LEAST_RUNS {
        hypotheses.push(jump("the peak jumps between two runs", &all));
    }
    for column in columns {
        let mut groups: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for run in sorted {
            if let Some(value) = run.labels.get(column) {
                groups.entry(value).or_default().push(run.peak_gib);
            }
        }
        let many = groups.len() > 1;
        let groups = groups.into_iter().filter(|(_, peaks)| many && peaks.len() >= LEAST_RUNS);
        hypotheses
            .extend(groups.map(|(value, peaks)| trend(&format!("the peak drifts over the runs of {value}"), &peaks)));
    }
    hypotheses
}

/// By Mann and Kendall, with Theil's and Sen's slope.
fn trend(name: &str, values: &[f64]) -> Hypothesis {
    let n = values.len();
    if n < LEAST_RUNS {
        let because = format!("{n} runs: fewer than {LEAST_RUNS} show no trend that chance could not");
        return Hypothesis::new(name, Verdict::CannotTell, because);
    }
    let mut slopes = Vec::with_capacity(n * (n - 1) / 2);
    let mut score = 0.0;
    for (i, first) in values.iter().enumerate() {
        for (j, second) in values.iter().enumerate().skip(i + 1) {
            let by = second - first;
            score += if by == 0.0 { 0.0 } else { by.signum() };
            slopes.push(by / (j - i) as f64);
        }
    }
    slopes.sort_by(f64::total_cmp);
    let median = slopes.get(slopes.len() / 2).copied().unwrap_or(0.0);
    let count = n as f64;
    let tied: f64 = ties(values).map(|t| t * (t - 1.0) * (2.0 * t + 5.0)).sum();
    let variance = (count * (count - 1.0) * (2.0 * count + 5.0) - tied) / 18.0;
    let z = (score.abs() - 1.0).max(0.0) / variance.sqrt().max(f64::MIN_POSITIVE);
    let p = two_sided(z);
    let moved = format!("{median:+.2} GiB from run to run, over {n} runs");
    match p < SIGNIFICANT {
        true => Hypothesis::new(name, Verdict::Supported, format!("{moved} (Mann-Kendall, p = {p:.3})")),
        false => {
            let because = format!("no trend stands out: {moved} (Mann-Kendall, p = {p:.2})");
            Hypothesis::new(name, Verdict::CannotTell, because)
        }
    }
}

/// One change of level, by Pettitt.
fn jump(name: &str, values: &[f64]) -> Hypothesis {
    let n = values.len();
    let sign = |by: f64| if by == 0.0 { 0.0 } else { by.signum() };
    let score = |at: usize| -> f64 {
        let (before, after) = values.split_at(at);
        before.iter().map(|a| after.iter().map(|b| sign(b - a)).sum::<f64>()).sum()
    };
    let at = (1..n).max_by(|a, b| score(*a).abs().total_cmp(&score(*b).abs())).unwrap_or(1);
    let count = n as f64;
    let p = (2.0 * (-6.0 * score(at).powi(2) / (count.powi(3) + count.powi(2))).exp()).min(1.0);
    let (before, after) = values.split_at(at);
    let by = median(after) - median(before);
    match p < SIGNIFICANT {
        true => {
            let because = format!("{by:+.2} GiB after run {at} of {n} (medians; Pettitt, p = {p:.3})");
            Hypothesis::new(name, Verdict::Supported, because)
        }
        false => Hypothesis::new(name, Verdict::CannotTell, format!("no jump stands out (Pettitt, p = {p:.2})")),
    }
}

/// Whether runs of one value stand together, so that what changes with time looks like an effect of the label.
pub fn not_mixed(sorted: &[&Run], column: &str) -> Option<String> {
    let values: Vec<&String> = sorted.iter().filter_map(|run| run.labels.get(column)).collect();
    let mut different = values.clone();
    different.sort();
    different.dedup();
    let blocks = 1 + values.windows(2).filter(|pair| pair.first() != pair.last()).count();
    let enough = different.len() > 1 && values.len() == sorted.len() && values.len() >= 2 * different.len();
    (enough && blocks == different.len()).then(|| {
        format!(
            "the runs of each {column} follow each other: whatever else changed with time looks like an effect of \
             {column}; mix the order"
        )
    })
}

fn ties(values: &[f64]) -> impl Iterator<Item = f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let lengths: Vec<f64> = sorted.chunk_by(|a, b| a == b).map(|group| group.len() as f64).collect();
    lengths.into_iter()
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

fn two_sided(z: f64) -> f64 {
    2.0 * (1.0 - Normal::standard().cdf(z.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trend_and_none() {
        let falling: Vec<f64> = (0..10).map(|n| 100.0 - 2.0 * f64::from(n)).collect();
        let found = trend("drift", &falling);
        assert_eq!(found.verdict, Verdict::Supported);
        assert!(found.because.starts_with("-2.00 GiB from run to run, over 10 runs"), "{}", found.because);
        let noise = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0, 5.0, 3.0];
        assert_eq!(trend("drift", &noise).verdict, Verdict::CannotTell);
        assert_eq!(trend("drift", &falling[..7]).verdict, Verdict::CannotTell);
        assert_eq!(trend("drift", &[1.0; 12]).verdict, Verdict::CannotTell);
    }

    #[test]
    fn a_jump_is_found_where_it_is() {
        let values = [10.0, 10.1, 9.9, 10.0, 10.2, 9.8, 14.0, 14.1, 13.9, 14.2, 14.0, 14.1];
        let found = jump("jump", &values);
        assert_eq!(found.verdict, Verdict::Supported);
        assert!(found.because.contains("after run 6 of 12"), "{}", found.because);
        let noise = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0, 5.0, 3.0];
        assert_eq!(jump("jump", &noise).verdict, Verdict::CannotTell);
    }
}
