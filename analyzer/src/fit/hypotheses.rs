//! What the line itself says: whether there is one, whose rule it is, and whether something stops it.

use super::regression::{Interval, Regression};
use super::{ROUNDING, Run, spread};
use crate::verdict::{Hypothesis, Verdict};
use kvtrace_sizing::line::Line;

/// A spread of peaks below this says nothing about a slope.
pub const LEAST_SPREAD: f64 = 0.5;

/// Whether one line holds for all runs.
pub fn one_line(runs: &[Run], fit: &Regression) -> Hypothesis {
    let line = &fit.line;
    let spread = spread(runs.iter().map(|run| run.peak_gib));
    let verdict = match runs.len() {
        0..=2 => Verdict::CannotTell,
        _ if spread < LEAST_SPREAD => Verdict::CannotTell,
        _ if line.max_residual <= ROUNDING && line.slope < 0.0 => Verdict::Supported,
        _ if line.max_residual <= ROUNDING => Verdict::Refuted,
        // Between rounding and a tenth of the range the line may hold with another influence on top.
        _ if line.max_residual > 0.1 * spread * line.slope.abs().max(0.1) => Verdict::Refuted,
        _ => Verdict::CannotTell,
    };
    let formula = match fit.zero() {
        Some(zero) => format!("{:.3} x ({:.2} GiB - peak)", -line.slope, zero.value),
        None => format!("{:.2} GiB, whatever the peak", line.intercept),
    };
    let because = format!(
        "{} runs over {spread:.2} GiB of peak lie within {:.3} GiB of KV = {formula}",
        runs.len(),
        line.max_residual,
    );
    Hypothesis::new("one line: KV = f x (total - peak)", verdict, because)
}

/// Which runtimes' rules have such a slope.
pub fn rules(runs: &[Run], fit: &Regression) -> Vec<Hypothesis> {
    let spread = spread(runs.iter().map(|run| run.peak_gib));
    // Rounding alone tilts a line by so much.
    let tilt = ROUNDING / spread.max(1e-9);
    let slope = fit.slope();
    let wide = Interval { low: slope.low - tilt, high: slope.high + tilt, ..slope };
    let undecided = runs.len() < 3 || spread < LEAST_SPREAD || wide.low.is_infinite();
    let judge = |name: &str, holds: bool, excluded: bool, what: &str| {
        let verdict = match () {
            () if undecided => Verdict::CannotTell,
            () if excluded => Verdict::Refuted,
            () if holds && fit.line.max_residual <= ROUNDING => Verdict::Supported,
            () => Verdict::CannotTell,
        };
        let because = match undecided {
            true => "too few runs, or too close together, to know a slope".to_owned(),
            false => {
                format!("{what}; the slope is {:.4} (95 %: {:.4} to {:.4})", slope.value, slope.low, slope.high)
            }
        };
        Hypothesis::new(name, verdict, because)
    };
    vec![
        judge(
            "rule: a fraction of what the peak leaves (TensorRT-LLM)",
            wide.high < 0.0 && wide.low > -1.0,
            wide.holds(0.0) || wide.low > 0.0 || wide.high < -1.0,
            "each byte of peak costs the fraction of a byte",
        ),
        judge(
            "rule: a share of the total, less the peak (vLLM, SGLang)",
            wide.holds(-1.0),
            !wide.holds(-1.0),
            "each byte of peak costs a byte",
        ),
        judge(
            "rule: a fixed size (llama.cpp, max_tokens)",
            wide.holds(0.0),
            !wide.holds(0.0),
            "the peak costs nothing",
        ),
    ]
}

/// A ceiling would make the runs with the most KV lie below the line of the others, on one level.
pub fn ceiling(runs: &[Run]) -> Hypothesis {
    let mut sorted: Vec<&Run> = runs.iter().collect();
    sorted.sort_by(|a, b| a.kv_gib.total_cmp(&b.kv_gib));
    let top = (runs.len() / 3).max(2).min(runs.len());
    let (low, high) = sorted.split_at(runs.len() - top);
    let below = Line::through(&low.iter().map(|run| run.point()).collect::<Vec<_>>());
    let highest = high.last().map_or(0.0, |run| run.kv_gib);
    let moved = spread(high.iter().map(|run| run.kv_gib));
    let name = format!("ceiling: KV stops at {highest:.2} GiB");
    let Some(below) = below else {
        return Hypothesis::new(
            name,
            Verdict::CannotTell,
            "too few runs below the top to say where a line would go on",
        );
    };
    let off = high.iter().map(|run| below.residual(run.point()));
    let worst = off.clone().fold(0.0, |worst: f64, off| if off.abs() > worst.abs() { off } else { worst });
    // The line of the others is known to rounding, and the error grows on the way to the top.
    let reach = spread(runs.iter().map(|run| run.peak_gib)) / spread(low.iter().map(|run| run.peak_gib)).max(1e-9);
    let tolerance = ROUNDING * reach.max(1.0);
    let verdict = match () {
        () if worst.abs() <= tolerance && moved > 2.0 * ROUNDING => Verdict::Refuted,
        () if worst < -tolerance && moved <= 2.0 * ROUNDING => Verdict::Supported,
        () => Verdict::CannotTell,
    };
    let because = match verdict {
        Verdict::Refuted => format!(
            "the top {top} runs still differ by {moved:.2} GiB and lie within {:.3} GiB of the line through the others",
            worst.abs()
        ),
        Verdict::Supported => format!("the top {top} runs stand on one level, {:.2} GiB below the line", -worst),
        Verdict::CannotTell => {
            format!(
                "the top {top} runs differ by {moved:.2} GiB and lie {worst:+.3} GiB off the line through the others"
            )
        }
    };
    Hypothesis::new(name, verdict, because)
}
