//! One decision with all that the hypotheses ask about.

use crate::attribution::{self, Attribution, Scope, Term};
use crate::decision::{Bound, Decision, Source, Weight};
use crate::ledger::Ledger;
use crate::load::Trace;
use crate::load::events::{Query, View};
use crate::load::machine::Usage;
use crate::settings;
use crate::verdicts::Remedy;

/// Smaller amounts are noise on any machine. Bytes.
const LEAST: u64 = 64 << 20;

pub struct Case<'t> {
    pub scope: Scope<'t>,
    pub attribution: Attribution,
    /// What counts: a hundredth of the device, bytes.
    pub floor: i128,
}

impl<'t> Case<'t> {
    pub fn of(trace: &'t Trace, ledger: &'t Ledger, decision: &'t Decision) -> Option<Self> {
        let scope = Scope::of(trace, ledger, decision)?;
        let attribution = attribution::of(trace, ledger, decision)?;
        let floor = i128::from((decision.total_bytes.value / 100).max(LEAST));
        Some(Case { scope, attribution, floor })
    }

    pub fn trace(&self) -> &'t Trace {
        self.scope.trace
    }

    pub fn decision(&self) -> &'t Decision {
        self.scope.decision
    }

    pub fn term(&self, key: &str) -> Option<&Term> {
        self.attribution.terms.iter().find(|term| term.key == key)
    }

    /// Bytes of a term, 0 where there is none.
    pub fn bytes(&self, key: &str) -> i128 {
        self.term(key).map_or(0, |term| term.bytes)
    }

    /// A line of /proc/meminfo beside the query.
    pub fn line(&self, name: &str) -> Option<i128> {
        self.scope.view?.meminfo.get(name).map(|bytes| i128::from(*bytes))
    }

    /// Where the runtime took the deciding figure from.
    pub fn source(&self) -> Source {
        self.decision().rule.free.last().map_or(Source::Driver, |weight| weight.source)
    }

    /// Whether the size follows from free memory, and not from what the user asked for.
    pub fn follows_free(&self) -> bool {
        !matches!(self.decision().bound, Bound::UserTokens | Bound::Context)
    }

    /// Bytes of KV cache for a byte that the deciding query calls free.
    pub fn weight(&self) -> f64 {
        self.weights().last().map_or(0.0, |weight| weight.weight)
    }

    /// The rule's weights, as far as the size follows them.
    fn weights(&self) -> &'t [Weight] {
        if self.follows_free() { &self.decision().rule.free } else { &[] }
    }

    /// Whether the GPU's memory is the kernel's: shared with the CPU, or a NUMA node of its own.
    pub fn is_host_memory(&self) -> Option<bool> {
        match self.scope.integrated() {
            Some(false) => Some(self.scope.view.is_some_and(|view| !view.around.nodes.is_empty())),
            other => other,
        }
    }

    /// What a quantity in use took off the KV cache, given its bytes at each query of the rule; `None` unless it is known at
    /// all that count.
    pub fn cost(&self, bytes: impl Fn(&'t Query, &'t View) -> Option<i128>) -> Option<i128> {
        let weights: Vec<f64> = self.weights().iter().map(|of| of.weight).collect();
        self.weighed(&weights, bytes)
    }

    /// The sum over the queries of the rule, each by its weight; queries without a weight do not count.
    pub fn weighed(&self, weights: &[f64], bytes: impl Fn(&'t Query, &'t View) -> Option<i128>) -> Option<i128> {
        let mut sum = 0.0;
        let queries = self.decision().rule.free.iter().zip(weights).filter(|(_, weight)| **weight != 0.0);
        for (Weight { query, .. }, weight) in queries {
            let query = self.trace().queries.get(*query)?;
            let view = self.trace().views.get(query.view?)?;
            sum += weight * bytes(query, view)? as f64;
        }
        Some(sum.round() as i128)
    }

    /// As [`Self::cost`], of what was there alike at each query.
    pub fn constant_cost(&self, bytes: i128) -> i128 {
        let weights: f64 = self.weights().iter().map(|of| of.weight).sum();
        (weights * bytes as f64).round() as i128
    }

    /// NVML's figures of the device at the query.
    pub fn usage(&self) -> Option<&'t Usage> {
        attribution::usage(&self.scope)
    }

    /// How to give the runtime the KV cache that it would have without what took `cost` off it, where the kernel would give
    /// that memory up.
    pub fn size_remedy(&self, cost: i128) -> Option<Remedy> {
        let target = i128::from(self.decision().final_pool_bytes.value) + cost;
        let settings = settings::for_size(self.decision(), u64::try_from(target).ok().filter(|_| cost > 0)?);
        let size = crate::render::gib(target);
        Some(match settings.is_empty() {
            true => Remedy::new(format!("no flag gives this runtime the {size} that it would have otherwise")),
            false => Remedy::with(format!("or give it the {size} that it would have otherwise"), settings),
        })
    }

    /// How to keep the size that it has, whatever others do.
    pub fn fixed_size(&self) -> Option<Remedy> {
        let settings = settings::for_size(self.decision(), self.decision().final_pool_bytes.value);
        let fixed: Vec<_> = settings
            .into_iter()
            .filter(|it| Some(it.flag) != settings::fraction_flag(self.decision().runtime))
            .collect();
        (!fixed.is_empty()).then(|| Remedy::with("or fix the size, so that others do not move it", fixed))
    }

    /// `pid:n` of the query and of the view beside it.
    pub fn here(&self) -> Vec<String> {
        [self.scope.seen(), self.scope.viewed()].concat()
    }
}
