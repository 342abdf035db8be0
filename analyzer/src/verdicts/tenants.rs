//! Who else is on the device, who was there before, and whether anyone could tell.

use super::case::Case;
use super::{BLIND, Finding, LEFTOVER, OTHER_PROCESS, Remedy};
use crate::attribution::usage_in;
use crate::load::events::{Layer, Query, View};
use crate::render::gib;
use crate::residual;

/// A driver and a context hold this much of a GPU with memory of its own.
const DRIVER: i128 = 1 << 30;

pub fn other_process(case: &Case) -> Finding {
    let it = OTHER_PROCESS;
    let unified = case.scope.integrated() == Some(true);
    let on_host = case.scope.view.filter(|_| unified).and_then(heaps_of_others).unwrap_or(0);
    let (listed, traced) = (case.bytes("other_processes"), case.bytes("device_memory_traced"));
    let on_device = listed + traced;
    let told = |found: Finding| {
        let found = found.number("on the device", on_device);
        let found = if unified { found.number("heaps on the host", on_host) } else { found };
        found.seen(case.here())
    };
    if on_device + on_host >= case.floor {
        let cost = case.cost(|query, view| held_by_others(case, query, view));
        let mut parts = Vec::new();
        for (bytes, what) in [
            (listed, "are listed by NVML for others"),
            (traced, "by other traced processes"),
            (on_host, "are others' heaps"),
        ] {
            if bytes > 0 {
                parts.push(format!("{} {what}", gib(bytes)));
            }
        }
        let because = parts.join(", ");
        let found = told(it.supported(because)).costs(cost);
        let found = found.remedy(Remedy::new("stop what is not needed, or start the servers one after the other"));
        return match case.fixed_size() {
            Some(remedy) => found.remedy(remedy),
            None => found,
        };
    }
    if unified && case.scope.view.is_none() {
        return told(it.open("no view of the machine lies beside the sizing query"));
    }
    let untraced = case.bytes("untraced");
    let known = case.usage().is_some();
    let normal = if unified { 0 } else { DRIVER };
    match () {
        () if !known && untraced >= case.floor.max(normal) => {
            let because =
                format!("{} are held by nobody that was traced, and NVML was not there to say by whom", gib(untraced));
            told(it.open(because)).number("held by nobody traced", untraced)
        }
        () if case.scope.integrated().is_none() => told(it.open("the trace describes no GPU")),
        () if known => told(it.refuted(format!("NVML lists {} for others", gib(on_device)))),
        () => told(it.refuted(format!("no more than {} are held by others", gib(on_device + on_host + untraced)))),
    }
}

/// Heaps of all processes but the serving one. Bytes.
fn heaps_of_others(view: &View) -> Option<i128> {
    let own = view.own.get("rss_anon").map_or(0, |bytes| i128::from(*bytes));
    view.meminfo.get("AnonPages").map(|all| (i128::from(*all) - own).max(0))
}

/// What others hold at a query: on the device, and on unified memory their heaps. Bytes.
pub fn held_by_others(case: &Case, query: &Query, view: &View) -> Option<i128> {
    let traced = traced_others(case, query);
    let heaps = if case.scope.integrated() == Some(true) { heaps_of_others(view)? } else { 0 };
    let listed = usage_in(&case.scope, view).and_then(|usage| usage.others).map_or(0, i128::from);
    Some(traced.max(listed) + heaps)
}

fn traced_others(case: &Case, query: &Query) -> i128 {
    if case.bytes("device_memory_traced") == 0 {
        return 0;
    }
    let at = case.trace().queries.iter().position(|other| other.process == query.process && other.n == query.n);
    at.map_or(0, |at| case.scope.others_at(at))
}

/// What the device held before the serving process took anything of it.
pub fn leftover(case: &Case) -> Finding {
    let it = LEFTOVER;
    if case.trace().simulated() {
        return it.open("the GPU is simulated: it holds nothing of a driver's");
    }
    let trace = case.trace();
    let empty = |(query, held): &(&Query, &crate::ledger::Held)| {
        query.process == case.decision().process
            && query.dev == case.scope.query.dev
            && query.free.is_some()
            && held.device == 0
    };
    let Some((first, _)) = trace.queries.iter().zip(&case.scope.ledger.at_queries).find(empty) else {
        return it.open("no question was asked before the process took memory");
    };
    let evidence = trace.evidence(first.process, first.n);
    let view = first.view.and_then(|at| trace.views.get(at));
    let evidence: Vec<_> =
        std::iter::once(evidence).chain(view.map(|view| trace.evidence(view.process, view.n))).collect();
    let held = match (case.scope.integrated(), view) {
        (None, _) => return it.open("the trace describes no GPU"),
        (Some(true), None) => return it.open("no view of the machine lies beside the first question").seen(evidence),
        (Some(true), Some(view)) => match residual::read(view) {
            Ok(residual) => residual.bytes,
            Err(why) => return it.open(why).seen(evidence),
        },
        (Some(false), _) => {
            let free = crate::attribution::unpatched(trace, first).or(first.free).unwrap_or(0);
            i128::from(first.total.unwrap_or(case.decision().total_bytes.value)) - i128::from(free)
        }
    };
    let normal = if case.scope.integrated() == Some(true) { 0 } else { DRIVER };
    let least = case.floor.max(normal);
    let usage = view.and_then(|view| usage_in(&case.scope, view));
    let listed = usage.map(|usage| i128::from(usage.own.unwrap_or(0)) + i128::from(usage.others.unwrap_or(0)));
    let told = |found: Finding| {
        let found = found.number("held before", held).seen(evidence.clone());
        match listed {
            Some(listed) => found.number("listed by NVML", listed),
            None => found,
        }
    };
    let left = held - listed.unwrap_or(0);
    match listed {
        _ if left < least => {
            let by = if listed.is_some() { ", no more than NVML lists" } else { "" };
            told(it.refuted(format!("{} were held before the process took anything{by}", gib(held.max(0)))))
        }
        None => told(it.open(format!(
            "{} were held before the process took anything; NVML was not there to say by whom",
            gib(held)
        ))),
        Some(_) => {
            let because = format!("{} were held before the process took anything, and by no process", gib(left));
            let found = told(it.supported(because)).costs(Some(case.constant_cost(left)));
            let text = match case.scope.integrated() {
                Some(true) => {
                    "let the driver give back what it keeps: echo 2 > /proc/sys/vm/drop_caches (root); else end what is \
                     defunct, or boot afresh"
                }
                _ => "end what is defunct and still holds the device, or reset it",
            };
            found.remedy(Remedy::new(text))
        }
    }
}

pub fn blind(case: &Case) -> Finding {
    let it = BLIND;
    let held = case.bytes("weights") + case.bytes("device_memory") + case.bytes("graphs");
    if let Some(usage) = case.scope.view.and_then(|view| usage_in(&case.scope, view)) {
        let own = usage.own.unwrap_or(0);
        if own > 0 || held == 0 {
            return it.refuted(format!("NVML lists the process with {}", gib(own.into()))).seen(case.here());
        }
        let because = match usage.same_pids {
            Some(false) => "NVML lists processes of another PID namespace, and not this one",
            _ => "NVML does not list the process, which holds memory",
        };
        let found = it.supported(because).number("on the device", held).seen(case.here());
        return found.remedy(Remedy::new("start the container with --pid=host, or look from outside it"));
    }
    let trace = case.trace();
    let process = case.decision().process;
    let refused =
        trace.queries.iter().find(|query| query.layer == Layer::Nvml && query.rc != 0 && query.process == process);
    let answer = ["usage", "usage.memory"].iter().find_map(|what| trace.seen.reason(process, what));
    match (refused, answer) {
        (Some(query), _) => {
            let because = format!("{} answered {} instead of memory", query.answered, query.rc);
            let found = it.supported(because).seen([trace.evidence(query.process, query.n)]);
            found.remedy(Remedy::new("go by the driver's free memory and by this trace; nvidia-smi shows N/A for it"))
        }
        (None, Some(missing)) if missing.reason.starts_with("answer") => {
            let found = it.supported(format!("NVML tells no memory ({})", missing.reason));
            let found = found.seen([trace.evidence(missing.process, missing.n)]);
            found.remedy(Remedy::new("go by the driver's free memory and by this trace; nvidia-smi shows N/A for it"))
        }
        (None, Some(missing)) => it.open(missing.reason.clone()).seen([trace.evidence(missing.process, missing.n)]),
        (None, None) => it.open("NVML was not asked"),
    }
}
