//! What came out: what each arm got, what it should have got, and which explanations survive.

use super::order::Planned;
use super::predict;
use super::spec::{Arm, Spec};
use super::state::{Ended, Folder, Outcome};
use crate::failure::Failure;
use crate::statistics::{self, SIGNIFICANT};
use crate::verdict::{Hypothesis, Verdict};
use crate::{decision, ledger, load};
use serde::Serialize;

/// Fewer runs of an arm show nothing that chance could not.
const LEAST: usize = 3;
/// A prediction is held to what the runs show, give or take these parts of the KV cache and of the predicted change.
const OF_CACHE: f64 = 0.0005;
const OF_CHANGE: f64 = 0.05;

/// The report. Bytes.
#[derive(Debug, Serialize)]
pub struct Report {
    pub folder: String,
    pub simulated: bool,
    pub patched: Vec<String>,
    pub planned: usize,
    pub ended: usize,
    /// Runs that failed, took too long, or sized no KV cache.
    pub without_answer: usize,
    pub arms: Vec<ArmResult>,
    pub hypotheses: Vec<Hypothesis>,
    pub runs: Vec<RunResult>,
    pub warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct ArmResult {
    pub name: String,
    /// Runs that sized a KV cache.
    pub runs: usize,
    pub mean_bytes: Option<u64>,
    pub least_bytes: Option<u64>,
    pub most_bytes: Option<u64>,
    /// Against the baseline: observed, with a 95 % interval, and predicted from the baseline's runs.
    pub change_bytes: Option<i128>,
    pub change_interval_bytes: Option<[i128; 2]>,
    pub predicted_bytes: Option<u64>,
    pub predicted_change_bytes: Option<i128>,
    /// Why nothing was predicted.
    pub not_predicted: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct RunResult {
    pub position: usize,
    pub arm: String,
    pub repetition: usize,
    pub outcome: Outcome,
    pub code: u8,
    pub seconds: f64,
    pub kv_bytes: Option<u64>,
    pub trace: String,
    /// Why there is no KV cache.
    pub problem: Option<String>,
}

/// The KV caches of an arm, and what they would have been in each other arm.
struct Sizes {
    observed: Vec<u64>,
    predicted: Vec<Result<Vec<u64>, String>>,
}

/// Reads all traces.
///
/// # Errors
/// If the answers cannot be worked out; a trace without one is a run without one.
pub fn report(spec: &Spec, folder: &Folder, plan: &[Planned]) -> Result<Report, Failure> {
    let mut sizes: Vec<Sizes> = spec
        .arms
        .iter()
        .map(|_| Sizes { observed: Vec::new(), predicted: spec.arms.iter().map(|_| Ok(Vec::new())).collect() })
        .collect();
    let (mut runs, mut simulated, mut patched) = (Vec::new(), false, Vec::new());
    for ended in &folder.ended {
        let place = folder.path().join(&ended.arm).join(format!("{:03}", ended.repetition));
        let found = spec.arms.iter().position(|arm| arm.name == ended.arm);
        let size = match size(&place, ended, &spec.arms, found == Some(0)) {
            Ok(read) => {
                simulated |= read.simulated;
                patched.extend(read.patched);
                if let Some(sizes) = found.and_then(|at| sizes.get_mut(at)) {
                    sizes.observed.push(read.kv);
                    for (all, one) in sizes.predicted.iter_mut().zip(read.predicted) {
                        match (all.as_mut(), one) {
                            (Ok(all), Ok(one)) => all.push(one),
                            (_, Err(why)) => *all = Err(why),
                            _ => {}
                        }
                    }
                }
                Ok(read.kv)
            }
            Err(why) => Err(why),
        };
        runs.push(RunResult {
            position: ended.position,
            arm: ended.arm.clone(),
            repetition: ended.repetition,
            outcome: ended.outcome,
            code: ended.code,
            seconds: ended.seconds,
            kv_bytes: size.as_ref().ok().copied(),
            trace: place.display().to_string(),
            problem: size.err(),
        });
    }
    patched.sort();
    patched.dedup();
    let arms: Vec<ArmResult> = (0..spec.arms.len()).map(|at| arm(spec, &sizes, at)).collect();
    let hypotheses = arms.iter().skip(1).map(|arm| judge(&arms[0], arm)).collect();
    let warnings = warnings(spec, plan, folder, &runs);
    Ok(Report {
        folder: folder.path().display().to_string(),
        simulated,
        patched,
        planned: plan.len(),
        ended: folder.ended.len(),
        without_answer: runs.iter().filter(|run| run.kv_bytes.is_none()).count(),
        arms,
        hypotheses,
        runs,
        warnings,
    })
}

struct Read {
    kv: u64,
    simulated: bool,
    patched: Vec<String>,
    predicted: Vec<Result<u64, String>>,
}

fn size(place: &std::path::Path, ended: &Ended, arms: &[Arm], is_baseline: bool) -> Result<Read, String> {
    if !ended.outcome.is_good() {
        return Err(match ended.outcome {
            Outcome::TimedOut => "it took too long, and was ended".into(),
            _ => format!("it ended with code {}", ended.code),
        });
    }
    let words = |failure: Failure| failure.message;
    let trace = load::trace(place).map_err(words)?;
    let ledger = ledger::replay(&trace).map_err(words)?;
    let decisions = decision::decide(&trace, &ledger);
    let decision = decisions.first().ok_or("no KV cache was sized")?;
    let predicted = match is_baseline {
        true => arms.iter().map(|arm| predict::predict(&trace, decision, arm)).collect(),
        false => Vec::new(),
    };
    let kv = decision.final_pool_bytes.value;
    Ok(Read { kv, simulated: trace.simulated(), patched: trace.patched(), predicted })
}

fn mean(values: &[u64]) -> Option<u64> {
    let sum: u128 = values.iter().map(|value| u128::from(*value)).sum();
    let count = values.len() as u128;
    (count > 0).then(|| ((sum + count / 2) / count) as u64)
}

fn arm(spec: &Spec, sizes: &[Sizes], at: usize) -> ArmResult {
    let (base, own) = (&sizes[0].observed, &sizes[at].observed);
    let (base_mean, mean_bytes) = (mean(base), mean(own));
    let change = |bytes: Option<u64>| Some(i128::from(bytes?) - i128::from(base_mean?)).filter(|_| at > 0);
    let interval = || {
        if at == 0 || base.len() < LEAST || own.len() < LEAST {
            return None;
        }
        let of = |times: &[u32], values: &[u64]| {
            let sum: f64 = times.iter().zip(values).map(|(times, value)| f64::from(*times) * *value as f64).sum();
            sum / values.len() as f64
        };
        let draws = statistics::draws(base.len(), own.len());
        let moved = draws.iter().map(|(in_base, in_own)| of(in_own, own) - of(in_base, base)).collect();
        statistics::middle(moved).map(|ends| ends.map(|end| end.round() as i128))
    };
    let predicted = &sizes[0].predicted[at];
    let predicted_bytes = if at == 0 { None } else { predicted.as_ref().ok().and_then(|all| mean(all)) };
    ArmResult {
        name: spec.arms[at].name.clone(),
        runs: own.len(),
        mean_bytes,
        least_bytes: own.iter().min().copied(),
        most_bytes: own.iter().max().copied(),
        change_bytes: change(mean_bytes),
        change_interval_bytes: interval(),
        predicted_bytes,
        predicted_change_bytes: change(predicted_bytes),
        not_predicted: predicted.as_ref().err().filter(|_| at > 0).cloned(),
    }
}

/// Whether the prediction holds for an arm.
fn judge(base: &ArmResult, arm: &ArmResult) -> Hypothesis {
    let gib = crate::render::change;
    let same = base.mean_bytes.map_or(0, |mean| (OF_CACHE * mean as f64) as i128);
    let name = |predicted: i128| match predicted.abs() <= same {
        true => format!("{}: the KV cache stays as it is", arm.name),
        false => format!("{}: the KV cache moves by {}", arm.name, gib(predicted)),
    };
    let Some(predicted) = arm.predicted_change_bytes else {
        let why = arm.not_predicted.clone().unwrap_or_else(|| "no run of the baseline sized a KV cache".into());
        return Hypothesis::new(format!("{}: nothing was predicted", arm.name), Verdict::CannotTell, why);
    };
    let (Some(change), Some([low, high])) = (arm.change_bytes, arm.change_interval_bytes) else {
        let why = format!("{} runs of the baseline and {} of this: {LEAST} of each are needed", base.runs, arm.runs);
        return Hypothesis::new(name(predicted), Verdict::CannotTell, why);
    };
    let found = format!("it moved by {} ({} to {})", gib(change), gib(low), gib(high));
    let same = same.max((OF_CHANGE * predicted.abs() as f64) as i128);
    let holds = |value: i128| (low - same..=high + same).contains(&value);
    let verdict = match (holds(predicted), holds(0) && predicted.abs() > 2 * same) {
        (true, false) => Verdict::Supported,
        // No move at all would look like this too.
        (true, true) => Verdict::CannotTell,
        (false, _) => Verdict::Refuted,
    };
    Hypothesis::new(name(predicted), verdict, found)
}

fn warnings(spec: &Spec, plan: &[Planned], folder: &Folder, runs: &[RunResult]) -> Vec<String> {
    let mut warnings = Vec::new();
    if folder.ended.len() < plan.len() {
        warnings.push(format!("{} of {} runs have ended: the rest is still to be run", folder.ended.len(), plan.len()));
    }
    let lost = runs.iter().filter(|run| run.problem.is_some()).count();
    if lost > 0 {
        warnings.push(format!("{lost} runs have no answer; the means are of the others"));
    }
    if spec.order == super::spec::Order::ByArm && spec.arms.len() > 1 {
        warnings.push("the order was not mixed: what drifts from run to run looks like an effect of the arms".into());
    }
    // Of each run how far it is from the mean of its arm, in their order.
    let of_arm = |arm: &str| {
        let sizes: Vec<u64> = runs.iter().filter(|run| run.arm == arm).filter_map(|run| run.kv_bytes).collect();
        mean(&sizes)
    };
    let off = |run: &RunResult| Some(run.kv_bytes? as f64 - of_arm(&run.arm)? as f64);
    let off: Vec<f64> = runs.iter().filter_map(off).collect();
    if let Some(trend) = statistics::trend(&off).filter(|trend| trend.p < SIGNIFICANT) {
        let by = crate::render::change(trend.per_run.round() as i128);
        warnings.push(format!(
            "the KV cache drifts by {by} from run to run, whatever the arm ({})",
            statistics::shown(trend.p)
        ));
    }
    warnings
}
