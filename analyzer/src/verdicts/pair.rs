//! Hypotheses about the difference of two KV caches: by the terms of the difference where one speaks of it, else by what
//! each side says for itself.

use super::case::Case;
use super::{
    BLIND, CEILING, CGROUP_LIMIT, DOUBLE_COUNTING, FOOTPRINT, FRACTION, Finding, Hypothesis, LEFTOVER, MODEL,
    OTHER_PROCESS, PAGE_CACHE, PARTITION, REFUSED, RESERVE, RESERVES, RESIDENCY, STALE, TOTAL, of_case, of_undecided,
    tenants,
};
use crate::decision::Bound;
use crate::diff::{Side, Term};
use crate::load::events::{Query, View};
use crate::model::{self, Same};
use crate::render::{change, gib};
use crate::verdict::Verdict;

/// Smaller differences are noise between any two runs. Bytes.
const LEAST: i128 = 64 << 20;

/// What is compared.
pub struct Compared<'s, 't> {
    pub a: &'s Side<'t>,
    pub b: &'s Side<'t>,
    /// KV cache of B minus that of A, bytes.
    pub difference: i128,
    pub terms: &'s [Term],
    pub unexplained: i128,
    pub model: &'s Same,
}

struct Pair<'s, 't> {
    of: &'s Compared<'s, 't>,
    cases: Option<(Case<'s>, Case<'s>)>,
    /// What each side says for itself.
    found: (Vec<Finding>, Vec<Finding>),
    /// What counts: a hundredth of the larger cache, bytes.
    floor: i128,
}

/// All hypotheses about a difference.
pub fn of_pair(compared: &Compared) -> Vec<Finding> {
    let cases = case(compared.a).zip(case(compared.b));
    let found = match &cases {
        Some((a, b)) => (of_case(a), of_case(b)),
        None => (of_undecided(compared.a.trace), of_undecided(compared.b.trace)),
    };
    let largest = [compared.a, compared.b].map(|side| i128::from(side.decision.final_pool_bytes.value));
    let pair = Pair { of: compared, cases, found, floor: (largest[0].max(largest[1]) / 100).max(LEAST) };
    let mut list = vec![
        pair.host(PAGE_CACHE, &["page_cache"]),
        pair.sides(CGROUP_LIMIT),
        pair.sides(DOUBLE_COUNTING),
        pair.ceiling(),
        pair.other_process(),
        pair.footprint(),
        pair.total(),
        pair.settings(),
        pair.model(),
        pair.sides(LEFTOVER),
        pair.host(RESERVES, &["shared_memory", "kernel_memory", "huge_pages"]),
        pair.sides(PARTITION),
        pair.sides(RESIDENCY),
        pair.sides(STALE),
        pair.sides(RESERVE),
        pair.sides(REFUSED),
        pair.sides(BLIND),
    ];
    let moved =
        compared.terms.iter().map(|term| term.kv_change_bytes).chain([compared.unexplained, compared.difference]);
    if moved.map(i128::abs).all(|bytes| bytes < pair.floor) {
        // Nothing happened that would need a cause. What was read of the models stands by itself.
        let because = format!("two runs of one set-up differ by as much: {}", change(compared.difference));
        for found in list.iter_mut().filter(|found| found.key != MODEL.key) {
            *found = Hypothesis { key: found.key, text: found.hypothesis }.open(because.clone());
        }
    }
    for found in list.iter_mut().filter(|found| found.verdict == Verdict::Supported) {
        found.remedies = pair.remedies(found.key);
    }
    list
}

fn case<'s>(side: &'s Side) -> Option<Case<'s>> {
    Case::of(side.trace, &side.ledger, &side.decision)
}

impl<'s> Pair<'s, '_> {
    /// Of the side with less KV cache.
    fn remedies(&self, key: &str) -> Vec<super::Remedy> {
        let poorer = if self.of.difference <= 0 { &self.found.1 } else { &self.found.0 };
        let found = poorer.iter().find(|found| found.key == key);
        found.map(|found| found.remedies.clone()).unwrap_or_default()
    }

    /// By what it did to the difference.
    fn judge(&self, it: Hypothesis, moved: i128, because: impl Into<String>) -> Finding {
        let difference = self.of.difference;
        let because = because.into();
        let found = match () {
            () if moved.abs() >= self.floor && difference.abs() < self.floor => {
                it.supported(format!("{because}; something else makes up for it"))
            }
            () if moved.abs() >= self.floor && (moved < 0) == (difference < 0) => it.supported(because),
            () if moved.abs() >= self.floor => it.refuted(format!("{because}, which works against the difference")),
            () if difference.abs() >= self.floor => it.refuted(because),
            () => it.open(because),
        };
        found.moves(Some(moved))
    }

    fn terms(&self, keys: &[&str]) -> Vec<&'s Term> {
        self.of.terms.iter().filter(|term| keys.contains(&term.key)).collect()
    }

    /// By terms of the difference: `page cache 6.00 GiB -> 25.00 GiB: -17.10 GiB of KV cache`.
    fn by_terms(&self, it: Hypothesis, terms: &[&Term]) -> Finding {
        let moved = terms.iter().map(|term| term.kv_change_bytes).sum();
        let told = terms.iter().map(|term| match (term.a_bytes, term.b_bytes) {
            (Some(a), Some(b)) => format!("{} {} -> {}", term.title, gib(a), gib(b)),
            _ => term.note.clone().unwrap_or_else(|| format!("{} unchanged", term.title)),
        });
        let told = told.collect::<Vec<_>>().join(", ");
        let mut found = self.judge(it, moved, format!("{told}: {} of KV cache", change(moved)));
        for term in terms {
            if let (Some(a), Some(b)) = (term.a_bytes, term.b_bytes) {
                found = found.number(format!("{} of A", term.title), a).number(format!("{} of B", term.title), b);
            }
            found = found.seen(term.evidence.clone());
        }
        found
    }

    /// Of host memory: terms are there where it is the GPU's memory and was seen.
    fn host(&self, it: Hypothesis, keys: &[&str]) -> Finding {
        let terms = self.terms(keys);
        let both = self.cases.as_ref().map(|(a, b)| [a, b]).into_iter().flatten();
        let sources = || both.clone().map(Case::source).collect::<Vec<_>>();
        match terms.is_empty() || it.key == PAGE_CACHE.key && sources().contains(&crate::decision::Source::MemAvailable)
        {
            true => self.sides(it),
            false => self.by_terms(it, &terms),
        }
    }

    /// By what each side says for itself.
    fn sides(&self, it: Hypothesis) -> Finding {
        use Verdict::{CannotTell, Refuted, Supported};
        fn of<'f>(list: &'f [Finding], key: &str) -> Option<&'f Finding> {
            list.iter().find(|found| found.key == key)
        }
        let (Some(a), Some(b)) = (of(&self.found.0, it.key), of(&self.found.1, it.key)) else {
            return it.open("a side tells nothing of it");
        };
        let named = |side: &Side, found: &Finding| format!("{}: {}", side.name, found.because);
        let (of_a, of_b) = (named(self.of.a, a), named(self.of.b, b));
        let both = if a.because == b.because { format!("A and B: {}", a.because) } else { format!("{of_a}; {of_b}") };
        let moved = match (a.kv_bytes, b.kv_bytes, a.verdict, b.verdict) {
            (Some(a), Some(b), ..) => Some(b - a),
            (Some(a), None, _, Refuted) => Some(-a),
            (None, Some(b), Refuted, _) => Some(b),
            _ => None,
        };
        let found = match (a.verdict, b.verdict) {
            (CannotTell, CannotTell) => it.open(both),
            (CannotTell, _) => it.open(of_a),
            (_, CannotTell) => it.open(of_b),
            (Refuted, Refuted) => it.refuted(both),
            _ if moved.is_some() => self.judge(it, moved.unwrap_or(0), both),
            (Supported, Supported) => it.open(format!("on both sides, by how much is not known: {both}")),
            (Supported, Refuted) => it.supported(of_a),
            (Refuted, Supported) => it.supported(of_b),
        };
        let evidence = |side: &Side, found: &Finding| -> Vec<String> {
            found.evidence.iter().map(|event| format!("{} {event}", side.name)).collect()
        };
        found.seen(evidence(self.of.a, a)).seen(evidence(self.of.b, b))
    }

    /// Two sizes that are one although the rule gives two.
    fn ceiling(&self) -> Finding {
        let it = CEILING;
        let (a, b) = (&self.of.a.decision, &self.of.b.decision);
        let budgets = (i128::from(a.budget_bytes) - i128::from(b.budget_bytes)).abs();
        let user = [a, b].iter().any(|decision| matches!(decision.bound, Bound::UserTokens | Bound::Context));
        let off = [a, b].map(|decision| i128::from(decision.unexplained_bytes));
        if !user
            && self.of.difference.abs() < self.floor
            && budgets >= self.floor
            && off.iter().any(|off| *off < -self.floor)
        {
            let because = format!(
                "both have {}, though the rule gives {} and {}",
                gib(a.final_pool_bytes.value.into()),
                gib(a.budget_bytes.into()),
                gib(b.budget_bytes.into())
            );
            return it.supported(because).number("budget of A", a.budget_bytes).number("budget of B", b.budget_bytes);
        }
        self.sides(it)
    }

    /// What A's rule makes of more of something in use at each of its queries; `None` unless it is known at all that count.
    fn moved(&self, bytes: impl Fn(&Case, &Query, &View) -> Option<i128>) -> Option<i128> {
        let (a, b) = self.cases.as_ref()?;
        // Both sides by A's weights: what another fraction did is a term of its own.
        let weights: Vec<f64> = self.of.a.decision.rule.free.iter().map(|of| of.weight).collect();
        let at = |case: &Case<'s>| case.weighed(&weights, |query, view| bytes(case, query, view));
        Some(at(a)? - at(b)?)
    }

    fn other_process(&self) -> Finding {
        let it = OTHER_PROCESS;
        let Some((a, b)) = &self.cases else { return it.open("a sizing query told no free memory") };
        let unified = [a, b].map(|case| case.scope.integrated());
        let Some(moved) = self.moved(tenants::held_by_others) else {
            return it.open("the machine was not looked at beside every query that counts");
        };
        let listed = a.usage().is_some() && b.usage().is_some();
        let untraced = [a, b].map(|case| case.bytes("untraced"));
        let evidence = [self.of.a.seen_here(), self.of.b.seen_here()].concat();
        let now = |case: &Case| {
            let heaps = case.term("anonymous_memory").and_then(|term| term.parts.get(1)).map_or(0, |part| part.bytes);
            case.bytes("other_processes") + case.bytes("device_memory_traced") + heaps
        };
        let (of_a, of_b) = (now(a), now(b));
        let because = format!("others held {} at A and {} at B: {} of KV cache", gib(of_a), gib(of_b), change(moved));
        let told =
            |found: Finding| found.number("others of A", of_a).number("others of B", of_b).seen(evidence.clone());
        let nobody = untraced[1] - untraced[0];
        if moved.abs() < self.floor && !listed && nobody.abs() >= self.floor {
            let because = format!(
                "{} at A and {} at B are held by nobody that was traced, and NVML was not there to say by whom",
                gib(untraced[0]),
                gib(untraced[1])
            );
            return told(it.open(because));
        }
        if unified.contains(&None) {
            return told(it.open("the trace of a side describes no GPU"));
        }
        told(self.judge(it, moved, because))
    }

    /// Without the weights, which are the model's.
    fn footprint(&self) -> Finding {
        let it = FOOTPRINT;
        let terms = self.terms(&["device_memory", "temporary_pool", "transient", "reserved"]);
        let found = self.by_terms(it, &terms);
        let Some(weights) = self.weights() else { return found };
        let moved = found.kv_bytes.unwrap_or(0) - weights;
        let because = match weights.abs() >= self.floor {
            true => format!("{}; {} of it by the weights", found.because, change(weights)),
            false => found.because,
        };
        let judged = self.judge(it, moved, because);
        Finding { numbers: found.numbers, evidence: found.evidence, ..judged }
    }

    /// What a change of the weights did; `None` where they are known on a side by another way than on the other.
    fn weights(&self) -> Option<i128> {
        let (a, b) = self.cases.as_ref()?;
        let (of_a, of_b) = (a.term("weights")?, b.term("weights")?);
        let same_way = of_a.confidence == of_b.confidence;
        same_way.then(|| -(a.weight() * (of_b.bytes - of_a.bytes) as f64).round() as i128)
    }

    fn total(&self) -> Finding {
        let totals = [self.of.a, self.of.b].map(|side| side.decision.total_bytes.value);
        let terms = self.terms(&["device_total"]);
        match totals[0] == totals[1] {
            true => {
                let found = TOTAL.refuted(format!("both devices have {}", gib(totals[0].into())));
                terms.iter().fold(found, |found, term| found.seen(term.evidence.clone()))
            }
            false => self.by_terms(TOTAL, &terms),
        }
    }

    fn settings(&self) -> Finding {
        let (a, b) = (&self.of.a.decision, &self.of.b.decision);
        let found = self.by_terms(FRACTION, &self.terms(&["fraction", "cap"]));
        let shown = crate::render::decision::fraction;
        let because = format!(
            "fraction {} at A and {} at B, caps took {} and {}: {} of KV cache",
            shown(a.fraction.value),
            shown(b.fraction.value),
            gib((-a.cap_bytes).into()),
            gib((-b.cap_bytes).into()),
            change(found.kv_bytes.unwrap_or(0))
        );
        let assumed = [a, b].iter().any(|of| of.fraction.confidence == crate::decision::Confidence::Assumed);
        if assumed && found.verdict == Verdict::Refuted {
            let found = FRACTION.open(format!("{because}; a fraction is assumed")).moves(found.kv_bytes);
            return found;
        }
        let judged = self.judge(FRACTION, found.kv_bytes.unwrap_or(0), because);
        Finding { numbers: found.numbers, evidence: found.evidence, ..judged }
    }

    fn model(&self) -> Finding {
        let same = self.of.model;
        let moved = self.weights();
        let found = match same.verdict {
            model::Verdict::NotTheSame => MODEL.supported(same.because.clone()),
            model::Verdict::Same => MODEL.refuted(same.because.clone()),
            model::Verdict::NotKnown => {
                let per_token =
                    [self.of.a, self.of.b].map(|side| side.decision.bytes_per_token.as_ref().map(|of| of.value));
                let differ = per_token[0].zip(per_token[1]).filter(|(a, b)| a != b);
                match differ {
                    Some((a, b)) => MODEL.supported(format!("a token takes {a} bytes at A and {b} at B")),
                    None => MODEL.open(same.because.clone()),
                }
            }
        };
        found.moves(moved.filter(|_| same.verdict != model::Verdict::Same)).seen(same.evidence.clone())
    }
}
