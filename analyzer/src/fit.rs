//! Many runs -> one line, and what it says about the explanations on offer.

use crate::failure::Failure;
use crate::{decision, ledger, load};
use kvtrace_sizing::GIB;
use kvtrace_sizing::line::{Line, Point};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Published figures carry two decimals of GiB, in both columns: more than this off the line is not rounding.
const ROUNDING: f64 = 0.02;
/// A spread of peaks below this says nothing about a slope.
const LEAST_SPREAD: f64 = 0.5;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Verdict {
    #[serde(rename = "supported")]
    Supported,
    #[serde(rename = "refuted")]
    Refuted,
    #[serde(rename = "cannot tell")]
    CannotTell,
}

impl Verdict {
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Supported => "supported",
            Verdict::Refuted => "refuted",
            Verdict::CannotTell => "cannot tell",
        }
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct Hypothesis {
    pub name: String,
    pub verdict: Verdict,
    pub because: String,
}

/// One run.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    pub labels: BTreeMap<String, String>,
    pub peak_gib: f64,
    pub kv_gib: f64,
    pub residual_gib: f64,
}

impl Run {
    fn point(&self) -> Point {
        Point { peak: self.peak_gib, kv: self.kv_gib }
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct Fit {
    pub slope: f64,
    pub fraction: f64,
    /// Peak at which nothing is left: the device's total plus the temporary pool.
    pub total_bytes: u64,
    pub max_residual_bytes: u64,
    pub simulated: bool,
    pub hypotheses: Vec<Hypothesis>,
    pub runs: Vec<Run>,
}

const HINT: &str = "give a CSV with the columns peak_gib and kv_gib, or trace directories";

/// Reads runs from CSV files and trace directories and fits them.
///
/// # Errors
/// Bad input if a file cannot be read as either; no answer if the runs give no line.
pub fn fit(inputs: &[PathBuf]) -> Result<Fit, Failure> {
    let (mut runs, mut simulated) = (Vec::new(), false);
    for path in inputs {
        if path.is_dir() {
            let (run, of_simulation) = from_trace(path)?;
            runs.push(run);
            simulated |= of_simulation;
        } else {
            runs.extend(from_csv(path)?);
        }
    }
    let points: Vec<Point> = runs.iter().map(Run::point).collect();
    let line = Line::through(&points).zip(Line::through(&points).and_then(|line| line.zero()));
    let Some((line, zero)) = line else {
        return Err(Failure::no_answer(
            format!("no line goes through {} run(s)", runs.len()),
            "at least two runs with different peaks are needed, three to test the line",
        ));
    };
    for run in &mut runs {
        run.residual_gib = line.residual(run.point());
    }
    let mut hypotheses = vec![one_line(&runs, &line, zero), ceiling(&runs)];
    for column in columns(&runs) {
        hypotheses.extend(depends_on(&runs, &column));
    }
    for column in columns(&runs) {
        hypotheses.extend(constant_overhead(&runs, &column));
    }
    Ok(Fit {
        slope: line.slope,
        fraction: -line.slope,
        total_bytes: (zero * GIB as f64).max(0.0).round() as u64,
        max_residual_bytes: (line.max_residual * GIB as f64).round() as u64,
        simulated,
        hypotheses,
        runs,
    })
}

fn from_trace(path: &Path) -> Result<(Run, bool), Failure> {
    let trace = load::trace(path)?;
    let ledger = ledger::replay(&trace)?;
    let decisions = decision::decide(&trace, &ledger);
    let Some(decision) = decisions.first() else { return Err(crate::show::no_decision(&trace)) };
    let mut labels = BTreeMap::from([("trace".to_owned(), trace.name.clone())]);
    if let Some(label) = trace.processes.iter().map(|process| &process.label).find(|label| !label.is_empty()) {
        labels.insert("label".to_owned(), label.clone());
    }
    let gib = |bytes: f64| bytes / GIB as f64;
    let run = Run {
        labels,
        peak_gib: gib(decision.peak_bytes.value as f64),
        kv_gib: gib(decision.final_pool_bytes.value as f64),
        residual_gib: 0.0,
    };
    Ok((run, trace.simulated()))
}

fn from_csv(path: &Path) -> Result<Vec<Run>, Failure> {
    let shown = path.display();
    let bad = |why: String| Failure::input(format!("{shown}: {why}"), HINT);
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .from_path(path)
        .map_err(|error| bad(error.to_string()))?;
    let headers = reader.headers().map_err(|error| bad(error.to_string()))?.clone();
    let column = |name: &str| headers.iter().position(|header| header == name);
    let (Some(peak), Some(kv)) = (column("peak_gib"), column("kv_gib")) else {
        return Err(bad("not a CSV with the columns peak_gib and kv_gib".into()));
    };
    let mut runs = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|error| bad(error.to_string()))?;
        let number = |at: usize| {
            let text = row.get(at).unwrap_or_default();
            let line = row.position().map_or(0, csv::Position::line);
            let value = text.parse::<f64>().ok().filter(|value| value.is_finite() && *value >= 0.0);
            value.ok_or_else(|| bad(format!("line {line}: {text:?} is no amount of memory")))
        };
        let labels = headers.iter().zip(&row).enumerate();
        let labels = labels.filter(|(at, _)| *at != peak && *at != kv);
        runs.push(Run {
            labels: labels.map(|(_, (name, value))| (name.to_owned(), value.to_owned())).collect(),
            peak_gib: number(peak)?,
            kv_gib: number(kv)?,
            residual_gib: 0.0,
        });
    }
    Ok(runs)
}

fn one_line(runs: &[Run], line: &Line, zero: f64) -> Hypothesis {
    let spread = spread(runs.iter().map(|run| run.peak_gib));
    let verdict = match runs.len() {
        0..=2 => Verdict::CannotTell,
        _ if spread < LEAST_SPREAD => Verdict::CannotTell,
        _ if line.max_residual <= ROUNDING && (-1.0..0.0).contains(&line.slope) => Verdict::Supported,
        _ if line.max_residual <= ROUNDING => Verdict::Refuted,
        // Between rounding and a tenth of the range the line may hold with another influence on top.
        _ if line.max_residual > 0.1 * spread * line.slope.abs().max(0.1) => Verdict::Refuted,
        _ => Verdict::CannotTell,
    };
    Hypothesis {
        name: "one line: KV = f x (total - peak)".into(),
        verdict,
        because: format!(
            "{} runs over {spread:.2} GiB of peak lie within {:.3} GiB of KV = {:.3} x ({zero:.2} GiB - peak)",
            runs.len(),
            line.max_residual,
            -line.slope
        ),
    }
}

/// A ceiling would make the runs with the most KV lie below the line of the others, on one level.
fn ceiling(runs: &[Run]) -> Hypothesis {
    let mut sorted: Vec<&Run> = runs.iter().collect();
    sorted.sort_by(|a, b| a.kv_gib.total_cmp(&b.kv_gib));
    let top = (runs.len() / 3).max(2).min(runs.len());
    let (low, high) = sorted.split_at(runs.len() - top);
    let below = Line::through(&low.iter().map(|run| run.point()).collect::<Vec<_>>());
    let highest = high.last().map_or(0.0, |run| run.kv_gib);
    let moved = spread(high.iter().map(|run| run.kv_gib));
    let name = format!("ceiling: KV stops at {highest:.2} GiB");
    let Some(below) = below else {
        let because = "too few runs below the top to say where a line would go on".into();
        return Hypothesis { name, verdict: Verdict::CannotTell, because };
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
    Hypothesis { name, verdict, because }
}

/// Whether runs with different labels lie on different lines.
fn depends_on(runs: &[Run], column: &str) -> Option<Hypothesis> {
    let mut groups: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for run in runs {
        groups.entry(run.labels.get(column)?).or_default().push(run.residual_gib);
    }
    if groups.len() < 2 || groups.values().any(|group| group.len() < 2) {
        return None;
    }
    let means = groups.values().map(|group| group.iter().sum::<f64>() / group.len() as f64);
    let apart = spread(means);
    let worst = runs.iter().map(|run| run.residual_gib.abs()).fold(0.0, f64::max);
    let verdict = match () {
        () if worst <= ROUNDING => Verdict::Refuted,
        () if apart > 4.0 * ROUNDING && apart > worst => Verdict::Supported,
        () => Verdict::CannotTell,
    };
    Some(Hypothesis {
        name: format!("the rule or its constants depend on {column}"),
        verdict,
        because: format!(
            "runs of {} values of {column} lie on one line, their means {apart:.3} GiB apart",
            groups.len()
        ),
    })
}

/// Of a column with two values: whether one costs a fixed amount of memory over the other, all else alike.
fn constant_overhead(runs: &[Run], column: &str) -> Option<Hypothesis> {
    let mut values: Vec<&String> = runs.iter().filter_map(|run| run.labels.get(column)).collect();
    values.dedup();
    let first = values.first()?.as_str();
    let second = values.iter().find(|value| value.as_str() != first)?.as_str();
    if values.iter().any(|value| value.as_str() != first && value.as_str() != second) {
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
    Some(Hypothesis {
        name: format!("a constant overhead of {second} over {first}"),
        verdict,
        because: format!("{} pair(s) of runs: the peak of {second} is {least:+.2} to {most:+.2} GiB", overheads.len()),
    })
}

fn columns(runs: &[Run]) -> Vec<String> {
    runs.first().map(|run| run.labels.keys().cloned().collect()).unwrap_or_default()
}

fn spread(values: impl Iterator<Item = f64>) -> f64 {
    let (least, most) = values.fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(value), most.max(value)));
    (most - least).max(0.0)
}
