//! What became of the memory that the driver called free: the KV cache, and what the rule keeps beside it.

use super::{Part, Scope, Terms};
use crate::decision::{Confidence, Source};
use crate::load::machine::View;

/// Adds the KV cache and what stays free. Returns what the runtime's rule does not explain, which is part of neither.
pub fn terms(scope: &Scope, terms: &mut Terms) -> i64 {
    let decision = scope.decision;
    let (pool, transient) = (i128::from(decision.final_pool_bytes.value), i128::from(decision.transient_bytes.value));
    let (reserved, cap) = (i128::from(decision.rule.reserved_bytes), i128::from(decision.cap_bytes));
    let rule = i128::from(decision.unexplained_bytes);
    terms.add("kv_cache", "KV cache", pool, Confidence::Observed, decision.final_pool_bytes.evidence.clone());
    let known = &decision.transient_bytes;
    terms.add("transient", "kept for activations", transient, known.confidence, known.evidence.clone());
    terms.add("reserved", "kept for graphs", reserved, Confidence::Observed, scope.seen());
    if let Some(term) = terms.add("cap", "kept by a cap", -cap, Confidence::Solved, scope.seen()) {
        term.note = Some(decision.bound.sentence().into());
    }
    // What a runtime takes for free though it is in use shows up twice: as page cache, and in what it believed free.
    let free = i128::from(scope.free);
    let believed = decision.rule.free.last().filter(|weight| weight.source == Source::MemAvailable);
    let lent = believed.map_or(0, |weight| i128::from(weight.free_bytes) - free);
    let (key, title, note) = match lent > 0 {
        true => (
            "called_free",
            "in use, but called free by the runtime",
            "it went by MemAvailable, which counts what the kernel would give up",
        ),
        false => (
            "not_called_free",
            "free, but not called free by the runtime",
            "it went by MemAvailable, which is less than what the driver called free",
        ),
    };
    if let Some(term) = terms.add(key, title, -lent, Confidence::Observed, scope.viewed()) {
        term.note = Some(note.into());
    }
    let since = scope.taken_since();
    let left = free + lent - since + i128::from(decision.temporary_pool_bytes.value) - pool - transient - reserved
        + cap
        + rule;
    let (key, title) = match decision.fraction.value > 0.0 {
        true => ("left_by_fraction", "left by the fraction"),
        false => ("left_free", "left free"),
    };
    let mut seen = [scope.seen(), decision.fraction.evidence.clone()].concat();
    seen.sort();
    seen.dedup();
    if let Some(term) = terms.add(key, title, left, decision.fraction.confidence, seen) {
        let patched = super::unpatched(scope.trace, scope.query).zip(scope.query.free);
        term.note = patched.map(|(real, told)| {
            format!("the answer was patched by {}", crate::render::change(i128::from(told) - i128::from(real)))
        });
        // Reserves of the kernel count as free, and are the last that anyone gets.
        if scope.integrated() == Some(true)
            && let Some(view) = scope.view
        {
            term.parts = reserves(scope, view, left);
        }
    }
    decision.unexplained_bytes
}

/// Free memory that the kernel does not give to a GPU: below its watermarks, and in areas that cannot be pinned.
fn reserves(scope: &Scope, view: &View, left: i128) -> Vec<Part> {
    let of = |bytes: Option<u64>| i128::from(bytes.unwrap_or(0));
    let mut rest = left.max(0);
    let mut parts = Vec::new();
    let figures = [
        ("of it kernel: below the watermarks", of(watermarks(view))),
        ("of it kernel: CMA, which cannot be pinned", of(cma_free(view))),
    ];
    for (title, bytes) in figures {
        let bytes = bytes.min(rest);
        if bytes > 0 {
            rest -= bytes;
            parts.push(Part { title: title.into(), bytes, evidence: scope.viewed() });
        }
    }
    if !parts.is_empty() {
        parts.push(Part {
            title: "of it free for others".into(),
            bytes: left - (left.max(0) - rest),
            evidence: vec![],
        });
    }
    parts
}

/// Sum of the high watermarks of all zones; `None` where they were not to be had. Bytes.
pub fn watermarks(view: &View) -> Option<u64> {
    sum(view, "high")
}

/// Free pages of areas for contiguous memory, which count as free and cannot be pinned for long. Bytes.
pub fn cma_free(view: &View) -> Option<u64> {
    sum(view, "cma_free").or_else(|| view.meminfo.get("CmaFree").copied())
}

fn sum(view: &View, name: &str) -> Option<u64> {
    let all = view.around.zones.iter().filter_map(|zone| zone.figures.get(name).copied());
    all.reduce(u64::saturating_add)
}
