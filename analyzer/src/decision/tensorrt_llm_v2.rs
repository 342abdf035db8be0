//! TensorRT-LLM, PyTorch backend, KV cache manager V2: the order of V1, with pools that are mapped in chunks of one size up to
//! a quota.

use super::calls::{Calls, Pool, signed};
use super::logs::tensorrt_llm::Witness;
use super::{Bound, Confidence, Decision, Fact, Rule, Source, Weight};
use crate::load::events::{MemoryKind, Query};
use kvtrace_sizing::tensorrt_llm::{self as rule, v2};
use kvtrace_sizing::{GIB, MIB};

const NAMES: [&str; 3] = ["tensorrt_llm", "tensorrt-llm", "trtllm"];
const DEFAULT_FRACTION: f64 = 0.9;
/// Half of the last decimal of a logged GiB figure, and a little for the float's own rounding.
const LOG_HALF_STEP: f64 = 0.0051;
/// The smallest and the largest chunk.
const CHUNKS: [u64; 2] = [2 * MIB, 32 * MIB];
/// A quota maps whole chunks: less than one of them stays unmapped, and a rounding of the log's.
const SLACK: u64 = 16 * MIB;

pub fn detect(calls: &Calls, witness: &Witness) -> Option<Decision> {
    // The other manager prints what this one does not.
    if !witness.pools.is_empty() {
        return None;
    }
    let pools = calls.all_pools();
    let is_chunked = |pool: &&Pool| {
        let (size, module) = (pool.first.size, calls.trace.module(pool.first.module));
        // torch may map its own memory in chunks, too.
        let file = module.rsplit('/').next().unwrap_or_default();
        let torch = file.contains("torch") || file.contains("c10");
        let in_bounds = size.is_power_of_two() && (CHUNKS[0]..=CHUNKS[1]).contains(&size);
        pool.first.kind == MemoryKind::Vmm && in_bounds && !torch
    };
    let chunked: Vec<&Pool> = pools.iter().filter(is_chunked).collect();
    let is_quota = |pool: &Pool| v2::chunk(pool.bytes.saturating_add(pool.first.size - 1)) == pool.first.size;
    let last = *chunked.iter().find(|pool| pool.tensors > 1 && is_quota(pool))?;
    if witness.quota.is_none() && !calls.named(&NAMES, last) {
        return None;
    }
    // What the estimate ran with is gone before the pool comes.
    let gone = |pool: &&&Pool| pool.first.end.is_some_and(|(end, _)| end < last.first.begin);
    let temporary = chunked.iter().filter(gone).max_by_key(|pool| pool.first.begin)?;
    let (freed, _) = temporary.first.end?;
    let b = *calls.before(freed).last().filter(|(_, query)| query.begin > temporary.end)?;
    let c = *calls.before(last.first.begin).last().filter(|(_, query)| query.begin >= freed)?;
    complete(calls, witness, last, temporary, (b, c))
}

type Asked<'t> = (usize, &'t Query);

fn complete(
    calls: &Calls,
    witness: &Witness,
    last: &Pool,
    temporary: &Pool,
    (b, c): (Asked, Asked),
) -> Option<Decision> {
    let (free, total) = (b.1.free?, b.1.total?);
    let fraction = match &witness.fraction {
        Some(logged) => Fact::new(logged.value, Confidence::Logged, [logged.evidence.clone()]),
        None => Fact::new(DEFAULT_FRACTION, Confidence::Assumed, []),
    };
    let f = fraction.value;
    let quota = witness.quota.as_ref().map(|logged| (logged.value * GIB as f64).round() as u64);
    let by_tokens = witness.quota_from_tokens.as_ref().map(|logged| (logged.value * GIB as f64).round() as u64);
    let capped = quota.zip(by_tokens).is_some_and(|(quota, tokens)| tokens.abs_diff(quota) <= SLACK);
    // The budget that the pool speaks for: the quota where it is logged, else what is mapped.
    let implied = quota.unwrap_or(last.bytes);
    let solved = rule::solve_transient(implied, free, temporary.bytes, f)?;
    let (least, most, known, mut evidence) = match &witness.peak {
        Some(peak) => {
            let at = |gib: f64| rule::transient_from_peak((gib * GIB as f64) as u64, total, free).max(0);
            let (least, most) = (at(peak.value - LOG_HALF_STEP), at(peak.value + LOG_HALF_STEP));
            (least, most, Confidence::Logged, vec![peak.evidence.clone()])
        }
        None => {
            let rise = signed(calls.ledger.rise(calls.process, temporary.end, b.1.begin));
            (0, rise, Confidence::Solved, vec![calls.seen(last.first.n)])
        }
    };
    evidence.push(calls.seen(b.1.n));
    let transient = if capped { least + (most - least) / 2 } else { solved.clamp(least, most) };
    let budget = rule::Budget { free_after_profile: free, temporary_pool: temporary.bytes, transient, fraction: f };
    let budget_bytes = signed(budget.bytes());
    let cap_bytes = if capped { (signed(implied) - budget_bytes).min(0) } else { 0 };
    let rest = signed(last.bytes) - budget_bytes - cap_bytes;
    let chunk = v2::chunk(implied).max(last.first.size);
    let rounding_bytes = if rest.unsigned_abs() < chunk.saturating_add(SLACK) { rest } else { 0 };
    let per_token = witness.bytes_per_token.as_ref();
    let observed = |query: &Query| Some(Fact::new(query.free?, Confidence::Observed, [calls.seen(query.n)]));
    let bound = if capped { Bound::UserTokens } else { Bound::FractionOfPeak };
    let plain = calls.decision("TensorRT-LLM PyTorch V2", bound, last, b, f)?;
    Some(Decision {
        free_c_bytes: observed(c.1),
        temporary_pool_bytes: Fact::new(temporary.bytes, Confidence::Observed, [calls.seen(temporary.first.n)]),
        fraction,
        rule: Rule {
            total_share: 0.0,
            free: vec![Weight { role: "B", query: b.0, source: Source::Driver, free_bytes: free, weight: f }],
            factor: f,
            reserved_bytes: 0,
        },
        transient_bytes: Fact::new(transient, known, evidence.clone()),
        peak_bytes: Fact::new(budget.peak(total), known, evidence),
        budget_bytes,
        cap_bytes,
        rounding_bytes,
        unexplained_bytes: rest - rounding_bytes,
        bytes_per_token: per_token.map(|logged| Fact::new(logged.value, Confidence::Logged, [logged.evidence.clone()])),
        tokens: per_token
            .filter(|logged| logged.value > 0)
            .map(|logged| Fact::new(last.bytes / logged.value, Confidence::Solved, [logged.evidence.clone()])),
        blocks: Some(last.tensors),
        host_tier_bytes: witness.host_quota.as_ref().map(|logged| {
            let bytes = (logged.value * GIB as f64).round() as u64;
            Fact::new(bytes, Confidence::Logged, [logged.evidence.clone()])
        }),
        ..plain
    })
}
