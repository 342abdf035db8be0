//! What was in use on the device: by the traced processes, by others that NVML lists, and by nobody that was seen.

use super::host::Kernel;
use super::{Scope, Terms};
use crate::decision::Confidence;
use crate::ledger::Span;
use crate::load::events::{MemoryKind, ProcessIndex, WeightFile};
use crate::load::machine::{Usage, View};

/// Evidence of a model of many files; JSON has their openings under `model`.
const NAMED_FILES: usize = 8;

/// Bytes that the ledger has on the device.
pub struct Traced {
    /// Of the serving process, with the temporary pool.
    pub own: i128,
    /// Of other traced processes.
    pub others: i128,
}

/// Adds what the ledger knows; the temporary pool is free memory here.
pub fn terms(scope: &Scope, terms: &mut Terms) -> Traced {
    let at = scope.query.end;
    let serving = scope.decision.process;
    let sum = |wanted: &dyn Fn(&Span) -> bool| -> i128 {
        let live = scope.own.iter().filter(|span| span.live_at(at) && wanted(span));
        live.map(|span| i128::from(span.size)).sum()
    };
    let temporary = i128::from(scope.decision.temporary_pool_bytes.value);
    let own = sum(&|_| true);
    let ahead = |kind: MemoryKind| matches!(kind, MemoryKind::Graph | MemoryKind::Reserve);
    let graphs = sum(&|span| ahead(span.kind));
    let until = loaded_until(scope);
    let early = sum(&|span| !ahead(span.kind) && span.begin < until);
    // A runtime whose rule has no share asks before it loads.
    let since = scope.taken_since();
    let loads_later = scope.decision.fraction.value == 0.0 && since > 0;
    let loaded = if loads_later { early + since } else { early };
    let (weights, of_files) = weights(scope, loaded);
    let evidence = if of_files.is_empty() { scope.seen() } else { of_files.clone() };
    let known = if of_files.is_empty() { Confidence::Solved } else { Confidence::Observed };
    if let Some(term) = terms.add("weights", "weights", weights, known, evidence)
        && of_files.is_empty()
    {
        term.note = Some("what it had loaded by then; no files of such a size were seen".into());
    }
    let other = own - temporary - graphs - weights + if loads_later { since } else { 0 };
    if !loads_later {
        let title = "allocated between query B and the KV cache";
        let pool = scope.decision.final_pool_bytes.evidence.clone();
        terms.add("allocated_later", title, since, Confidence::Observed, [scope.seen(), pool].concat());
    }
    let title = "other device memory of the serving process";
    terms.add("device_memory", title, other, Confidence::Observed, scope.seen());
    let title = "graphs, and what pools hold in advance";
    terms.add("graphs", title, graphs, Confidence::Observed, scope.seen());
    let others = if scope.others_at(scope.decision.sizing_query) > 0 { others(scope, serving, at) } else { 0 };
    let in_use = i128::from(scope.decision.total_bytes.value) - i128::from(scope.free) - own;
    if others > in_use.max(0) {
        let held = crate::render::gib(others);
        terms
            .notes
            .push(format!("other traced processes hold {held}, more than is in use: on other devices, it seems"));
        return Traced { own, others: 0 };
    }
    let title = "device memory of other traced processes";
    terms.add("device_memory_traced", title, others, Confidence::Observed, scope.seen());
    Traced { own, others }
}

/// What other traced processes held of this device at `time`.
fn others(scope: &Scope, serving: ProcessIndex, time: u64) -> i128 {
    let shares: Vec<bool> =
        (0..scope.trace.processes.len()).map(|process| shares_device(scope, process as ProcessIndex)).collect();
    let is_here = |process: ProcessIndex| shares.get(process as usize).copied().unwrap_or(false);
    scope.ledger.device_at(time, |process| process != serving && is_here(process)).into()
}

/// Whether a process asked about this device, or about none.
fn shares_device(scope: &Scope, process: ProcessIndex) -> bool {
    let mut asked = scope.trace.queries.iter().filter(|query| query.process == process && query.dev >= 0).peekable();
    asked.peek().is_none() || asked.any(|query| query.dev == scope.query.dev)
}

/// When the weights were there, ns: at the temporary pool, else at the query before the profile.
fn loaded_until(scope: &Scope) -> u64 {
    let decision = scope.decision;
    if let Some(pool) = scope.temporary {
        return pool.begin;
    }
    let first = decision.rule.free.first().filter(|_| decision.rule.total_share > 0.0);
    let mine = |query: &&crate::load::events::Query| {
        query.process == decision.process && query.dev >= 0 && query.end <= scope.query.begin
    };
    let before = scope.trace.queries.iter().rposition(|query| mine(&query));
    match (first, before) {
        // Only a runtime that profiles asks between the weights and the profile.
        (Some(first), Some(before)) if before != first.query => scope.trace.queries[before].end,
        _ => u64::MAX,
    }
}

/// Bytes of weights among `early`, and the openings of their files if these say so.
fn weights(scope: &Scope, early: i128) -> (i128, Vec<String>) {
    let opened = |file: &&WeightFile| file.openings.iter().any(|opening| opening.process == scope.decision.process);
    let files: Vec<&WeightFile> = scope.trace.weights.files.iter().filter(opened).collect();
    let bytes: i128 = files.iter().map(|file| i128::from(file.size)).sum();
    // A rank loads a part of its files, and a quantised load another size.
    if bytes == 0 || bytes > early || bytes < early / 2 {
        return (early.max(0), Vec::new());
    }
    let openings = files.iter().flat_map(|file| &file.openings).filter(|it| it.process == scope.decision.process);
    (bytes, openings.take(NAMED_FILES).map(|opening| scope.trace.evidence(opening.process, opening.n)).collect())
}

/// The one GPU of NVML's that the query was about, as it was then; `None` where NVML lists several that it may be, or no
/// process.
pub fn usage<'t>(scope: &Scope<'t>) -> Option<&'t Usage> {
    usage_in(scope, scope.view?)
}

/// As [`usage`], in another view.
pub fn usage_in<'v>(scope: &Scope, view: &'v View) -> Option<&'v Usage> {
    let told = |usage: &&Usage| usage.own.is_some() || usage.others.is_some();
    let all: Vec<&Usage> = view.around.usage.iter().filter(told).collect();
    let uuid = scope.device.map_or("", |device| device.uuid.as_str());
    if let Some(named) = all.iter().find(|usage| !uuid.is_empty() && usage.uuid == uuid) {
        return Some(*named);
    }
    let holding = || all.iter().filter(|usage| usage.own.is_some_and(|own| own > 0));
    match all.as_slice() {
        [one] => Some(*one),
        _ if holding().count() == 1 => holding().next().copied(),
        _ => None,
    }
}

/// Adds what is in use and held by no traced process. Where nothing separates it from host memory, it stays unexplained.
pub fn untraced(scope: &Scope, terms: &mut Terms, traced: &Traced, kernel: Option<Kernel>) {
    let in_use = i128::from(scope.decision.total_bytes.value) - i128::from(scope.free);
    let held = traced.own + traced.others;
    let rest = match (scope.integrated(), kernel) {
        // A simulated device takes nothing of the machine's memory: what the machine has in use comes on top.
        (Some(true), Some(kernel)) if scope.trace.simulated() => kernel.residual + in_use - kernel.used - held,
        (_, Some(kernel)) => kernel.residual - held,
        (Some(false), None) => in_use - held,
        (_, None) => return,
    };
    let listed = usage(scope);
    let of = |bytes: Option<u64>, known: i128| bytes.map_or(0, |bytes| (i128::from(bytes) - known).max(0));
    let others = of(listed.and_then(|usage| usage.others), traced.others);
    let context = of(listed.and_then(|usage| usage.own), traced.own);
    let seen = || [scope.seen(), scope.viewed()].concat();
    terms.add("other_processes", "other processes, as NVML lists them", others, Confidence::Observed, seen());
    let title = "context and kernels of the serving process (NVML)";
    terms.add("context", title, context, Confidence::Observed, seen());
    let title = match listed {
        Some(_) => "driver memory that no process holds",
        None => "contexts, driver and programs that were not traced",
    };
    terms.add("untraced", title, (rest - others - context).max(0), Confidence::Solved, seen());
}
