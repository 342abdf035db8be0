//! Thousands of runs -> groups of one model, runtime, host and driver, and what their KV caches lost against the best run
//! of the same model, runtime and device.
//!
//! A trace is read when it is looked at and let go: twice, first for its size, then to compare it with the best.

use super::{Side, attribution};
use crate::failure::Failure;
use crate::load;
use crate::model;
use crate::render::{gib, grouped};
use crate::statistics;
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

/// Complaints kept word for word; the rest is counted.
const KEPT: usize = 20;

#[derive(Debug, Serialize)]
pub struct Fleet {
    pub folder: String,
    /// That sized a KV cache.
    pub runs: usize,
    /// Sum over all runs of what each is smaller than the best of its set-up.
    pub lost_bytes: i128,
    /// What took it, largest first.
    pub causes: Vec<Cause>,
    /// Lost and not explained.
    pub unexplained_bytes: i128,
    /// What lost most first.
    pub groups: Vec<FleetGroup>,
    pub simulated: bool,
    /// The rules by which programs were told other figures than the real ones.
    pub patched: Vec<String>,
    pub without_decision: usize,
    /// Traces that could not be read, and why.
    pub unread: Vec<String>,
    pub more_unread: usize,
}

/// Runs of one model, runtime, host and driver.
#[derive(Debug, Serialize)]
pub struct FleetGroup {
    pub model: String,
    pub runtime: &'static str,
    pub device: String,
    pub host: String,
    /// CUDA of the driver; empty if it is not told.
    pub driver: String,
    pub runs: usize,
    /// The run of this model, runtime and device that has the largest KV cache, on any host.
    pub best_trace: String,
    pub best_kv_cache_bytes: u64,
    pub most_kv_cache_bytes: u64,
    pub median_kv_cache_bytes: u64,
    pub least_kv_cache_bytes: u64,
    pub worst_trace: String,
    pub lost_bytes: i128,
    pub causes: Vec<Cause>,
    pub unexplained_bytes: i128,
}

/// A term of `diff`, summed over runs.
#[derive(Debug, Clone, Serialize)]
pub struct Cause {
    pub key: &'static str,
    pub title: &'static str,
    /// What it took; below 0 what it gave.
    pub lost_bytes: i128,
    /// Of what was lost; absent where nothing was.
    pub share: Option<f64>,
}

/// Model, runtime and device.
type Setup = (String, &'static str, String);
/// With host and driver.
type Key = (Setup, String, String);

/// What the first reading keeps of a run.
struct Run {
    path: PathBuf,
    key: Key,
    kv: u64,
}

/// Terms and the rest, summed.
#[derive(Default)]
struct Sum {
    terms: BTreeMap<&'static str, (&'static str, i128)>,
    lost: i128,
    unexplained: i128,
}

/// Reads every trace below a folder.
///
/// # Errors
/// Bad input if there is none; no answer if none of them sized a KV cache.
pub fn fleet(folder: &Path) -> Result<Fleet, Failure> {
    let mut paths = Vec::new();
    find(folder, &mut HashSet::new(), &mut paths);
    let shown = folder.display();
    if paths.is_empty() {
        return Err(Failure::input(
            format!("{shown}: no trace below it"),
            "give a folder with trace directories in it",
        ));
    }
    let mut fleet = Fleet {
        folder: shown.to_string(),
        runs: 0,
        lost_bytes: 0,
        causes: Vec::new(),
        unexplained_bytes: 0,
        groups: Vec::new(),
        simulated: false,
        patched: Vec::new(),
        without_decision: 0,
        unread: Vec::new(),
        more_unread: 0,
    };
    let runs: Vec<Run> = paths.into_iter().filter_map(|path| fleet.look(path)).collect();
    fleet.runs = runs.len();
    let mut best: BTreeMap<&Setup, &Run> = BTreeMap::new();
    let mut groups: BTreeMap<&Key, Vec<&Run>> = BTreeMap::new();
    for run in &runs {
        let first = best.entry(&run.key.0).or_insert(run);
        if run.kv > first.kv {
            *first = run;
        }
        groups.entry(&run.key).or_default().push(run);
    }
    let mut whole = Sum::default();
    for (setup, best) in &best {
        // Read when it was looked at: it may be gone now, as any.
        let trace = load::trace(&best.path)?;
        let side = Side::new("A", &trace)?;
        for (key, runs) in groups.iter().filter(|(key, _)| key.0 == **setup) {
            let mut sum = Sum::default();
            for run in runs {
                let other = load::trace(&run.path)?;
                sum.add(attribution::attribute(&side, &Side::new("B", &other)?));
            }
            whole.add_sum(&sum);
            fleet.groups.push(group(key, runs, best, &sum));
        }
    }
    if fleet.groups.is_empty() {
        let why = format!("{shown}: no KV cache was sized in any of its traces");
        return Err(Failure::no_answer(why, "`kvtrace show` says of each trace why"));
    }
    fleet.groups.sort_by_key(|group| std::cmp::Reverse(group.lost_bytes));
    (fleet.lost_bytes, fleet.unexplained_bytes, fleet.causes) = (whole.lost, whole.unexplained, whole.causes());
    Ok(fleet)
}

/// Directories with trace files in them, each once: links may lead in a circle, or to one that was found before.
fn find(folder: &Path, seen: &mut HashSet<PathBuf>, found: &mut Vec<PathBuf>) {
    let is_new = folder.canonicalize().is_ok_and(|path| seen.insert(path));
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    if !is_new {
        return;
    }
    let mut is_trace = false;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            find(&path, seen, found);
        } else {
            is_trace |= path.extension().is_some_and(|extension| extension == "jsonl");
        }
    }
    if is_trace {
        found.push(folder.to_owned());
    }
}

impl Fleet {
    /// The first reading of a run.
    fn look(&mut self, path: PathBuf) -> Option<Run> {
        let trace = match load::trace(&path) {
            Ok(trace) => trace,
            Err(failure) if self.unread.len() < KEPT => {
                self.unread.push(failure.message);
                return None;
            }
            Err(_) => {
                self.more_unread += 1;
                return None;
            }
        };
        self.simulated |= trace.simulated();
        self.patched.extend(trace.patched());
        self.patched.sort();
        self.patched.dedup();
        let Ok(side) = Side::new("B", &trace) else {
            self.without_decision += 1;
            return None;
        };
        let host = trace.processes.get(side.decision.process as usize).map(|process| process.host.clone());
        let device = side.device().map(|device| device.name.clone()).unwrap_or_default();
        let driver = side.device().map(|device| device.driver).filter(|version| *version > 0);
        let driver = driver.map(|version| format!("{}.{}", version / 1000, version % 1000 / 10)).unwrap_or_default();
        let setup = (served(&side), side.decision.runtime, device);
        let kv = side.decision.final_pool_bytes.value;
        Some(Run { key: (setup, host.unwrap_or_default(), driver), kv, path })
    }
}

/// Among how many ranks a model is divided decides over the size of each one's cache.
fn served(side: &Side) -> String {
    match side.decisions {
        0 | 1 => weights(side),
        ranks => format!("{}, {ranks} ranks", weights(side)),
    }
}

/// By the folder of its weights and their size; without weights, by what a token takes.
fn weights(side: &Side) -> String {
    let model = model::of(side.trace).filter(|model| !model.files.is_empty());
    if let Some(model) = model {
        let folder = model.files.first().and_then(|file| Path::new(&file.path).parent()?.file_name()?.to_str());
        return format!("{} ({})", folder.unwrap_or("?"), gib(model.weight_bytes.into()));
    }
    match &side.decision.bytes_per_token {
        Some(bytes) => format!("{} bytes per token", grouped(bytes.value)),
        None => "not known".into(),
    }
}

fn group(key: &Key, runs: &[&Run], best: &Run, sum: &Sum) -> FleetGroup {
    let ((model, runtime, device), host, driver) = key.clone();
    let sizes: Vec<f64> = runs.iter().map(|run| run.kv as f64).collect();
    let worst = runs.iter().min_by_key(|run| run.kv);
    FleetGroup {
        model,
        runtime,
        device,
        host,
        driver,
        runs: runs.len(),
        best_trace: best.path.display().to_string(),
        best_kv_cache_bytes: best.kv,
        most_kv_cache_bytes: runs.iter().map(|run| run.kv).max().unwrap_or(0),
        median_kv_cache_bytes: statistics::median(&sizes) as u64,
        least_kv_cache_bytes: worst.map_or(0, |run| run.kv),
        worst_trace: worst.map(|run| run.path.display().to_string()).unwrap_or_default(),
        lost_bytes: sum.lost,
        causes: sum.causes(),
        unexplained_bytes: sum.unexplained,
    }
}

impl Sum {
    fn add(&mut self, found: attribution::Attribution) {
        self.lost -= found.difference;
        self.unexplained -= found.unexplained;
        for term in found.terms {
            self.terms.entry(term.key).or_insert((term.title, 0)).1 -= term.kv_change_bytes;
        }
    }

    fn add_sum(&mut self, other: &Sum) {
        self.lost += other.lost;
        self.unexplained += other.unexplained;
        for (key, (title, lost)) in &other.terms {
            self.terms.entry(key).or_insert((title, 0)).1 += lost;
        }
    }

    fn causes(&self) -> Vec<Cause> {
        let cause = |(key, (title, lost)): (&&'static str, &(&'static str, i128))| Cause {
            key,
            title,
            lost_bytes: *lost,
            share: attribution::share(*lost, self.lost),
        };
        let mut causes: Vec<Cause> = self.terms.iter().map(cause).filter(|cause| cause.lost_bytes != 0).collect();
        causes.sort_by_key(|cause| std::cmp::Reverse(cause.lost_bytes));
        causes
    }
}
