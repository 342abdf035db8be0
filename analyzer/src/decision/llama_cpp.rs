//! llama.cpp: the KV cache has the size of its context, whatever is free. Which buffer it is, its own line tells.

use super::calls::{Calls, signed};
use super::logs::llama_cpp::Witness;
use super::{Bound, Confidence, Decision, Fact, Rule, Source, Weight};

const MIB: f64 = (1u64 << 20) as f64;
/// Half of the last decimal of a logged MiB figure, and a little for the float's own rounding.
const HALF_STEP: f64 = 0.0051 * MIB;

pub fn detect(calls: &Calls, witness: &Witness) -> Option<Decision> {
    let logged = witness.buffers.last()?;
    let pool = calls
        .pools()
        .into_iter()
        .find(|pool| pool.tensors == 1 && (logged.value * MIB - pool.bytes as f64).abs() <= HALF_STEP)?;
    let sizing = *calls.before(pool.first.begin).last()?;
    let available = calls.available_after(sizing.0);
    let free = available.or(sizing.1.free)?;
    let plain = calls.decision("llama.cpp", Bound::Context, &pool, sizing, 0.0)?;
    let source = if available.is_some() { Source::MemAvailable } else { Source::Driver };
    let cells = witness.cells.as_ref();
    Some(Decision {
        free_b_bytes: Fact::new(free, Confidence::Observed, [calls.seen(sizing.1.n)]),
        rule: Rule {
            free: vec![Weight { role: "B", query: sizing.0, source, free_bytes: free, weight: 0.0 }],
            factor: 0.0,
            ..plain.rule
        },
        // No share of anything: what the context asks for is the budget.
        fraction: Fact::new(0.0, Confidence::Observed, [logged.evidence.clone()]),
        budget_bytes: signed(pool.bytes),
        tokens: cells.map(|cells| Fact::new(cells.value, Confidence::Logged, [cells.evidence.clone()])),
        bytes_per_token: cells.and_then(|cells| {
            let bytes = pool.bytes.checked_div(cells.value)?;
            Some(Fact::new(bytes, Confidence::Solved, [cells.evidence.clone()]))
        }),
        ..plain
    })
}
