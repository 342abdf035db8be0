//! Runs from traces, and from tables of figures as CSV or JSON.

use super::Run;
use crate::failure::Failure;
use crate::load::events::Trace;
use crate::{decision, ledger, load};
use kvtrace_sizing::GIB;
use std::collections::BTreeMap;
use std::path::Path;

const HINT: &str = "give a CSV or JSON with peak_gib and kv_gib for each run, or trace directories";
/// The two figures that every run has.
const PEAK: &str = "peak_gib";
const KV: &str = "kv_gib";

/// What was read.
#[derive(Default)]
pub struct Runs {
    /// In the order of the files and their rows; traces in the order in which they were begun.
    pub runs: Vec<Run>,
    pub simulated: bool,
    /// The rules by which programs were told other figures than the real ones.
    pub patched: Vec<String>,
}

/// Reads all runs.
///
/// # Errors
/// Bad input if a file is neither; no answer if a trace has no decision.
pub fn read(inputs: &[std::path::PathBuf]) -> Result<Runs, Failure> {
    let mut all = Runs::default();
    let mut traced = Vec::new();
    for path in inputs {
        match path.extension().and_then(|extension| extension.to_str()) {
            _ if path.is_dir() => {
                let (started, run, trace) = from_trace(path)?;
                all.simulated |= trace.simulated();
                all.patched.extend(trace.patched());
                traced.push((started, run));
            }
            Some("json") => all.runs.extend(from_json(path)?),
            _ => all.runs.extend(from_csv(path)?),
        }
    }
    traced.sort_by_key(|(started, _)| *started);
    all.runs.extend(traced.into_iter().map(|(_, run)| run));
    separate_figures(&mut all.runs);
    Ok(all)
}

/// Start of the trace, ns since 1970, its run, and the trace.
fn from_trace(path: &Path) -> Result<(u64, Run, Trace), Failure> {
    let trace = load::trace(path)?;
    let ledger = ledger::replay(&trace)?;
    let decisions = decision::decide(&trace, &ledger);
    let Some(decision) = decisions.first() else { return Err(crate::show::no_decision(&trace)) };
    let mut labels = BTreeMap::from([("trace".to_owned(), trace.name.clone())]);
    if let Some(label) = trace.processes.iter().map(|process| &process.label).find(|label| !label.is_empty()) {
        labels.insert("label".to_owned(), label.clone());
    }
    if let Some(bytes) = &decision.bytes_per_token {
        labels.insert(super::groups::BYTES_PER_TOKEN.to_owned(), bytes.value.to_string());
    }
    let gib = |bytes: f64| bytes / GIB as f64;
    let run = Run::new(labels, gib(decision.peak_bytes.value as f64), gib(decision.final_pool_bytes.value as f64));
    let started = trace.processes.iter().map(|process| process.wall).min().unwrap_or(0);
    Ok((started, run, trace))
}

fn from_csv(path: &Path) -> Result<Vec<Run>, Failure> {
    let bad = |why: String| Failure::input(format!("{}: {why}", path.display()), HINT);
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .from_path(path)
        .map_err(|error| bad(error.to_string()))?;
    let headers = reader.headers().map_err(|error| bad(error.to_string()))?.clone();
    if ![PEAK, KV].iter().all(|name| headers.iter().any(|header| header == *name)) {
        return Err(bad(format!("not a CSV with the columns {PEAK} and {KV}")));
    }
    let mut runs = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|error| bad(error.to_string()))?;
        let line = row.position().map_or(0, csv::Position::line);
        let fields = headers.iter().zip(&row).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        runs.push(run(fields).map_err(|why| bad(format!("line {line}: {why}")))?);
    }
    Ok(runs)
}

/// A list of objects, each a run.
fn from_json(path: &Path) -> Result<Vec<Run>, Failure> {
    let bad = |why: String| Failure::input(format!("{}: {why}", path.display()), HINT);
    let text = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
    let list: Vec<BTreeMap<String, serde_json::Value>> =
        serde_json::from_slice(&text).map_err(|error| bad(format!("not a list of objects: {error}")))?;
    let fields = |object: BTreeMap<String, serde_json::Value>| -> BTreeMap<String, String> {
        let text = |value| match value {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        object.into_iter().map(|(name, value)| (name, text(value))).collect()
    };
    let runs = list.into_iter().map(fields).enumerate();
    runs.map(|(at, fields)| run(fields).map_err(|why| bad(format!("run {}: {why}", at + 1)))).collect()
}

fn run(mut fields: BTreeMap<String, String>) -> Result<Run, String> {
    let mut take = |name: &str| {
        let text = fields.remove(name).ok_or_else(|| format!("{name} is missing"))?;
        let value = text.parse::<f64>().ok().filter(|value| value.is_finite() && *value >= 0.0);
        value.ok_or_else(|| format!("{text:?} is no amount of memory"))
    };
    let (peak, kv) = (take(PEAK)?, take(KV)?);
    Ok(Run::new(fields, peak, kv))
}

/// A column of numbers in every run is a figure, not a label.
fn separate_figures(runs: &mut [Run]) {
    let names: Vec<String> = runs.first().map(|run| run.labels.keys().cloned().collect()).unwrap_or_default();
    for name in names {
        let value = |run: &Run| run.labels.get(&name)?.parse::<f64>().ok().filter(|value| value.is_finite());
        let Some(values) = runs.iter().map(value).collect::<Option<Vec<f64>>>() else { continue };
        for (run, value) in runs.iter_mut().zip(values) {
            run.labels.remove(&name);
            run.figures.insert(name.clone(), value);
        }
    }
}
