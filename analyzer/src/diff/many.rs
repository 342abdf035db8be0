//! Several runs on each side -> what makes their KV caches differ on average, and how sure that is.
//!
//! Every run of A is compared with every run of B. The terms of a pair sum to its difference, so their means over all
//! pairs sum to the difference of the means. Intervals come from drawing the runs of each side again.

use super::{Side, attribution, comparable};
use crate::decision::Confidence;
use crate::failure::Failure;
use crate::load;
use crate::load::events::Trace;
use crate::model;
use crate::statistics::{self, SIGNIFICANT};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// With fewer runs on a side an interval says more about luck than about the runs.
const FEW: usize = 5;

#[derive(Debug, Serialize)]
pub struct Groups {
    pub a: Group,
    pub b: Group,
    /// Mean KV cache of B minus that of A.
    pub difference_bytes: i128,
    /// 95 %; absent where a side has one run.
    pub difference_interval_bytes: Option<[i128; 2]>,
    pub terms: Vec<GroupTerm>,
    pub unexplained_bytes: i128,
    pub unexplained_interval_bytes: Option<[i128; 2]>,
    /// Whether all runs of both sides are of one model, fraction, device and runtime.
    pub comparable: bool,
    /// What they differ in.
    pub differing: Vec<String>,
    pub simulated: bool,
    /// The rules by which programs were told other figures than the real ones.
    pub patched: Vec<String>,
    pub warnings: Vec<String>,
}

/// One side.
#[derive(Debug, Serialize)]
pub struct Group {
    pub name: String,
    pub runs: Vec<GroupRun>,
    pub mean_kv_cache_bytes: i128,
    pub least_kv_cache_bytes: u64,
    pub most_kv_cache_bytes: u64,
}

#[derive(Debug, Serialize)]
pub struct GroupRun {
    pub trace: String,
    pub label: String,
    /// ns since 1970.
    pub started_unix_ns: u64,
    pub kv_cache_bytes: u64,
    pub free_at_b_bytes: u64,
    pub sizing_query: String,
}

#[derive(Debug, Serialize)]
pub struct GroupTerm {
    pub key: &'static str,
    pub title: &'static str,
    /// Mean over all pairs of runs.
    pub kv_change_bytes: i128,
    /// 95 %; absent where a side has one run.
    pub interval_bytes: Option<[i128; 2]>,
    /// Of the difference; absent where there is none.
    pub share: Option<f64>,
    /// The weakest of any pair.
    pub confidence: Confidence,
}

/// The traces below a folder that is no trace itself; `None` if it is one, or cannot be read.
pub fn runs_below(folder: &Path) -> Option<Vec<PathBuf>> {
    let entries = || std::fs::read_dir(folder).ok().map(|entries| entries.flatten().map(|entry| entry.path()));
    let is_file = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "jsonl");
    if entries()?.any(|path| is_file(&path)) {
        return None;
    }
    let holds_trace = |path: &PathBuf| {
        std::fs::read_dir(path).is_ok_and(|mut entries| entries.any(|e| e.is_ok_and(|e| is_file(&e.path()))))
    };
    let mut runs: Vec<PathBuf> = entries()?.filter(holds_trace).collect();
    runs.sort();
    (!runs.is_empty()).then_some(runs)
}

/// Folders of traces stand for the traces in them.
pub fn each_run(inputs: &[PathBuf]) -> Vec<PathBuf> {
    inputs.iter().flat_map(|path| runs_below(path).unwrap_or_else(|| vec![path.clone()])).collect()
}

/// Compares two groups of runs; `a` is the baseline. A side may be one trace.
///
/// # Errors
/// Those of loading a trace, and no answer if a run sized no KV cache.
pub fn groups(a: &Path, b: &Path) -> Result<Groups, Failure> {
    let read = |folder: &Path| -> Result<Vec<Trace>, Failure> {
        let runs = runs_below(folder).unwrap_or_else(|| vec![folder.to_owned()]);
        let mut traces = runs.iter().map(|run| load::trace(run)).collect::<Result<Vec<_>, _>>()?;
        traces.sort_by_key(started);
        Ok(traces)
    };
    let (traces_a, traces_b) = (read(a)?, read(b)?);
    let (a, b) = (Group::new(a), Group::new(b));
    let pair = Pair { a: sides("A", &traces_a)?, b: sides("B", &traces_b)? };
    Ok(pair.compare(a, b))
}

fn sides<'t>(name: &'static str, traces: &'t [Trace]) -> Result<Vec<Side<'t>>, Failure> {
    traces.iter().map(|trace| Side::new(name, trace)).collect()
}

fn started(trace: &Trace) -> u64 {
    trace.processes.iter().map(|process| process.wall).min().unwrap_or(0)
}

impl Group {
    fn new(folder: &Path) -> Self {
        let name = folder.display().to_string();
        Group { name, runs: Vec::new(), mean_kv_cache_bytes: 0, least_kv_cache_bytes: 0, most_kv_cache_bytes: 0 }
    }

    fn filled(self, sides: &[Side]) -> Self {
        let run = |side: &Side| {
            let summary = side.summary();
            GroupRun {
                trace: summary.trace,
                label: summary.label,
                started_unix_ns: started(side.trace),
                kv_cache_bytes: summary.kv_cache_bytes,
                free_at_b_bytes: summary.free_at_b_bytes,
                sizing_query: summary.sizing_query,
            }
        };
        let sizes = || sides.iter().map(|side| side.decision.final_pool_bytes.value);
        Group {
            runs: sides.iter().map(run).collect(),
            mean_kv_cache_bytes: mean(sizes().map(i128::from).sum(), sides.len()),
            least_kv_cache_bytes: sizes().min().unwrap_or(0),
            most_kv_cache_bytes: sizes().max().unwrap_or(0),
            ..self
        }
    }
}

/// Sum over `count`, rounded to the nearest byte.
fn mean(sum: i128, count: usize) -> i128 {
    let count = count.max(1) as i128;
    (2 * sum + count).div_euclid(2 * count)
}

struct Pair<'t> {
    a: Vec<Side<'t>>,
    b: Vec<Side<'t>>,
}

/// One term of all pairs, row by row of A.
struct Matrix {
    key: &'static str,
    title: &'static str,
    confidence: Confidence,
    changes: Vec<i128>,
}

impl Pair<'_> {
    fn compare(&self, a: Group, b: Group) -> Groups {
        let (matrices, differences) = self.matrices();
        let pairs = differences.len();
        let enough = self.a.len() > 1 && self.b.len() > 1;
        let draws = if enough { statistics::draws(self.a.len(), self.b.len()) } else { Vec::new() };
        let interval = |changes: &[i128]| -> Option<[i128; 2]> {
            let of = |(times_a, times_b): &(Vec<u32>, Vec<u32>)| {
                let rows = changes.chunks(self.b.len()).zip(times_a);
                let sum: f64 = rows
                    .map(|(row, times)| {
                        let row: f64 = row.iter().zip(times_b).map(|(change, n)| *change as f64 * f64::from(*n)).sum();
                        row * f64::from(*times)
                    })
                    .sum();
                sum / pairs as f64
            };
            statistics::middle(draws.iter().map(of).collect()).map(|ends| ends.map(|end| end.round() as i128))
        };
        let difference = mean(differences.iter().sum(), pairs);
        let term = |matrix: &Matrix| {
            let change = mean(matrix.changes.iter().sum(), pairs);
            GroupTerm {
                key: matrix.key,
                title: matrix.title,
                kv_change_bytes: change,
                interval_bytes: interval(&matrix.changes),
                share: attribution::share(change, difference),
                confidence: matrix.confidence,
            }
        };
        let terms: Vec<GroupTerm> = matrices.iter().map(term).collect();
        let mut rest = differences.clone();
        for matrix in &matrices {
            rest.iter_mut().zip(&matrix.changes).for_each(|(rest, change)| *rest -= change);
        }
        let differing = self.differing();
        Groups {
            a: a.filled(&self.a),
            b: b.filled(&self.b),
            difference_bytes: difference,
            difference_interval_bytes: interval(&differences),
            // The rounding of the means is in here, so that the sum stays exact.
            unexplained_bytes: difference - terms.iter().map(|term| term.kv_change_bytes).sum::<i128>(),
            unexplained_interval_bytes: interval(&rest),
            terms,
            comparable: differing.is_empty(),
            differing,
            simulated: self.all().any(|side| side.trace.simulated()),
            patched: super::together(self.all()),
            warnings: self.warnings(),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Side<'_>> {
        self.a.iter().chain(&self.b)
    }

    /// The terms of all pairs, and their differences.
    fn matrices(&self) -> (Vec<Matrix>, Vec<i128>) {
        let mut matrices: Vec<Matrix> = Vec::new();
        let mut differences = Vec::new();
        for (a, b) in self.a.iter().flat_map(|a| self.b.iter().map(move |b| (a, b))) {
            let found = attribution::attribute(a, b);
            for term in found.terms {
                let at = matrices.iter().position(|matrix| matrix.key == term.key).unwrap_or_else(|| {
                    let (key, title) = (term.key, term.title);
                    matrices.push(Matrix { key, title, confidence: Confidence::Observed, changes: Vec::new() });
                    matrices.len() - 1
                });
                let matrix = &mut matrices[at];
                // A pair that has no such term differs by nothing there.
                matrix.changes.resize(differences.len(), 0);
                matrix.changes.push(term.kv_change_bytes);
                matrix.confidence = attribution::weaker(matrix.confidence, term.confidence);
            }
            differences.push(found.difference);
        }
        for matrix in &mut matrices {
            matrix.changes.resize(differences.len(), 0);
        }
        (matrices, differences)
    }

    /// Each run against the first of A.
    fn differing(&self) -> Vec<String> {
        let Some(first) = self.a.first() else { return Vec::new() };
        let mut list: Vec<String> = Vec::new();
        for side in self.all().skip(1) {
            let model = model::compare((first.name, first.trace), (side.name, side.trace));
            for check in comparable::checks(first, side, &model) {
                let text = check.check.to_owned();
                if check.same == Some(false) && !list.contains(&text) {
                    list.push(text);
                }
            }
        }
        list
    }

    fn warnings(&self) -> Vec<String> {
        let mut list = Vec::new();
        for (name, sides) in [("A", &self.a), ("B", &self.b)] {
            if sides.len() < FEW {
                list.push(format!(
                    "{name} has {}: too few to tell an effect from luck; run at least {FEW} on each side",
                    runs(sides.len())
                ));
            }
            let kv: Vec<f64> = sides.iter().map(|side| side.decision.final_pool_bytes.value as f64).collect();
            if let Some(trend) = statistics::trend(&kv).filter(|trend| trend.p < SIGNIFICANT) {
                let by = crate::render::change(trend.per_run as i128);
                list.push(format!(
                    "the KV caches of {name} drift by {by} from run to run (Mann-Kendall, {})",
                    statistics::shown(trend.p)
                ));
            }
        }
        let mut order: Vec<(u64, &str)> = self.all().map(|side| (started(side.trace), side.name)).collect();
        order.sort_unstable();
        let blocks = 1 + order.windows(2).filter(|pair| pair.first().map(|a| a.1) != pair.last().map(|b| b.1)).count();
        if self.a.len() > 1 && self.b.len() > 1 && blocks == 2 {
            list.push(
                "all runs of one side came before those of the other: whatever else changed with time looks like an \
                 effect of the side; mix the order"
                    .into(),
            );
        }
        let trouble = |side: &&Side| side.trace.dropped > 0 || !side.trace.problems.is_empty();
        let troubled = self.all().filter(trouble).count();
        if troubled > 0 {
            list.push(format!("{} have missing events or problems, which `kvtrace show` lists", runs(troubled)));
        }
        list
    }
}

fn runs(count: usize) -> String {
    if count == 1 { "1 run".into() } else { format!("{count} runs") }
}
