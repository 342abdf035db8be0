//! TensorRT-LLM, C++ engine: one question once everything else is there, and a share of what was free.

use super::calls::{Calls, signed};
use super::logs::tensorrt_llm::Witness;
use super::{Bound, Confidence, Decision, Fact, Rule};
use kvtrace_sizing::GIB;

const NAMES: [&str; 3] = ["tensorrt_llm", "tensorrt-llm", "trtllm"];
const DEFAULT_FRACTION: f64 = 0.9;
/// Half of the last decimal of a logged GiB figure, and a little for the float's own rounding.
const HALF_STEP: f64 = 0.0051 * GIB as f64;
/// One block of the largest models.
const SLACK: f64 = (64u64 << 20) as f64;

pub fn detect(calls: &Calls, witness: &Witness) -> Option<Decision> {
    // The PyTorch backend prints what this one does not.
    if witness.peak.is_some() {
        return None;
    }
    let pool = calls.pools().into_iter().find(|pool| {
        let named = calls.named(&NAMES, pool);
        let sized =
            witness.pools.last().map(|printed| (printed.value.0 * GIB as f64 - pool.bytes as f64).abs() <= HALF_STEP);
        sized.unwrap_or(named && pool.tensors == 1)
    })?;
    if witness.asked.is_none() && !calls.named(&NAMES, &pool) {
        return None;
    }
    let sizing = *calls.before(pool.first.begin).last()?;
    // Between the question and the pool nothing else is taken.
    if calls.took_memory(sizing.1.end, pool.first.begin.saturating_sub(1)) {
        return None;
    }
    let free = sizing.1.free?;
    // What the device's pool holds and does not use is added to the answer.
    let added = witness.asked.as_ref().map_or(0.0, |asked| asked.value.1 * GIB as f64 - free as f64);
    let added = if added.abs() <= HALF_STEP { 0.0 } else { added };
    let base = free as f64 + added;
    let solved = pool.bytes as f64 / base;
    let hundredth = (solved * 100.0).round() / 100.0;
    let near = |fraction: f64| (fraction * base - pool.bytes as f64).abs() <= SLACK;
    let (fraction, confidence) = match () {
        () if near(DEFAULT_FRACTION) => (DEFAULT_FRACTION, Confidence::Solved),
        () if near(hundredth) && hundredth < 1.0 => (hundredth, Confidence::Solved),
        // Capped by tokens, or not this rule.
        () => return None,
    };
    let budget = (f64::from(fraction as f32) * base) as i64;
    let plain = calls.decision("TensorRT-LLM C++", Bound::ShareOfFree, &pool, sizing, fraction)?;
    let printed = witness.pools.last();
    Some(Decision {
        fraction: Fact::new(fraction, confidence, [calls.seen(sizing.1.n), calls.seen(pool.first.n)]),
        rule: Rule { factor: fraction, ..plain.rule },
        budget_bytes: budget,
        rounding_bytes: signed(pool.bytes) - budget,
        tokens: printed.map(|printed| Fact::new(printed.value.1, Confidence::Logged, [printed.evidence.clone()])),
        bytes_per_token: printed.and_then(|printed| {
            let bytes = pool.bytes.checked_div(printed.value.1)?;
            Some(Fact::new(bytes, Confidence::Solved, [printed.evidence.clone()]))
        }),
        ..plain
    })
}
