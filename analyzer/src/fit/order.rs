//! The order of the runs: whether the memory in use drifts or jumps over them, and whether the order was mixed.

use super::Run;
use crate::statistics::{self, LEAST_RUNS, SIGNIFICANT};
use crate::verdict::{Hypothesis, Verdict};
use std::collections::BTreeMap;

/// Columns that give the order; without one it is the order of the rows.
const ORDER: [&str; 5] = ["order", "run", "sequence", "started", "time"];

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
    hypotheses.extend(jump("the peak jumps between two runs", &all));
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

fn trend(name: &str, values: &[f64]) -> Hypothesis {
    let n = values.len();
    let Some(found) = statistics::trend(values) else {
        let because = format!("{n} runs: fewer than {LEAST_RUNS} show no trend that chance could not");
        return Hypothesis::new(name, Verdict::CannotTell, because);
    };
    let (moved, p) = (format!("{:+.2} GiB from run to run, over {n} runs", found.per_run), statistics::shown(found.p));
    match found.p < SIGNIFICANT {
        true => Hypothesis::new(name, Verdict::Supported, format!("{moved} (Mann-Kendall, {p})")),
        false => {
            let because = format!("no trend stands out: {moved} (Mann-Kendall, {p})");
            Hypothesis::new(name, Verdict::CannotTell, because)
        }
    }
}

/// One change of level.
fn jump(name: &str, values: &[f64]) -> Option<Hypothesis> {
    let statistics::Jump { after, by, p } = statistics::jump(values)?;
    let shown = statistics::shown(p);
    Some(match p < SIGNIFICANT {
        true => {
            let because = format!("{by:+.2} GiB after run {after} of {} (medians; Pettitt, {shown})", values.len());
            Hypothesis::new(name, Verdict::Supported, because)
        }
        false => Hypothesis::new(name, Verdict::CannotTell, format!("no jump stands out (Pettitt, {shown})")),
    })
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
