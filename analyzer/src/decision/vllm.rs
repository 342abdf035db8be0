//! vLLM: a snapshot at start, one before and one after the profile, from 0.20 on an estimate for graphs, then the KV cache.
//! `KV = u T - (free at start - free after the profile) - transient - graphs`.

use super::calls::{Calls, Pool, signed};
use super::logs::vllm::Witness;
use super::{Bound, Confidence, Decision, Fact, Rule, Source, Weight};
use crate::load::events::Query;
use kvtrace_sizing::GIB;

/// Of 0.20 and later, and of 0.10.
const DEFAULTS: [f64; 2] = [0.92, 0.9];
/// Half of the last decimal of a logged GiB figure, and a little for the float's own rounding.
const HALF_STEP: f64 = 0.0051 * GIB as f64;
/// One block of the largest models, and what torch rounds each tensor up by.
const SLACK: i64 = 192 << 20;

/// A server that has asked more often before it sizes its cache is none of this kind.
const MOST_SNAPSHOTS: usize = 256;

/// A snapshot of memory, as the runtime takes one.
#[derive(Clone, Copy)]
struct Snapshot<'t> {
    at: usize,
    query: &'t Query,
    free: u64,
    source: Source,
}

pub fn detect(calls: &Calls, witness: &Witness) -> Option<Decision> {
    let logged = witness.available.is_some() || witness.requested.is_some();
    let pool = calls.pools().into_iter().find(|pool| match &witness.available {
        // The budget, less than a block and the rounding of tensors.
        Some(available) => (available.value * GIB as f64 - pool.bytes as f64).abs() <= HALF_STEP + SLACK as f64,
        None => true,
    })?;
    if !logged && !calls.named(&["vllm"], &pool) {
        return None;
    }
    let snapshots = snapshots(calls, &pool);
    let init = match &witness.startup {
        Some(startup) => *snapshots.iter().find(|s| near(s.free, startup.value.0))?,
        None => *snapshots.first()?,
    };
    let later = snapshots.iter().rev().filter(|snapshot| snapshot.query.begin > init.query.begin);
    // The one that contradicts the log least and leaves least to explain; of equals the last. What reads MemAvailable is
    // a snapshot for sure, and the last of those is the one behind the profile.
    let sure = |after: &Snapshot| after.source == Source::MemAvailable;
    let found = later.filter_map(|after| Some((sure(after), complete(calls, witness, &pool, init, *after)?)));
    let found = found.map(|(sure, (off, decision))| (if sure { 0 } else { off }, decision));
    let strained = |(off, decision): &(i64, Decision)| (decision.contradictions.len(), *off);
    found.min_by_key(strained).map(|(_, decision)| decision)
}

fn snapshots<'t>(calls: &Calls<'t>, pool: &Pool) -> Vec<Snapshot<'t>> {
    let of = |(at, query): &(usize, &'t Query)| {
        let (free, source) = match calls.available_after(*at) {
            Some(available) => (available, Source::MemAvailable),
            None => (query.free?, Source::Driver),
        };
        Some(Snapshot { at: *at, query, free, source })
    };
    let all: Vec<Snapshot> = calls.before(pool.first.begin).iter().take(MOST_SNAPSHOTS).filter_map(of).collect();
    // Where snapshots read MemAvailable, what does not is the graph estimate's.
    let unified = all.iter().filter(|snapshot| snapshot.source == Source::MemAvailable).count() > 1;
    let counts = |snapshot: &Snapshot| !unified || snapshot.source == Source::MemAvailable;
    all.into_iter().filter(counts).collect()
}

fn near(bytes: u64, gib: f64) -> bool {
    (bytes as f64 - gib * GIB as f64).abs() <= HALF_STEP
}

/// The decision, if `after` can be the snapshot after the profile, and how far what it leaves for activations is from
/// what the ledger saw.
fn complete(calls: &Calls, witness: &Witness, pool: &Pool, init: Snapshot, after: Snapshot) -> Option<(i64, Decision)> {
    let total = after.query.total?;
    let used = signed(init.free).saturating_sub(signed(after.free));
    let graphs = graphs(calls, pool, after);
    // The profile lies between the snapshot before it and this one.
    let before = calls.before(after.query.begin).last()?.1;
    let rise = signed(calls.ledger.rise(calls.process, before.end, after.query.begin));
    let given = witness.peak_activation.as_ref().map(|logged| (logged.value * GIB as f64).round() as i64);
    let least = signed(pool.bytes).saturating_add(used).saturating_add(signed(graphs));
    let share = |bytes: i64| bytes as f64 / total as f64;
    let (fraction, confidence, evidence) = match &witness.requested {
        Some(logged) => (logged.value.0, Confidence::Logged, vec![logged.evidence.clone()]),
        None => {
            let (low, high) =
                (share(least), share(least.saturating_add(rise.max(given.unwrap_or(0))).saturating_add(SLACK)));
            let (fraction, confidence) = two_decimals(low, high, share(least.saturating_add(rise)))?;
            (fraction, confidence, vec![calls.seen(init.query.n), calls.seen(after.query.n)])
        }
    };
    let requested = (fraction * total as f64).floor() as i64;
    // What the request leaves for activations and for cutting into blocks.
    let left = requested.saturating_sub(least);
    if left < -2 || left > rise.max(given.unwrap_or(0)).saturating_add(SLACK + HALF_STEP as i64) {
        return None;
    }
    let left = left.max(0);
    let off = if left < rise { rise - left } else { (left - rise - SLACK).max(0) };
    let (transient, known, of) = match (given, &witness.peak_activation) {
        // The log rounds; the ledger is exact where it agrees.
        (Some(given), Some(_)) if (given - rise).abs() as f64 <= HALF_STEP => (rise, Confidence::Observed, None),
        (Some(given), Some(logged)) => (given.min(left), Confidence::Logged, Some(logged.evidence.clone())),
        _ => (rise.min(left), Confidence::Solved, None),
    };
    let budget = requested - used - signed(graphs) - transient;
    let rest = signed(pool.bytes) - budget;
    let rounding = if rest.abs() <= SLACK { rest } else { 0 };
    let seen = |snapshot: &Snapshot| [calls.seen(snapshot.query.n)];
    let observed = |snapshot: &Snapshot| Fact::new(snapshot.free, Confidence::Observed, seen(snapshot));
    let weight = |role, snapshot: &Snapshot, weight| Weight {
        role,
        query: snapshot.at,
        source: snapshot.source,
        free_bytes: snapshot.free,
        weight,
    };
    let transient_evidence: Vec<String> = of.into_iter().chain(seen(&after)).collect();
    let plain = calls.decision("vLLM", Bound::ShareOfTotal, pool, (after.at, after.query), 1.0)?;
    let tokens = witness.tokens.as_ref();
    let decision = Decision {
        free_a_bytes: Some(observed(&init)),
        free_b_bytes: observed(&after),
        fraction: Fact::new(fraction, confidence, evidence),
        rule: Rule {
            total_share: fraction,
            free: vec![weight("A", &init, -1.0), weight("B", &after, 1.0)],
            factor: 1.0,
            reserved_bytes: graphs,
        },
        transient_bytes: Fact::new(transient, known, transient_evidence.clone()),
        peak_bytes: Fact::new(used + transient + signed(graphs), known, transient_evidence),
        budget_bytes: budget,
        rounding_bytes: rounding,
        unexplained_bytes: rest - rounding,
        bytes_per_token: tokens.and_then(|tokens| {
            // With sliding windows a token has no one size, and the quotient is none.
            let bytes = pool.bytes.checked_div(tokens.value)?;
            (bytes * tokens.value == pool.bytes)
                .then(|| Fact::new(bytes, Confidence::Solved, [tokens.evidence.clone()]))
        }),
        tokens: tokens.map(|tokens| Fact::new(tokens.value, Confidence::Logged, [tokens.evidence.clone()])),
        // A peak out of the log brings its own rounding along.
        contradictions: contradictions(
            witness,
            (budget, if known == Confidence::Logged { 2.0 } else { 1.0 }),
            total,
            graphs,
        ),
        ..plain
    };
    Some((off, decision))
}

/// What free memory fell by between questions about a capture, after the profile and before the KV cache.
fn graphs(calls: &Calls, pool: &Pool, after: Snapshot) -> u64 {
    let later: Vec<&Query> = calls
        .before(pool.first.begin)
        .iter()
        .map(|(_, query)| *query)
        .filter(|query| query.begin > after.query.end)
        .collect();
    let fell = |pair: &[&Query]| -> Option<u64> {
        let [before, behind] = pair else { return None };
        let took = calls.took_memory(before.end, behind.begin);
        took.then(|| before.free.unwrap_or(0).saturating_sub(behind.free.unwrap_or(0)))
    };
    later.windows(2).filter_map(fell).fold(0, u64::saturating_add)
}

/// The share of the total that lies between two and has two decimals; where several do, a default, of two the one nearer to
/// `likely`.
fn two_decimals(low: f64, high: f64, likely: f64) -> Option<(f64, Confidence)> {
    let fits = |share: &f64| *share >= low - 1e-9 && *share <= high && *share <= 1.0;
    let off = |share: &f64| (share - likely).abs();
    if let Some(default) = DEFAULTS.into_iter().filter(fits).min_by(|a, b| off(a).total_cmp(&off(b))) {
        return Some((default, Confidence::Assumed));
    }
    let hundredths = (1..=100).map(|share| f64::from(share) / 100.0).filter(fits).collect::<Vec<_>>();
    match hundredths.as_slice() {
        [one] => Some((*one, Confidence::Solved)),
        _ => None,
    }
}

/// `budget` comes with how many rounded figures it is made of.
fn contradictions(witness: &Witness, budget: (i64, f64), total: u64, graphs: u64) -> Vec<String> {
    let figures = [
        ("KV cache memory", &witness.available.as_ref().map(|l| (l.value, &l.evidence)), budget.0 as f64, budget.1),
        ("device total", &witness.startup.as_ref().map(|l| (l.value.1, &l.evidence)), total as f64, 1.0),
        ("graph memory", &witness.graphs.as_ref().map(|l| (l.value, &l.evidence)), graphs as f64, 1.0),
    ];
    let mut list = Vec::new();
    for (name, logged, seen, steps) in figures {
        if let Some((logged, evidence)) = logged
            && (logged * GIB as f64 - seen).abs() > steps * HALF_STEP
        {
            list.push(format!(
                "{name}: the log says {logged:.2} GiB ({evidence}), the trace {:.3} GiB",
                seen / GIB as f64
            ));
        }
    }
    list
}
