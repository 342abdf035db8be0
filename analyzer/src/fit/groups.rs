//! Runs with different labels: whether they lie apart, and whether they should.

use super::hypotheses::LEAST_SPREAD;
use super::{ROUNDING, Run, spread};
use crate::verdict::{Hypothesis, Verdict};
use kvtrace_sizing::GIB;
use std::collections::BTreeMap;

/// A column of figures: KV bytes of one token of the run's model.
pub const BYTES_PER_TOKEN: &str = "kv_bytes_per_token";
/// Tokens of TensorRT-LLM's temporary pool with its default of 8192 tokens at once.
const TEMPORARY_TOKENS: f64 = 8224.0;
/// Throughputs of one machine and one model differ by less, those of models of different size by more.
const SAME_SPEED: f64 = 0.03;

type Groups<'r> = BTreeMap<&'r str, Vec<&'r Run>>;

fn groups<'r>(runs: &'r [Run], column: &str) -> Option<Groups<'r>> {
    let mut groups = Groups::new();
    for run in runs {
        groups.entry(run.labels.get(column)?).or_default().push(run);
    }
    (groups.len() > 1).then_some(groups)
}

fn mean<'r>(runs: &[&'r Run], figure: impl Fn(&'r Run) -> Option<f64>) -> Option<f64> {
    let values = runs.iter().map(|run| figure(run)).collect::<Option<Vec<f64>>>()?;
    Some(values.iter().sum::<f64>() / values.len() as f64)
}

/// Whether runs with different labels lie on different lines.
pub fn depends_on(runs: &[Run], column: &str) -> Option<Hypothesis> {
    let groups = groups(runs, column)?;
    if groups.values().any(|group| group.len() < 2) {
        return None;
    }
    let means = groups.values().filter_map(|group| mean(group, |run| Some(run.residual_gib)));
    let apart = spread(means);
    let worst = runs.iter().map(|run| run.residual_gib.abs()).fold(0.0, f64::max);
    let verdict = match () {
        () if worst <= ROUNDING => Verdict::Refuted,
        () if apart > 4.0 * ROUNDING && apart > worst => Verdict::Supported,
        () => Verdict::CannotTell,
    };
    let where_they_lie = if worst <= ROUNDING { "on one line" } else { "about one line" };
    let because =
        format!("runs of {} values of {column} lie {where_they_lie}, their means {apart:.3} GiB apart", groups.len());
    Some(Hypothesis::new(format!("the rule or its constants depend on {column}"), verdict, because))
}

/// Whether what is called different models was. The constant of the line is the device's total plus the temporary pool,
/// and the pool grows with the model's KV bytes per token.
pub fn different_models(runs: &[Run], column: &str, fraction: f64) -> Option<Hypothesis> {
    if !column.to_ascii_lowercase().contains("model") {
        return None;
    }
    let groups = groups(runs, column)?;
    let constants = groups.values().filter_map(|group| mean(group, |run| Some(run.residual_gib)));
    let apart = spread(constants) / fraction.max(0.01);
    let figure = |name: &str| -> Option<Vec<f64>> {
        groups.values().map(|group| mean(group, |run| run.figures.get(name).copied())).collect()
    };
    let per_token = figure(BYTES_PER_TOKEN);
    let expected = per_token.as_ref().map(|bytes| spread(bytes.iter().copied()) * TEMPORARY_TOKENS / GIB as f64);
    let same_size = expected.is_some_and(|expected| expected <= 4.0 * ROUNDING);
    let worst = runs.iter().map(|run| run.residual_gib.abs()).fold(0.0, f64::max);
    let same_constant = worst <= ROUNDING;
    let names = runs.first().map(|run| run.figures.keys()).into_iter().flatten();
    let speeds = names.filter(|name| is_speed(name)).filter_map(|name| Some((name, figure(name)?)));
    let speed = speeds.filter(|(_, speeds)| speeds.iter().all(|speed| *speed > 0.0)).map(|(name, speeds)| {
        let most = speeds.iter().copied().fold(f64::MIN, f64::max);
        (name, spread(speeds.iter().copied()) / most)
    });
    let speed = speed.min_by(|a, b| a.1.total_cmp(&b.1));
    let same_speed = speed.is_some_and(|(_, apart)| apart <= SAME_SPEED);

    let mut because = format!("{} values of {column} share one constant to {apart:.3} GiB", groups.len());
    because += &match expected {
        Some(expected) if !same_size => format!(
            "; models with such KV bytes per token should not: a temporary pool of {TEMPORARY_TOKENS} tokens would \
             set them {expected:.2} GiB apart"
        ),
        Some(_) => "; their KV bytes per token are the same, so they would".to_owned(),
        None => format!(
            "; models of different size should not, because the temporary pool in it grows with KV bytes per token \
             (a column {BYTES_PER_TOKEN} would say by how much)"
        ),
    };
    if let Some((name, apart)) = speed {
        because += &format!("; their {name} differs by {:.1} %", 100.0 * apart);
    }
    let verdict = match () {
        () if same_constant && same_speed && expected.is_some() && !same_size => Verdict::Refuted,
        () if !same_constant && expected.is_some_and(|expected| apart > 4.0 * ROUNDING && expected > ROUNDING) => {
            Verdict::Supported
        }
        () => Verdict::CannotTell,
    };
    if !same_constant {
        because = because.replacen("share one constant to", "have constants that differ by", 1);
    }
    Some(Hypothesis::new(format!("different models were run under the names in {column}"), verdict, because))
}

fn is_speed(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["throughput", "tokens_per_s", "tok_s", "tps", "token/s"].iter().any(|word| name.contains(word))
}

/// Of a column with two values: whether one costs a fixed amount of memory over the other, all else alike.
pub fn constant_overhead(runs: &[Run], column: &str) -> Option<Hypothesis> {
    let first = runs.first()?.labels.get(column)?.as_str();
    let second = runs.iter().filter_map(|run| run.labels.get(column)).find(|value| *value != first)?.as_str();
    if runs.iter().any(|run| run.labels.get(column).is_some_and(|value| value != first && value != second)) {
        return None;
    }
    let mut pairs: BTreeMap<Vec<(&String, &String)>, [Vec<f64>; 2]> = BTreeMap::new();
    for run in runs {
        let others = run.labels.iter().filter(|(name, _)| *name != column).collect();
        let side = usize::from(run.labels.get(column)? != first);
        pairs.entry(others).or_default()[side].push(run.peak_gib);
    }
    let mean = |list: &Vec<f64>| list.iter().sum::<f64>() / list.len() as f64;
    let overheads: Vec<f64> =
        pairs.values().filter(|[a, b]| !a.is_empty() && !b.is_empty()).map(|[a, b]| mean(b) - mean(a)).collect();
    if overheads.is_empty() {
        return None;
    }
    let apart = spread(overheads.iter().copied());
    let (least, most) = overheads.iter().fold((f64::MAX, f64::MIN), |(a, b), &x| (a.min(x), b.max(x)));
    let verdict = match () {
        () if overheads.len() < 2 => Verdict::CannotTell,
        () if apart > LEAST_SPREAD => Verdict::Refuted,
        () if apart <= 4.0 * ROUNDING && overheads.len() > 2 => Verdict::Supported,
        () => Verdict::CannotTell,
    };
    let because = format!("{} pair(s) of runs: the peak of {second} is {least:+.2} to {most:+.2} GiB", overheads.len());
    Some(Hypothesis::new(format!("a constant overhead of {second} over {first}"), verdict, because))
}
