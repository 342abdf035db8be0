//! Two traces -> which memory accounts for the difference of their KV caches.
//!
//! Exact in bytes: the terms and the unexplained rest sum to the observed difference.

mod attribution;
mod cgroup;
mod comparable;
mod environment;
mod fleet;
mod many;
mod owners;

use crate::decision::{self, Confidence, Decision};
use crate::failure::Failure;
use crate::ledger::{self, Ledger};
use crate::load::Trace;
use crate::load::events::{Device, Query, View};
use crate::model::{self, Same};
use crate::verdicts::{self, Compared, Finding};
use serde::Serialize;

pub use cgroup::{Cgroup, Verdict};
pub use comparable::{Check, MODEL};
pub use environment::Difference;
pub use fleet::{Cause, Fleet, FleetGroup, fleet};
pub use many::{Group, GroupRun, GroupTerm, Groups, each_run, groups, runs_below};
pub use owners::OwnerRow;

#[derive(Debug, Serialize)]
pub struct Diff {
    pub a: SideSummary,
    pub b: SideSummary,
    /// KV cache of B minus that of A.
    pub difference_bytes: i128,
    pub terms: Vec<Term>,
    /// The difference minus the terms.
    pub unexplained_bytes: i128,
    /// Of the difference; absent where there is none.
    pub unexplained_share: Option<f64>,
    /// What is known of the rest, a sentence each.
    pub unexplained_notes: Vec<String>,
    pub comparable: bool,
    pub checks: Vec<Check>,
    /// Whether both sides read one model's files.
    pub model: Same,
    /// What else differs: kernel, driver, parameters, environment, limits, libraries.
    pub environment: Vec<Difference>,
    pub cgroups: Vec<Cgroup>,
    /// Whether a container's memory limit entered the size.
    pub cgroup_verdict: Verdict,
    pub owners: Vec<OwnerRow>,
    /// What may have made the difference, each with what the evidence says.
    pub verdicts: Vec<Finding>,
    pub simulated: bool,
    /// The rules by which programs were told other figures than the real ones.
    pub patched: Vec<String>,
    /// Trouble of either trace that makes sums uncertain.
    pub warnings: Vec<String>,
}

/// One side. A is the baseline.
#[derive(Debug, Serialize)]
pub struct SideSummary {
    pub trace: String,
    pub label: String,
    pub pid: u32,
    pub runtime: &'static str,
    pub device: Option<String>,
    pub integrated: Option<bool>,
    pub kv_cache_bytes: u64,
    pub free_at_b_bytes: u64,
    pub sizing_query: String,
    pub decisions: usize,
}

/// What one kind of memory, or one setting, did to the KV cache.
#[derive(Debug, Clone, Serialize)]
pub struct Term {
    pub key: &'static str,
    pub title: &'static str,
    /// The quantity at each side's sizing query; absent where it is no number of bytes.
    pub a_bytes: Option<i128>,
    pub b_bytes: Option<i128>,
    pub kv_change_bytes: i128,
    /// Of the difference; absent where there is none.
    pub share: Option<f64>,
    pub confidence: Confidence,
    /// `A PID:N` and `B PID:N`.
    pub evidence: Vec<String>,
    pub note: Option<String>,
}

/// One trace with what the later steps ask of it.
pub struct Side<'t> {
    pub name: &'static str,
    pub trace: &'t Trace,
    pub ledger: Ledger,
    pub decision: Decision,
    decisions: usize,
}

impl<'t> Side<'t> {
    fn new(name: &'static str, trace: &'t Trace) -> Result<Self, Failure> {
        let ledger = ledger::replay(trace)?;
        let mut decisions = decision::decide(trace, &ledger);
        if decisions.is_empty() {
            let failure = crate::show::no_decision(trace);
            return Err(Failure { message: format!("side {name}: {}", failure.message), ..failure });
        }
        let count = decisions.len();
        Ok(Side { name, trace, ledger, decision: decisions.swap_remove(0), decisions: count })
    }

    /// Query B.
    fn query(&self) -> &'t Query {
        &self.trace.queries[self.decision.sizing_query]
    }

    /// The machine beside query B.
    fn view(&self) -> Option<&'t View> {
        self.query().view.and_then(|at| self.trace.views.get(at))
    }

    /// The device that query B was about.
    fn device(&self) -> Option<&'t Device> {
        let query = self.query();
        let devices = || self.trace.devices.iter().filter(|device| device.dev == query.dev);
        devices().find(|device| device.process == query.process).or_else(|| devices().next())
    }

    /// The machine beside each query of the rule; `None` unless all were seen.
    fn views(&self) -> Option<Vec<&'t View>> {
        let view = |weight: &decision::Weight| self.trace.views.get(self.trace.queries.get(weight.query)?.view?);
        self.decision.rule.free.iter().map(view).collect()
    }

    /// `A PID:N` of the queries of the rule.
    fn queries_evidence(&self) -> Vec<String> {
        let queries = self.decision.rule.free.iter().filter_map(|weight| self.trace.queries.get(weight.query));
        queries.map(|query| self.of(&self.trace.evidence(query.process, query.n))).collect()
    }

    /// `A PID:N` of the sizing query and of the view beside it.
    pub fn seen_here(&self) -> Vec<String> {
        let query = self.query();
        let view = self.view().map(|view| self.trace.evidence(view.process, view.n));
        let all = std::iter::once(self.trace.evidence(query.process, query.n)).chain(view);
        all.map(|evidence| self.of(&evidence)).collect()
    }

    fn of(&self, evidence: &str) -> String {
        format!("{} {evidence}", self.name)
    }

    fn of_all(&self, evidence: &[String]) -> Vec<String> {
        evidence.iter().map(|evidence| self.of(evidence)).collect()
    }

    fn summary(&self) -> SideSummary {
        let mut labels = self.trace.processes.iter().map(|process| &process.label);
        SideSummary {
            trace: self.trace.name.clone(),
            label: labels.find(|label| !label.is_empty()).cloned().unwrap_or_default(),
            pid: self.decision.pid,
            runtime: self.decision.runtime,
            device: self.device().map(|device| device.name.clone()),
            integrated: self.device().map(|device| device.integrated),
            kv_cache_bytes: self.decision.final_pool_bytes.value,
            free_at_b_bytes: self.decision.free_b_bytes.value,
            sizing_query: self.trace.evidence(self.query().process, self.query().n),
            decisions: self.decisions,
        }
    }

    fn warnings(&self) -> Vec<String> {
        let (name, mut list) = (self.name, Vec::new());
        if self.trace.dropped > 0 {
            list.push(format!("{name}: {} events are missing, sums may be too small.", self.trace.dropped));
        }
        if self.decisions > 1 {
            list.push(format!("{name}: {} processes sized a KV cache; the largest is compared.", self.decisions));
        }
        let disagree = self.decision.contradictions.iter();
        list.extend(disagree.map(|text| format!("{name}: witnesses disagree: {text}.")));
        let trouble = self.trace.problems.len() as u64 + self.trace.more_problems;
        if trouble > 0 {
            list.push(format!("{name}: {trouble} problems in the trace, which `kvtrace show` lists."));
        }
        list
    }
}

/// Compares two traces; `a` is the baseline.
///
/// # Errors
/// No answer if a side sized no KV cache; internal if a frame cannot be built.
pub fn diff(a: &Trace, b: &Trace) -> Result<Diff, Failure> {
    let (a, b) = std::thread::scope(|scope| {
        let other = scope.spawn(|| Side::new("B", b));
        let first = Side::new("A", a);
        (first, other.join().unwrap_or_else(|_| Err(Failure::internal("the replay stopped", ""))))
    });
    let (a, b) = (a?, b?);
    let attribution = attribution::attribute(&a, &b);
    let model = model::compare((a.name, a.trace), (b.name, b.trace));
    let checks = comparable::checks(&a, &b, &model);
    let compared = Compared {
        a: &a,
        b: &b,
        difference: attribution.difference,
        terms: &attribution.terms,
        unexplained: attribution.unexplained,
        model: &model,
    };
    let verdicts = verdicts::of_pair(&compared);
    Ok(Diff {
        difference_bytes: attribution.difference,
        unexplained_bytes: attribution.unexplained,
        unexplained_share: attribution::share(attribution.unexplained, attribution.difference),
        unexplained_notes: attribution.notes,
        terms: attribution.terms,
        comparable: checks.iter().all(|check| check.same != Some(false)),
        checks,
        model,
        environment: environment::compare(&a, &b),
        cgroups: vec![cgroup::of(&a), cgroup::of(&b)],
        cgroup_verdict: cgroup::verdict(&a, &b, attribution.unexplained),
        owners: owners::compare(&a, &b)?,
        verdicts,
        simulated: a.trace.simulated() || b.trace.simulated(),
        patched: together([&a, &b].into_iter()),
        warnings: a.warnings().into_iter().chain(b.warnings()).collect(),
        a: a.summary(),
        b: b.summary(),
    })
}

/// The rules by which programs of any side were told other figures than the real ones.
fn together<'s, 't: 's>(sides: impl Iterator<Item = &'s Side<'t>>) -> Vec<String> {
    let mut rules: Vec<String> = sides.flat_map(|side| side.trace.patched()).collect();
    rules.sort();
    rules.dedup();
    rules
}
