//! The difference of two KV caches, taken apart along the runtime's rule.
//!
//! `pool = u T + sum of w F + f (M1 - transient) - reserve + cap + rounding + unexplained`: a share u of the device's total,
//! a weight w for each byte that a query called free, and a factor f. Free memory is the total less what is in use:
//! device memory of the traced processes (M1 among it, so that it cancels) and, where CPU and GPU share one memory, what
//! the kernel's counters name. Order of the changes: first the state of the machine, with A's weights; then the settings, of
//! B's state; last cap and rounding.

mod machine;

use super::{Side, Term};
use crate::decision::{Confidence, Rule};
use machine::{Found, MACHINE, Memory};

pub struct Attribution {
    pub difference: i128,
    pub terms: Vec<Term>,
    pub unexplained: i128,
    pub notes: Vec<String>,
}

/// Rounding each term to whole bytes moves the sum by less than this.
const BYTE_ROUNDING: i128 = 64;

pub fn attribute(a: &Side, b: &Side) -> Attribution {
    let (da, db) = (&a.decision, &b.decision);
    let difference = i128::from(db.final_pool_bytes.value) - i128::from(da.final_pool_bytes.value);
    if !da.rule.is_like(&db.rule) {
        let why = format!("{} and {} size by different rules: nothing can be booked", da.runtime, db.runtime);
        return Attribution { difference, terms: Vec::new(), unexplained: difference, notes: vec![why] };
    }
    let mut table = Table {
        a,
        b,
        difference,
        terms: Vec::new(),
        found: (machine::found(a), machine::found(b)),
        used: vec![(0, 0); da.rule.free.len()],
    };
    let mut notes = Vec::new();
    let rest_is_booked = table.memory(&mut notes);
    table.state(&mut notes, rest_is_booked);

    let explained: i128 = table.terms.iter().map(|term| term.kv_change_bytes).sum();
    let own_rest = i128::from(db.unexplained_bytes) - i128::from(da.unexplained_bytes);
    if own_rest != 0 {
        notes.push(format!(
            "the runtime's rule itself leaves {} at A and {} at B",
            crate::render::change(da.unexplained_bytes.into()),
            crate::render::change(db.unexplained_bytes.into())
        ));
    }
    Attribution { difference, unexplained: difference - explained, terms: table.terms, notes }
}

/// Part of the difference.
pub fn share(change: i128, difference: i128) -> Option<f64> {
    // Adding 0 takes the sign off a zero.
    (difference != 0).then(|| change as f64 / difference as f64 + 0.0)
}

const WITHOUT_POOL: &str = "without the temporary pool";
const AVAILABLE_COUNTS: &str = "the runtime asked for MemAvailable: less what the kernel would give up";
const CANCELS: &str = "in use at query B and added back by the runtime, so it cancels";

struct Table<'s, 't> {
    a: &'s Side<'t>,
    b: &'s Side<'t>,
    difference: i128,
    terms: Vec<Term>,
    /// What each query of the rule found, on each side.
    found: (Vec<Found>, Vec<Found>),
    /// What is booked as memory in use at each query.
    used: Vec<(i128, i128)>,
}

impl Table<'_, '_> {
    /// Memory in use, which is not free. Whether all of it is booked.
    fn memory(&mut self, notes: &mut Vec<String>) -> bool {
        let (a, b) = (self.a, self.b);
        let at_queries = || [a.queries_evidence(), b.queries_evidence()].concat();
        let memory = machine::memory(a, b);
        if let Memory::Unified(views) = &memory {
            let of = |at: usize, side: &Side| {
                let view = views.get(at)?;
                Some(side.of(&side.trace.evidence(view.process, view.n)))
            };
            let half = views.len() / 2;
            let seen = || (0..views.len()).filter_map(|at| of(at, if at < half { a } else { b })).collect::<Vec<_>>();
            let mut missing = Vec::new();
            for counters in &MACHINE {
                match counters.read(views) {
                    Some(mut bytes) => {
                        let mut note = counters.note;
                        if counters.is_reclaimable && machine::less_available(&mut bytes, views, [a, b]) {
                            note = Some(AVAILABLE_COUNTS);
                        }
                        let (in_a, in_b) = bytes.split_at(half);
                        self.used(counters.key, counters.title, in_a, in_b, seen(), note);
                    }
                    // Kernels without huge pages have no such line.
                    None if counters.key == "huge_pages" => {}
                    None => missing.push(counters.title),
                }
            }
            if !missing.is_empty() {
                notes.push(format!("{}: the kernel's counters are missing on a side", missing.join(", ")));
            }
        }
        let each = |of: fn(&Found) -> i128, found: &[Found]| found.iter().map(of).collect::<Vec<_>>();
        let of_both = |of: fn(&Found) -> i128| (each(of, &self.found.0), each(of, &self.found.1));
        let (own, others, pool) =
            (of_both(|found| found.own), of_both(|found| found.others), of_both(|found| found.pool));
        self.used(
            "device_memory",
            "device memory of the serving process",
            &own.0,
            &own.1,
            at_queries(),
            Some(WITHOUT_POOL),
        );
        let title = "device memory of other traced processes";
        self.used("device_memory_traced", title, &others.0, &others.1, at_queries(), None);
        self.temporary_pool(&pool);
        let rest = self.rest(&pool);
        match memory {
            Memory::Discrete => {
                let title = "device memory not held by traced processes";
                let note = Some("driver, contexts, other programs");
                self.used("device_memory_untraced", title, &rest.0, &rest.1, at_queries(), note);
                return true;
            }
            Memory::Unified(..) if rest.0 != rest.1 => notes.push(format!(
                "memory in use that no counter and no traced process names (driver, contexts, other programs on the \
                 GPU): {} at A, {} at B",
                crate::render::gib(self.shown(&rest.0)),
                crate::render::gib(self.shown(&rest.1))
            )),
            Memory::Unified(..) => {}
            Memory::Unknown(why) => notes.push(why),
        }
        false
    }

    /// What is in use at each query and not booked, on each side.
    fn rest(&self, pool: &(Vec<i128>, Vec<i128>)) -> (Vec<i128>, Vec<i128>) {
        let total = |side: &Side| i128::from(side.decision.total_bytes.value);
        let of = |side: &Side, found: &[Found], pool: &[i128], used: fn(&(i128, i128)) -> i128| {
            let booked = self.used.iter().map(used);
            let each = found.iter().zip(pool).zip(booked);
            each.map(|((found, pool), used)| total(side) - found.free - used - pool).collect::<Vec<_>>()
        };
        (of(self.a, &self.found.0, &pool.0, |used| used.0), of(self.b, &self.found.1, &pool.1, |used| used.1))
    }

    fn temporary_pool(&mut self, pool: &(Vec<i128>, Vec<i128>)) {
        let (a, b) = (self.a, self.b);
        let pools = [a, b].map(|side| i128::from(side.decision.temporary_pool_bytes.value));
        if pools == [0, 0] {
            return;
        }
        let rule = &a.decision.rule;
        let in_use: i128 = self.changes(&pool.0, &pool.1).sum();
        let change = times(rule.factor, pools[1] - pools[0]) - in_use;
        let evidence = fact_evidence(a, b, |side| &side.decision.temporary_pool_bytes.evidence);
        let cancels = (pools[0] != pools[1] && change == 0).then_some(CANCELS);
        self.push(
            "temporary_pool",
            "temporary pool",
            (pools[0], pools[1]),
            change,
            Confidence::Observed,
            evidence,
            cancels,
        );
    }

    /// What A's rule makes of more in use at each query.
    fn changes(&self, in_a: &[i128], in_b: &[i128]) -> impl Iterator<Item = i128> {
        let weights = self.a.decision.rule.free.iter().map(|weight| weight.weight);
        let changes: Vec<i128> =
            weights.zip(in_a.iter().zip(in_b)).map(|(weight, (in_a, in_b))| times(weight, in_b - in_a)).collect();
        changes.into_iter()
    }

    /// One quantity for several queries: in bytes of the last, which sized the cache.
    fn shown(&self, bytes: &[i128]) -> i128 {
        let weights = &self.a.decision.rule.free;
        let last = weights.last().map_or(1.0, |weight| weight.weight);
        weights.iter().zip(bytes).map(|(weight, bytes)| times(weight.weight / last, *bytes)).sum()
    }

    /// Memory in use, which the driver does not call free.
    fn used(
        &mut self,
        key: &'static str,
        title: &'static str,
        in_a: &[i128],
        in_b: &[i128],
        evidence: Vec<String>,
        note: Option<&'static str>,
    ) {
        for (used, (in_a, in_b)) in self.used.iter_mut().zip(in_a.iter().zip(in_b)) {
            *used = (used.0 + in_a, used.1 + in_b);
        }
        let change = -self.changes(in_a, in_b).sum::<i128>();
        let bytes = (self.shown(in_a), self.shown(in_b));
        let note = note.filter(|_| in_a != in_b);
        self.push(key, title, bytes, change, Confidence::Observed, evidence, note);
    }

    #[expect(clippy::too_many_arguments, reason = "the columns of the table")]
    fn push(
        &mut self,
        key: &'static str,
        title: &'static str,
        bytes: (i128, i128),
        change: i128,
        confidence: Confidence,
        evidence: Vec<String>,
        note: Option<&'static str>,
    ) {
        self.terms.push(Term {
            key,
            title,
            a_bytes: Some(bytes.0),
            b_bytes: Some(bytes.1),
            kv_change_bytes: change,
            share: share(change, self.difference),
            confidence,
            evidence,
            note: note.map(str::to_owned),
        });
    }

    /// The rest of the state, then settings, cap and rounding.
    fn state(&mut self, notes: &mut Vec<String>, rest_is_booked: bool) {
        let (a, b) = (self.a, self.b);
        let (da, db) = (&a.decision, &b.decision);
        let rule = &da.rule;
        let total = (i128::from(da.total_bytes.value), i128::from(db.total_bytes.value));
        let share_of_total = rule.total_share + rule.free.iter().map(|weight| weight.weight).sum::<f64>();
        let change = times(share_of_total, total.1 - total.0);
        let evidence = fact_evidence(a, b, |side| &side.decision.total_bytes.evidence);
        self.push("device_total", "device total", total, change, Confidence::Observed, evidence, None);
        let patched = |found: &[Found]| found.iter().map(|found| found.reported - found.free).collect::<Vec<_>>();
        let patched = (patched(&self.found.0), patched(&self.found.1));
        if patched.0.iter().chain(&patched.1).any(|by| *by != 0) {
            let change = self.changes(&patched.0, &patched.1).sum();
            let bytes = (self.shown(&patched.0), self.shown(&patched.1));
            let evidence = [a.queries_evidence(), b.queries_evidence()].concat();
            self.push("patched_answer", "patched answer", bytes, change, Confidence::Observed, evidence, None);
        }
        let transient = (i128::from(da.transient_bytes.value), i128::from(db.transient_bytes.value));
        let confidence = weaker(da.transient_bytes.confidence, db.transient_bytes.confidence);
        let evidence = fact_evidence(a, b, |side| &side.decision.transient_bytes.evidence);
        let change = times(rule.factor, transient.0 - transient.1);
        self.push("transient", "transient activations", transient, change, confidence, evidence, None);
        let reserved = (i128::from(rule.reserved_bytes), i128::from(db.rule.reserved_bytes));
        if reserved != (0, 0) {
            let (title, change) = ("reserved by the runtime (graphs)", reserved.0 - reserved.1);
            self.push("reserved", title, reserved, change, Confidence::Logged, Vec::new(), None);
        }

        let budgets = i128::from(db.budget_bytes) - i128::from(da.budget_bytes);
        let by_settings = budget(&db.rule, b) - budget(rule, b);
        let states: i128 = self.terms.iter().map(|term| term.kv_change_bytes).sum();
        let of_rest = match rest_is_booked {
            true => 0,
            false => {
                let pool = |found: &[Found]| found.iter().map(|found| found.pool).collect::<Vec<_>>();
                let rest = self.rest(&(pool(&self.found.0), pool(&self.found.1)));
                -self.changes(&rest.0, &rest.1).sum::<i128>()
            }
        };
        let bytes_off = budgets - states - of_rest - by_settings;
        self.fraction(by_settings);
        self.cap_and_rounding(bytes_off, notes);
    }

    fn fraction(&mut self, change: i128) {
        let (a, b) = (self.a, self.b);
        let (fa, fb) = (a.decision.fraction.value, b.decision.fraction.value);
        let confidence = weaker(a.decision.fraction.confidence, b.decision.fraction.confidence);
        let shown = crate::render::decision::fraction;
        let note = match (fa == fb, confidence) {
            (false, _) => {
                let of = (change as f64 / (fb - fa)).round() as i128;
                Some(format!("{} -> {} of {}", shown(fa), shown(fb), crate::render::gib(of)))
            }
            (true, Confidence::Assumed) => Some(format!("assumed to be {} on a side, nothing tells it", shown(fa))),
            (true, _) => None,
        };
        self.terms.push(Term {
            key: "fraction",
            title: "fraction",
            a_bytes: None,
            b_bytes: None,
            kv_change_bytes: change,
            share: share(change, self.difference),
            confidence,
            evidence: fact_evidence(a, b, |side| &side.decision.fraction.evidence),
            note,
        });
    }

    fn cap_and_rounding(&mut self, bytes_off: i128, notes: &mut Vec<String>) {
        let (a, b) = (self.a, self.b);
        let (da, db) = (&a.decision, &b.decision);
        let caps = (i128::from(da.cap_bytes), i128::from(db.cap_bytes));
        let at_c = fact_evidence(a, b, |side| match &side.decision.free_c_bytes {
            Some(fact) => &fact.evidence,
            None => &[],
        });
        self.push("cap", "cap", caps, caps.1 - caps.0, Confidence::Solved, at_c, None);
        if caps != (0, 0)
            && let Some(term) = self.terms.last_mut()
        {
            term.note = Some(format!("A: {}; B: {}", da.bound.sentence(), db.bound.sentence()));
        }
        let blocks = (i128::from(da.rounding_bytes), i128::from(db.rounding_bytes));
        let small = bytes_off.abs() <= BYTE_ROUNDING;
        if !small {
            notes.push("the budget of a side was 0: nothing was left to take the fraction of".into());
        }
        let change = blocks.1 - blocks.0 + if small { bytes_off } else { 0 };
        let evidence = fact_evidence(a, b, |side| &side.decision.final_pool_bytes.evidence);
        self.push("rounding", "block rounding", blocks, change, Confidence::Solved, evidence, None);
    }
}

fn fact_evidence<'s>(a: &'s Side, b: &'s Side, of: impl Fn(&'s Side) -> &'s [String]) -> Vec<String> {
    a.of_all(of(a)).into_iter().chain(b.of_all(of(b))).collect()
}

/// The one of two that is known less well.
pub fn weaker(a: Confidence, b: Confidence) -> Confidence {
    if rank(a) >= rank(b) { a } else { b }
}

fn rank(confidence: Confidence) -> u8 {
    match confidence {
        Confidence::Observed => 0,
        Confidence::Logged => 1,
        Confidence::Solved => 2,
        Confidence::Assumed => 3,
    }
}

fn times(fraction: f64, bytes: i128) -> i128 {
    (fraction * bytes as f64).round() as i128
}

/// What `rule` makes of the state of `side`, before cap and rounding.
fn budget(rule: &Rule, side: &Side) -> i128 {
    let decision = &side.decision;
    let free: i128 =
        rule.free.iter().zip(&decision.rule.free).map(|(rule, seen)| times(rule.weight, seen.free_bytes.into())).sum();
    let moved = i128::from(decision.temporary_pool_bytes.value) - i128::from(decision.transient_bytes.value);
    let share = times(rule.total_share, decision.total_bytes.value.into());
    share + free + times(rule.factor, moved) - i128::from(decision.rule.reserved_bytes)
}
