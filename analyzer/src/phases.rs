//! The time of a process, cut at the events that sized its KV cache.

use crate::decision::Decision;
use crate::load::Trace;
use serde::Serialize;

/// What a process did between two events of its decision.
#[derive(Debug, Clone, Serialize)]
pub struct Phase {
    pub pid: u32,
    pub name: &'static str,
    /// CLOCK_MONOTONIC, ns.
    #[serde(skip)]
    pub begin: u64,
    #[serde(skip)]
    pub end: u64,
    /// Since the first header of the trace.
    pub begin_seconds: f64,
    pub end_seconds: f64,
    /// The event that ends it; absent for the end of the process.
    pub evidence: Option<String>,
}

/// Of each decision, in time order. A runtime that asks one question has no time between A and B.
pub fn of(trace: &Trace, decisions: &[Decision]) -> Vec<Phase> {
    decisions.iter().flat_map(|decision| of_decision(trace, decision)).collect()
}

fn of_decision(trace: &Trace, decision: &Decision) -> Vec<Phase> {
    let Some(process) = trace.processes.get(decision.process as usize) else { return Vec::new() };
    let named = |evidence: &[String], process, n| evidence.contains(&trace.evidence(process, n));
    let at_a = decision.free_a_bytes.as_ref().and_then(|fact| {
        let asked = trace.queries.iter().find(|query| named(&fact.evidence, query.process, query.n))?;
        Some((asked.end, trace.evidence(asked.process, asked.n))).filter(|(end, _)| *end < decision.sized_at)
    });
    let sizing = trace.queries.get(decision.sizing_query);
    let at_b = sizing.map(|query| (query.end, trace.evidence(query.process, query.n)));
    let pool = trace.memory.iter().filter(|event| {
        event.process == decision.process
            && event.at >= decision.sized_at
            && named(&decision.final_pool_bytes.evidence, event.process, event.n)
    });
    let at_pool = pool.map(|event| (event.at, trace.evidence(event.process, event.n))).max_by_key(|(at, _)| *at);
    let before = if at_a.is_some() { "start to A" } else { "start to B" };
    let cuts = [(before, at_a.clone()), ("A to B", at_b.clone()), ("B to KV cache", at_pool)];
    let begin = trace.processes.iter().map(|process| process.begin).min().unwrap_or(0);
    let seconds = |at: u64| at.saturating_sub(begin) as f64 / 1e9;
    let mut phases = Vec::new();
    let mut from = process.begin;
    let mut add = |name, end: u64, evidence| {
        if end > from {
            let (begin_seconds, end_seconds) = (seconds(from), seconds(end));
            phases.push(Phase { pid: decision.pid, name, begin: from, end, begin_seconds, end_seconds, evidence });
            from = end;
        }
    };
    for (name, cut) in cuts {
        // Without A, what comes before B is the first phase.
        let name = if name == "A to B" && at_a.is_none() { before } else { name };
        if let Some((at, evidence)) = cut {
            add(name, at, Some(evidence));
        }
    }
    add("serving", process.last, None);
    phases
}
