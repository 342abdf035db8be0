//! TensorRT-LLM, PyTorch backend, KV cache manager V1: temporary pool, query A, profiling, query B, free, query C,
//! final pool.

use super::logs::Logged;
use super::logs::tensorrt_llm::Witness;
use super::{Bound, Confidence, Decision, Fact, Rule, Source, Weight};
use crate::ledger::{Ledger, Span};
use crate::load::Trace;
use crate::load::events::{Layer, ProcessIndex, Query};
use kvtrace_sizing::{GIB, tensorrt_llm as rule};

/// Pools smaller than this are no KV cache; one block of the smallest known model is 0.5 MiB, and 32 tokens serve no one.
const LEAST_POOL: u64 = 1 << 20;
/// Only the largest allocations are tried as the final pool: the search is quadratic in them.
const CANDIDATES: usize = 64;
const DEFAULT_FRACTION: f64 = 0.9;
/// How far the pool may lie from the rule where nothing but the rule speaks for it: some blocks of the largest models.
const RULE_SLACK: i64 = 64 << 20;
const DEFAULT_TOKENS_PER_BLOCK: u64 = 32;
/// Half of the last decimal of a logged GiB figure, and a little for the float's own rounding.
const LOG_HALF_STEP: f64 = 0.0051;

/// The calls of one sizing.
struct Sequence<'t> {
    temporary: &'t Span,
    last: &'t Span,
    a: Option<(usize, &'t Query)>,
    b: (usize, &'t Query),
    c: (usize, &'t Query),
}

pub fn detect(trace: &Trace, ledger: &Ledger, witness: &Witness, process: ProcessIndex) -> Option<Decision> {
    let sequence = sequence(trace, ledger, witness, process)?;
    let (b, c) = (sequence.b.1, sequence.c.1);
    let (free_b, free_c, total) = (b.free?, c.free?, b.total?);
    let seen = |n: u64| trace.evidence(process, n);
    let observed = |value: u64, n: u64| Fact::new(value, Confidence::Observed, [seen(n)]);
    let (temporary, pool) = (sequence.temporary.size, sequence.last.size);

    let fraction = match &witness.fraction {
        Some(logged) => fact(logged),
        None => Fact::new(DEFAULT_FRACTION, Confidence::Assumed, []),
    };
    let f = fraction.value;
    let (bytes_per_token, tokens) = tokens(witness, pool);
    let tokens_per_block = match &witness.tokens_per_block {
        Some(logged) => Some(fact(logged)),
        None => tokens.as_ref().map(|_| Fact::new(DEFAULT_TOKENS_PER_BLOCK, Confidence::Assumed, [])),
    };
    let block = bytes_per_token.as_ref().zip(tokens_per_block.as_ref()).map(|(b, t)| b.value.saturating_mul(t.value));

    let (bound, capped) = bound(witness, &tokens, tokens_per_block.as_ref(), bytes_per_token.as_ref(), f, free_c, pool);
    let target = witness.token_target.as_ref().zip(bytes_per_token.as_ref());
    // The budget that the observed pool speaks for, as closely as the witnesses allow.
    let implied = match (bound, target) {
        (Bound::FractionOfPeak | Bound::FractionOfFree, Some((target, b))) => target.value.saturating_mul(b.value),
        _ => pool,
    };
    let solved = rule::solve_transient(implied, free_b, temporary, f)?;
    let (least, most, confidence, mut evidence) = match &witness.peak {
        Some(peak) => {
            let at = |gib: f64| rule::transient_from_peak((gib * GIB as f64) as u64, total, free_b);
            let (least, most) = (at(peak.value - LOG_HALF_STEP), at(peak.value + LOG_HALF_STEP));
            (least.max(0), most.max(0), Confidence::Logged, vec![peak.evidence.clone()])
        }
        None => {
            let from = sequence.a.map_or(sequence.temporary.begin, |(_, query)| query.end);
            let rise = i64::try_from(ledger.rise(process, from, b.begin)).unwrap_or(i64::MAX);
            (0, rise, Confidence::Solved, vec![seen(b.n), seen(sequence.last.n)])
        }
    };
    // Any allocator frees one large block and takes another between two queries; the size alone tells a KV cache apart.
    if !names_itself(trace, witness, &sequence)
        && (solved < least - RULE_SLACK || solved > most.saturating_add(RULE_SLACK))
    {
        return None;
    }
    // A cap hides the budget, and with it the transient: then the witness alone speaks.
    let hidden = bound != Bound::FractionOfPeak && (target.is_none() || bound == Bound::UserTokens);
    let transient = if hidden { least + (most - least) / 2 } else { solved.clamp(least, most) };
    let budget = rule::Budget { free_after_profile: free_b, temporary_pool: temporary, transient, fraction: f };
    let budget_bytes = signed(budget.bytes());
    let cap_bytes = capped.map_or(0, |capped| (signed(capped) - budget_bytes).min(0));
    let rest = signed(pool) - budget_bytes - cap_bytes;
    let rounding_bytes = match block {
        Some(block) if rest.unsigned_abs() < block => rest,
        _ => 0,
    };
    evidence.push(seen(b.n));
    evidence.dedup();
    let mut decision = Decision {
        runtime: "TensorRT-LLM PyTorch V1",
        pid: trace.processes.get(process as usize)?.pid,
        process,
        sized_at: b.end,
        sizing_query: sequence.b.0,
        total_bytes: observed(total, b.n),
        free_a_bytes: sequence.a.and_then(|(_, query)| Some(observed(query.free?, query.n))),
        free_b_bytes: observed(free_b, b.n),
        free_c_bytes: Some(observed(free_c, c.n)),
        temporary_pool_bytes: observed(temporary, sequence.temporary.n),
        final_pool_bytes: observed(pool, sequence.last.n),
        fraction,
        rule: Rule {
            total_share: 0.0,
            free: vec![Weight {
                role: "B",
                query: sequence.b.0,
                source: Source::Driver,
                free_bytes: free_b,
                weight: f,
            }],
            factor: f,
            reserved_bytes: 0,
        },
        transient_bytes: Fact::new(transient, confidence, evidence.clone()),
        peak_bytes: Fact::new(budget.peak(total), confidence, evidence),
        budget_bytes,
        cap_bytes,
        rounding_bytes,
        unexplained_bytes: rest - rounding_bytes,
        blocks: tokens.as_ref().zip(tokens_per_block.as_ref()).map(|(n, t)| n.value / t.value.max(1)),
        host_tier_bytes: None,
        bytes_per_token,
        tokens_per_block,
        tokens,
        bound,
        contradictions: Vec::new(),
    };
    decision.contradictions = contradictions(&decision, witness, solved, (least, most), hidden);
    Some(decision)
}

/// Whether the process printed or loaded what only this runtime does.
fn names_itself(trace: &Trace, witness: &Witness, sequence: &Sequence) -> bool {
    let callers = [sequence.last.module, sequence.b.1.asked.module, sequence.c.1.asked.module];
    let loaded = callers.iter().any(|module| trace.module(*module).contains("tensorrt_llm"));
    loaded || witness.peak.is_some() || witness.token_target.is_some() || !witness.pools.is_empty()
}

fn sequence<'t>(
    trace: &'t Trace,
    ledger: &'t Ledger,
    witness: &Witness,
    process: ProcessIndex,
) -> Option<Sequence<'t>> {
    let queries: Vec<(usize, &Query)> = trace
        .queries
        .iter()
        .enumerate()
        .filter(|(_, query)| query.process == process && query.dev >= 0 && query.rc == 0)
        .filter(|(_, query)| query.free.is_some() && matches!(query.layer, Layer::Driver | Layer::Runtime))
        .collect();
    let first = queries.first()?.1.begin;
    let mut pools: Vec<&Span> = ledger
        .spans
        .iter()
        .filter(|span| span.process == process && span.kind.on_device() && span.size >= LEAST_POOL)
        .filter(|span| span.begin > first)
        .collect();
    pools.sort_by_key(|span| std::cmp::Reverse(span.size));
    let logged = witness.pools.last().map(|pool| pool.value);
    let printed = |span: &&&Span| logged.is_some_and(|pool| matches_log(span.size, pool));
    // What the runtime printed decides; else the largest that fits the order of calls.
    let candidates = pools.iter().filter(printed).chain(pools.iter().take(CANDIDATES));
    let freed: Vec<&Span> = pools.iter().copied().filter(|span| span.end.is_some()).collect();
    let logged = (witness.pools.len() > 1).then(|| witness.pools[0].value);
    candidates.filter_map(|last| complete(last, &queries, &freed, logged, ledger)).next()
}

/// Finds the temporary pool and the queries that belong to a final pool.
fn complete<'t>(
    last: &'t Span,
    queries: &[(usize, &'t Query)],
    freed: &[&'t Span],
    logged: Option<(f64, u64)>,
    ledger: &Ledger,
) -> Option<Sequence<'t>> {
    let before = |time: u64| queries.partition_point(|(_, query)| query.end <= time).checked_sub(1);
    let mut best: Option<((bool, usize, u64), Sequence)> = None;
    for temporary in freed.iter().copied() {
        let Some((freed, _)) = temporary.end.filter(|(end, _)| *end < last.begin) else { continue };
        if temporary.module != last.module || temporary.kind != last.kind {
            continue;
        }
        let (Some(at_b), Some(at_c)) = (before(freed), before(last.begin)) else { continue };
        let (b, c) = (queries[at_b], queries[at_c]);
        if b.1.begin <= temporary.begin || c.1.begin < freed {
            continue;
        }
        // What the runtime printed decides; else what outlived the most queries, and of those the largest.
        let rank = (logged.is_some_and(|pool| matches_log(temporary.size, pool)), at_b, temporary.size);
        if best.as_ref().is_none_or(|(other, _)| rank > *other) {
            let a = query_a(&queries[..at_b], temporary, b.1, ledger);
            best = Some((rank, Sequence { temporary, last, a, b, c }));
        }
    }
    best.map(|(_, sequence)| sequence)
}

/// The last query with device activity of this process between it and query B.
fn query_a<'t>(
    earlier: &[(usize, &'t Query)],
    temporary: &Span,
    b: &Query,
    ledger: &Ledger,
) -> Option<(usize, &'t Query)> {
    let latest = ledger
        .spans
        .iter()
        .filter(|span| span.process == b.process && span.begin > temporary.begin && span.begin < b.begin)
        .map(|span| span.begin)
        .max();
    let inside = earlier.iter().rev().filter(|(_, query)| query.begin > temporary.begin);
    inside.copied().find(|(_, query)| latest.is_none_or(|latest| query.end <= latest))
}

fn matches_log(size: u64, (gib, tokens): (f64, u64)) -> bool {
    let near = (size as f64 / GIB as f64 - gib).abs() <= LOG_HALF_STEP;
    near && tokens > 0 && size.is_multiple_of(tokens)
}

/// Bytes per token and tokens of the final pool.
fn tokens(witness: &Witness, pool: u64) -> (Option<Fact<u64>>, Option<Fact<u64>>) {
    let printed = witness.pools.iter().rev().find(|logged| matches_log(pool, logged.value));
    let by_pool = printed.map(|logged| {
        let tokens = logged.value.1;
        let evidence = || [logged.evidence.clone()];
        (Fact::new(pool / tokens, Confidence::Logged, evidence()), Fact::new(tokens, Confidence::Logged, evidence()))
    });
    match (by_pool, &witness.bytes_per_token) {
        (Some((_, tokens)), Some(b)) => (Some(fact(b)), Some(tokens)),
        (Some((b, tokens)), None) => (Some(b), Some(tokens)),
        (None, Some(b)) if b.value > 0 => {
            (Some(fact(b)), Some(Fact::new(pool / b.value, Confidence::Solved, [b.evidence.clone()])))
        }
        (None, _) => (None, None),
    }
}

/// What bound, and the bytes of the cap that did.
fn bound(
    witness: &Witness,
    tokens: &Option<Fact<u64>>,
    tokens_per_block: Option<&Fact<u64>>,
    bytes_per_token: Option<&Fact<u64>>,
    fraction: f64,
    free_c: u64,
    pool: u64,
) -> (Bound, Option<u64>) {
    let by_free = u64::try_from(rule::share(fraction, free_c.into())).unwrap_or(0);
    let (Some(tokens), Some(t), Some(b)) = (tokens, tokens_per_block, bytes_per_token) else {
        return (Bound::FractionOfPeak, None);
    };
    let block = t.value.saturating_mul(b.value);
    if let Some(target) = &witness.token_target
        && tokens.value.saturating_add(t.value) <= target.value
        && pool.abs_diff(by_free) <= block
    {
        return (Bound::FractionOfFree, Some(by_free));
    }
    if let Some(user) = &witness.user_tokens
        && user.value.abs_diff(tokens.value) <= t.value
    {
        return (Bound::UserTokens, Some(user.value.saturating_mul(b.value)));
    }
    (Bound::FractionOfPeak, None)
}

fn contradictions(
    decision: &Decision,
    witness: &Witness,
    solved: i64,
    (least, most): (i64, i64),
    hidden: bool,
) -> Vec<String> {
    let gib = |bytes: f64| bytes / GIB as f64;
    let mut list = Vec::new();
    if !hidden && (solved < least || solved > most) {
        let witness = if witness.peak.is_some() { "the log's peak" } else { "the ledger between A and B" };
        list.push(format!(
            "the pool asks for {:.3} GiB of transient activations, {witness} allows {:.3} to {:.3} GiB",
            gib(solved as f64),
            gib(least as f64),
            gib(most as f64)
        ));
    }
    let figures = [
        ("device total", &witness.total, decision.total_bytes.value),
        ("temporary pool", &witness.temporary, decision.temporary_pool_bytes.value),
    ];
    for (name, logged, seen) in figures {
        if let Some(logged) = logged
            && (logged.value - gib(seen as f64)).abs() > LOG_HALF_STEP
        {
            list.push(format!(
                "{name}: the log says {:.2} GiB ({}), the driver {:.3} GiB",
                logged.value,
                logged.evidence,
                gib(seen as f64)
            ));
        }
    }
    list
}

fn fact<T: Copy>(logged: &Logged<T>) -> Fact<T> {
    Fact::new(logged.value, Confidence::Logged, [logged.evidence.clone()])
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
