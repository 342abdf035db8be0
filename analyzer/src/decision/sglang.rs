//! SGLang: free memory before and after the weights, then a K and a V tensor for each layer.
//! `KV = free after - (1 - f) x free before`.

use super::calls::{Calls, Pool, signed};
use super::logs::sglang::Witness;
use super::{Bound, Confidence, Decision, Fact, Rule, Source, Weight};
use crate::load::events::Query;
use kvtrace_sizing::GIB;

/// Half of the last decimal of a logged GiB figure, and a little for the float's own rounding.
const HALF_STEP: f64 = 0.0051 * GIB as f64;
/// What torch rounds large allocations up to.
const TORCH_SEGMENT: u64 = 2 << 20;
/// Shares are computed to three decimals, or given with two.
const STEP: f64 = 0.001;

pub fn detect(calls: &Calls, witness: &Witness) -> Option<Decision> {
    let logged = witness.after.is_some() || witness.size.is_some();
    let pool = calls.pools().into_iter().find(|pool| match &witness.size {
        // Two halves of two decimals each, and what torch rounds each tensor up by.
        Some(size) => {
            let above = pool.bytes as f64 - size.value * GIB as f64;
            above >= -2.0 * HALF_STEP && above <= 2.0 * HALF_STEP + (pool.tensors * TORCH_SEGMENT) as f64
        }
        None => pool.tensors >= 4 && pool.tensors.is_multiple_of(2),
    })?;
    if !logged && !calls.named(&["sglang", "sgl_kernel"], &pool) {
        return None;
    }
    let earlier = calls.before(pool.first.begin);
    let (at, after) = match &witness.after {
        Some(logged) => *earlier.iter().rev().find(|(_, query)| near(query, logged.value))?,
        None => *earlier.last()?,
    };
    let before = match &witness.before {
        Some(logged) => {
            *earlier.iter().rev().find(|(_, query)| query.end <= after.begin && near(query, logged.value))?
        }
        None => before_weights(calls, earlier, after)?,
    };
    complete(calls, witness, &pool, before, (at, after))
}

fn near(query: &Query, gib: f64) -> bool {
    (query.free.unwrap_or(0) as f64 - gib * GIB as f64).abs() <= HALF_STEP
}

/// The question before what took the most memory.
fn before_weights<'t>(calls: &Calls, earlier: &[(usize, &'t Query)], after: &Query) -> Option<(usize, &'t Query)> {
    let until: Vec<_> = earlier.iter().filter(|(_, query)| query.end <= after.end).collect();
    let fell = |pair: &&[&(usize, &'t Query)]| match pair {
        [(_, before), (_, behind)] if calls.took_memory(before.end, behind.begin) => {
            before.free.unwrap_or(0).saturating_sub(behind.free.unwrap_or(0))
        }
        _ => 0,
    };
    let pair = until.windows(2).max_by_key(fell)?;
    pair.first().map(|query| **query)
}

fn complete(
    calls: &Calls,
    witness: &Witness,
    pool: &Pool,
    before: (usize, &Query),
    after: (usize, &Query),
) -> Option<Decision> {
    let (free_before, free_after) = (before.1.free?, after.1.free?);
    if free_before == 0 || free_after > free_before {
        return None;
    }
    let solved = 1.0 - (free_after as f64 - pool.bytes as f64) / free_before as f64;
    // The pool is rounded down to whole tokens, padded by one page, and torch rounds each tensor up: it may be a little
    // larger than what a share in thousandths gives, and hardly smaller.
    let share = (solved / STEP + 1e-6).floor() * STEP;
    let above = (solved - share) * free_before as f64;
    let rounded_up = (pool.tensors * TORCH_SEGMENT) as f64 + HALF_STEP;
    let nearest = (solved / STEP).round() * STEP;
    let fraction = match () {
        () if (nearest - solved).abs() * (free_before as f64) <= HALF_STEP => nearest,
        () if above <= rounded_up => share,
        () => solved,
    };
    if !(0.0..=1.0).contains(&fraction) {
        return None;
    }
    let budget = (free_after as f64 - (1.0 - fraction) * free_before as f64).round() as i64;
    let evidence = || vec![calls.seen(before.1.n), calls.seen(after.1.n), calls.seen(pool.first.n)];
    let plain = calls.decision("SGLang", Bound::ShareOfFree, pool, after, 1.0)?;
    let weight = |role, (query, asked): (usize, &Query), weight| Weight {
        role,
        query,
        source: Source::Driver,
        free_bytes: asked.free.unwrap_or(0),
        weight,
    };
    let tokens = witness.tokens.as_ref();
    Some(Decision {
        free_a_bytes: Some(Fact::new(free_before, Confidence::Observed, [calls.seen(before.1.n)])),
        fraction: Fact::new(fraction, Confidence::Solved, evidence()),
        rule: Rule {
            total_share: 0.0,
            free: vec![weight("A", before, fraction - 1.0), weight("B", after, 1.0)],
            factor: 1.0,
            reserved_bytes: 0,
        },
        budget_bytes: budget,
        rounding_bytes: signed(pool.bytes) - budget,
        tokens: tokens.map(|tokens| Fact::new(tokens.value, Confidence::Logged, [tokens.evidence.clone()])),
        bytes_per_token: tokens.and_then(|tokens| {
            // One page of padding is not among the tokens.
            let bytes = pool.bytes.checked_div(tokens.value)?;
            Some(Fact::new(bytes, Confidence::Solved, [tokens.evidence.clone()]))
        }),
        ..plain
    })
}
