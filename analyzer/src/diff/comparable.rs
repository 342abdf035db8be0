//! Whether two runs may be compared: same model, same settings, same device.

use super::Side;
use crate::load::events::Query;
use crate::model::Same;
use crate::render::{gib, grouped};
use serde::Serialize;

#[derive(Debug, Clone, Serialize)]
pub struct Check {
    pub check: &'static str,
    pub a: String,
    pub b: String,
    /// Absent where a side does not tell.
    pub same: Option<bool>,
}

const UNKNOWN: &str = "unknown";
/// Weights of one model differ by what the allocator rounds.
const SAME_MODEL: f64 = 0.01;
/// The fraction passes through a 32-bit float on its way into some log lines.
const SAME_FRACTION: f64 = 1e-6;

/// The check that speaks for itself in a sentence of its own.
pub const MODEL: &str = "model files";

pub fn checks(a: &Side, b: &Side, model: &Same) -> Vec<Check> {
    let weights = (weights(a), weights(b));
    let near = weights.0.abs_diff(weights.1) as f64 <= SAME_MODEL * weights.0.max(weights.1) as f64;
    let fractions = (a.decision.fraction.value, b.decision.fraction.value);
    let fraction = crate::render::decision::fraction;
    let per_token = |side: &Side| side.decision.bytes_per_token.as_ref().map(|fact| fact.value);
    let total = |side: &Side| side.decision.total_bytes.value;
    let totals = |bytes: u64| format!("{} bytes", grouped(bytes));
    let name = |side: &Side| side.device().map(|device| device.name.clone());
    let shown = |text: Option<String>| text.unwrap_or_else(|| UNKNOWN.into());
    let patched = |side: &Side| if side.trace.patches.is_empty() { "none" } else { "answers patched" }.to_owned();
    let check = |check, a: String, b: String, same| Check { check, a, b, same };
    let files = model.is_told().then(|| check(MODEL, model.a.clone(), model.b.clone(), model.verdict.is_same()));
    let others = [
        check("model weights on the device", gib(weights.0.into()), gib(weights.1.into()), Some(near)),
        check(
            "bytes per token",
            shown(per_token(a).map(grouped)),
            shown(per_token(b).map(grouped)),
            per_token(a).zip(per_token(b)).map(|(a, b)| a == b),
        ),
        check(
            "fraction",
            fraction(fractions.0),
            fraction(fractions.1),
            Some((fractions.0 - fractions.1).abs() < SAME_FRACTION),
        ),
        check("device total", totals(total(a)), totals(total(b)), Some(total(a) == total(b))),
        check("device", shown(name(a)), shown(name(b)), name(a).zip(name(b)).map(|(a, b)| a == b)),
        check(
            "runtime",
            a.decision.runtime.into(),
            b.decision.runtime.into(),
            Some(a.decision.runtime == b.decision.runtime),
        ),
        check("patches", patched(a), patched(b), Some(a.trace.patches.is_empty() && b.trace.patches.is_empty())),
    ];
    files.into_iter().chain(others).collect()
}

/// What the serving process held at query A (else B) besides the temporary pool.
fn weights(side: &Side) -> u64 {
    let decision = &side.decision;
    let is_a = |query: &&Query| {
        let evidence = side.trace.evidence(query.process, query.n);
        decision.free_a_bytes.as_ref().is_some_and(|fact| fact.evidence.contains(&evidence))
    };
    let mut queries = side.trace.queries.iter().filter(|query| query.process == decision.process);
    let at = queries.find(is_a).map_or(decision.sized_at, |query| query.end);
    let held = side.ledger.device_at(at, |process| process == decision.process);
    held.saturating_sub(decision.temporary_pool_bytes.value)
}
