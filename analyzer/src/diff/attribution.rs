//! The difference of two KV caches, taken apart along the runtime's rule.
//!
//! `pool = f (F_B + M1 - transient) + cap + rounding + unexplained`, and free memory at query B is the device's total
//! less what is in use: device memory of the traced processes (M1 among it, so that M1 cancels) and, where CPU and GPU
//! share one memory, what the kernel's counters name. Order of the changes: first the state of the machine, weighted
//! with A's fraction; then the fraction, of B's state; last cap and rounding.

use super::{Side, Term};
use crate::decision::Confidence;
use crate::load::events::View;

pub struct Attribution {
    pub difference: i128,
    pub terms: Vec<Term>,
    pub unexplained: i128,
    pub notes: Vec<String>,
}

/// Rounding each term to whole bytes moves the sum by less than this.
const BYTE_ROUNDING: i128 = 64;

/// One group of counters of /proc/meminfo, each byte of which is missing from MemFree.
struct Counters {
    key: &'static str,
    title: &'static str,
    /// Without these nothing is booked.
    needed: &'static [&'static str],
    minus: &'static [&'static str],
    /// Counted where both sides have them.
    also: &'static [&'static str],
    note: Option<&'static str>,
}

const MACHINE: [Counters; 5] = [
    Counters {
        key: "page_cache",
        title: "page cache",
        needed: &["Cached", "Buffers"],
        // Shmem is inside Cached, and cannot be dropped.
        minus: &["Shmem"],
        also: &["SReclaimable"],
        note: Some("where CPU and GPU share one memory, page cache counts as used, though the kernel would give it up"),
    },
    Counters {
        key: "shared_memory",
        title: "shared memory (tmpfs)",
        needed: &["Shmem"],
        minus: &[],
        also: &[],
        note: None,
    },
    Counters {
        key: "anonymous_memory",
        title: "anonymous memory",
        needed: &["AnonPages"],
        minus: &[],
        also: &[],
        note: None,
    },
    Counters {
        key: "kernel_memory",
        title: "kernel memory",
        needed: &["SUnreclaim"],
        minus: &[],
        also: &["KernelStack", "PageTables", "SecPageTables", "Percpu"],
        note: None,
    },
    Counters { key: "huge_pages", title: "huge pages", needed: &["Hugetlb"], minus: &[], also: &[], note: None },
];

impl Counters {
    /// Bytes of each side; `None` unless both have the counters.
    fn read(&self, a: &View, b: &View) -> Option<(i128, i128)> {
        let get = |view: &View, name: &str| view.meminfo.get(name).map(|value| i128::from(*value));
        let mut sum = (0, 0);
        for name in self.needed {
            sum = (sum.0 + get(a, name)?, sum.1 + get(b, name)?);
        }
        for name in self.minus {
            sum = (sum.0 - get(a, name)?, sum.1 - get(b, name)?);
        }
        for name in self.also {
            if let (Some(in_a), Some(in_b)) = (get(a, name), get(b, name)) {
                sum = (sum.0 + in_a, sum.1 + in_b);
            }
        }
        Some(sum)
    }
}

/// Whether the kernel's counters say what is missing from the device's free memory.
enum Memory<'t> {
    /// CPU and GPU share one memory, and the machine was seen beside both queries.
    Unified(&'t View, &'t View),
    /// What no traced process holds, others hold.
    Discrete,
    /// Nothing may be booked, and why.
    Unknown(String),
}

pub fn attribute(a: &Side, b: &Side) -> Attribution {
    let (da, db) = (&a.decision, &b.decision);
    let difference = i128::from(db.final_pool_bytes.value) - i128::from(da.final_pool_bytes.value);
    let mut table = Table { a, b, difference, terms: Vec::new(), used: (0, 0) };
    let (total_a, total_b) = (i128::from(da.total_bytes.value), i128::from(db.total_bytes.value));
    let (free_a, free_b) = (real_free(a), real_free(b));
    let at_query = || vec![a.query_evidence(), b.query_evidence()];
    let pools = (i128::from(da.temporary_pool_bytes.value), i128::from(db.temporary_pool_bytes.value));
    let mut notes = Vec::new();

    let memory = memory(a, b);
    if let Memory::Unified(view_a, view_b) = &memory {
        let seen = || {
            let of = |side: &Side, view: &View| side.of(&side.trace.evidence(view.process, view.n));
            vec![of(a, view_a), of(b, view_b)]
        };
        let mut missing = Vec::new();
        for counters in &MACHINE {
            match counters.read(view_a, view_b) {
                Some(bytes) => table.used(counters.key, counters.title, bytes, seen(), counters.note),
                // Kernels without huge pages have no such line.
                None if counters.key == "huge_pages" => {}
                None => missing.push(counters.title),
            }
        }
        if !missing.is_empty() {
            notes.push(format!("{}: the kernel's counters are missing on a side", missing.join(", ")));
        }
    }
    let own = (device_bytes(a, true) - pools.0, device_bytes(b, true) - pools.1);
    let others = (device_bytes(a, false), device_bytes(b, false));
    table.used("device_memory", "device memory of the serving process", own, at_query(), Some(WITHOUT_POOL));
    table.used("device_memory_traced", "device memory of other traced processes", others, at_query(), None);
    let cancels = (pools.0 != pools.1).then_some(CANCELS);
    table.push("temporary_pool", "temporary pool", pools, 0, Confidence::Observed, pool_evidence(a, b), cancels);
    let used = table.used;
    let rest = (total_a - free_a - used.0 - pools.0, total_b - free_b - used.1 - pools.1);
    match memory {
        Memory::Discrete => {
            let title = "device memory not held by traced processes";
            table.used("device_memory_untraced", title, rest, at_query(), Some("driver, contexts, other programs"));
        }
        Memory::Unified(..) if rest.0 != rest.1 => notes.push(format!(
            "memory in use that no counter and no traced process names (driver, contexts, other programs on the GPU): \
             {} at A, {} at B",
            crate::render::gib(rest.0),
            crate::render::gib(rest.1)
        )),
        Memory::Unified(..) => {}
        Memory::Unknown(why) => notes.push(why),
    }
    table.state(
        "device_total",
        "device total",
        (total_a, total_b),
        1,
        Confidence::Observed,
        fact_evidence(a, b, |side| &side.decision.total_bytes.evidence),
        None,
    );
    let patched = (i128::from(da.free_b_bytes.value) - free_a, i128::from(db.free_b_bytes.value) - free_b);
    if patched != (0, 0) {
        table.state("patched_answer", "patched answer of query B", patched, 1, Confidence::Observed, at_query(), None);
    }
    let transient = (i128::from(da.transient_bytes.value), i128::from(db.transient_bytes.value));
    let confidence = weaker(da.transient_bytes.confidence, db.transient_bytes.confidence);
    let evidence = fact_evidence(a, b, |side| &side.decision.transient_bytes.evidence);
    table.state("transient", "transient activations", transient, -1, confidence, evidence, None);
    table.settings(&mut notes, rest, memory_kind(a, b) == Some(false));

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
const CANCELS: &str = "in use at query B and added back by the runtime, so it cancels";

struct Table<'s, 't> {
    a: &'s Side<'t>,
    b: &'s Side<'t>,
    difference: i128,
    terms: Vec<Term>,
    /// What is booked as memory in use.
    used: (i128, i128),
}

impl Table<'_, '_> {
    /// Memory in use, which the driver does not call free.
    fn used(
        &mut self,
        key: &'static str,
        title: &'static str,
        bytes: (i128, i128),
        evidence: Vec<String>,
        note: Option<&'static str>,
    ) {
        self.used = (self.used.0 + bytes.0, self.used.1 + bytes.1);
        let note = note.filter(|_| bytes.0 != bytes.1);
        self.state(key, title, bytes, -1, Confidence::Observed, evidence, note);
    }

    /// A quantity that the fraction is taken of, added (`sign` 1) or subtracted (-1).
    #[expect(clippy::too_many_arguments, reason = "the columns of the table")]
    fn state(
        &mut self,
        key: &'static str,
        title: &'static str,
        bytes: (i128, i128),
        sign: i128,
        confidence: Confidence,
        evidence: Vec<String>,
        note: Option<&'static str>,
    ) {
        let change = times(self.a.decision.fraction.value, sign * (bytes.1 - bytes.0));
        self.push(key, title, bytes, change, confidence, evidence, note);
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

    /// Fraction, cap and rounding.
    fn settings(&mut self, notes: &mut Vec<String>, rest: (i128, i128), rest_is_booked: bool) {
        let (a, b) = (self.a, self.b);
        let (da, db) = (&a.decision, &b.decision);
        let base = |side: &Side| {
            let decision = &side.decision;
            i128::from(decision.free_b_bytes.value) + i128::from(decision.temporary_pool_bytes.value)
                - i128::from(decision.transient_bytes.value)
        };
        let (fa, fb) = (da.fraction.value, db.fraction.value);
        let budgets = i128::from(db.budget_bytes) - i128::from(da.budget_bytes);
        let of_rest = if rest_is_booked { 0 } else { times(fa, rest.0 - rest.1) };
        let by_fraction = times(fb, base(b)) - times(fa, base(b));
        let states: i128 = self.terms.iter().map(|term| term.kv_change_bytes).sum();
        let bytes_off = budgets - states - of_rest - by_fraction;
        let confidence = weaker(da.fraction.confidence, db.fraction.confidence);
        let shown = crate::render::show::fraction;
        let note = match (fa == fb, confidence) {
            (false, _) => Some(format!("{} -> {} of {}", shown(fa), shown(fb), crate::render::gib(base(b)))),
            (true, Confidence::Assumed) => Some(format!("assumed to be {} on a side, nothing tells it", shown(fa))),
            (true, _) => None,
        };
        self.terms.push(Term {
            key: "fraction",
            title: "fraction",
            a_bytes: None,
            b_bytes: None,
            kv_change_bytes: by_fraction,
            share: share(by_fraction, self.difference),
            confidence,
            evidence: fact_evidence(a, b, |side| &side.decision.fraction.evidence),
            note,
        });
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

/// Whether both sides ran where CPU and GPU share one memory; `None` if unknown or mixed.
fn memory_kind(a: &Side, b: &Side) -> Option<bool> {
    let (a, b) = (a.device()?.integrated, b.device()?.integrated);
    (a == b).then_some(a)
}

fn memory<'t>(a: &Side<'t>, b: &Side<'t>) -> Memory<'t> {
    match (memory_kind(a, b), a.view(), b.view()) {
        (Some(false), ..) => Memory::Discrete,
        (Some(true), Some(view_a), Some(view_b)) => Memory::Unified(view_a, view_b),
        (Some(true), view_a, _) => Memory::Unknown(format!(
            "no view of the machine lies beside the sizing query of side {}: page cache and other host memory cannot \
             be booked",
            if view_a.is_none() { "A" } else { "B" }
        )),
        (None, ..) => Memory::Unknown(
            "the devices are unknown or of two kinds: host memory and memory of other programs cannot be booked".into(),
        ),
    }
}

/// What query B would have answered without a patch.
fn real_free(side: &Side) -> i128 {
    let query = side.query();
    let patch = side
        .trace
        .patches
        .iter()
        .find(|(process, of, field, ..)| *process == query.process && *of == query.n && field == "free");
    i128::from(patch.map_or(side.decision.free_b_bytes.value, |(.., real, _)| *real))
}

/// Live bytes on the device at query B, of the serving process or of all others.
fn device_bytes(side: &Side, serving: bool) -> i128 {
    let decision = &side.decision;
    side.ledger.device_at(decision.sized_at, |process| (process == decision.process) == serving).into()
}

fn fact_evidence<'s>(a: &'s Side, b: &'s Side, of: impl Fn(&'s Side) -> &'s [String]) -> Vec<String> {
    a.of_all(of(a)).into_iter().chain(b.of_all(of(b))).collect()
}

fn pool_evidence(a: &Side, b: &Side) -> Vec<String> {
    fact_evidence(a, b, |side| &side.decision.temporary_pool_bytes.evidence)
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
