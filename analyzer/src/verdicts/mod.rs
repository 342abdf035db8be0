//! Named hypotheses about the size of a KV cache, each supported, refuted or left open, with what to do about it.
//!
//! Every hypothesis asks one question of the evidence. It is supported where the figures that it speaks of are there and
//! large enough to matter, refuted where they were seen and are not, and left open where the witness is missing. None is
//! concluded from the others, but that a control group counts twice, which takes a limit that entered. Large enough is a
//! hundredth of the device for one run, and a hundredth of the cache for two.

mod case;
mod container;
mod device;
mod host;
mod pair;
mod runtime;
mod tenants;

use crate::decision::Decision;
use crate::ledger::Ledger;
use crate::load::Trace;
use crate::settings::Setting;
use crate::verdict::Verdict;
use case::Case;
pub use pair::{Compared, of_pair};
use serde::Serialize;

/// One hypothesis with its verdict.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    pub key: &'static str,
    pub hypothesis: &'static str,
    pub verdict: Verdict,
    pub because: String,
    pub numbers: Vec<Number>,
    /// What it did to the KV cache, for two runs to the difference: less than 0 where it took something off. Absent where
    /// the size does not depend on it, or it is not known by how much.
    pub kv_bytes: Option<i128>,
    /// Events, `pid:n`; for two runs with the side before it.
    pub evidence: Vec<String>,
    /// Of a supported hypothesis: what to do about it.
    pub remedies: Vec<Remedy>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Number {
    pub name: String,
    pub bytes: i128,
}

/// What to do, and what to set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remedy {
    pub action: String,
    pub settings: Vec<Setting>,
}

impl Remedy {
    pub fn new(action: impl Into<String>) -> Self {
        Remedy { action: action.into(), settings: Vec::new() }
    }

    pub fn with(action: impl Into<String>, settings: Vec<Setting>) -> Self {
        Remedy { action: action.into(), settings }
    }
}

/// A question, before it has an answer.
#[derive(Debug, Clone, Copy)]
pub struct Hypothesis {
    pub key: &'static str,
    pub text: &'static str,
}

impl Hypothesis {
    fn is(self, verdict: Verdict, because: impl Into<String>) -> Finding {
        Finding {
            key: self.key,
            hypothesis: self.text,
            verdict,
            because: because.into(),
            numbers: Vec::new(),
            kv_bytes: None,
            evidence: Vec::new(),
            remedies: Vec::new(),
        }
    }

    fn supported(self, because: impl Into<String>) -> Finding {
        self.is(Verdict::Supported, because)
    }

    fn refuted(self, because: impl Into<String>) -> Finding {
        self.is(Verdict::Refuted, because)
    }

    fn open(self, because: impl Into<String>) -> Finding {
        self.is(Verdict::CannotTell, because)
    }
}

impl Finding {
    fn number(mut self, name: impl Into<String>, bytes: impl Into<i128>) -> Self {
        self.numbers.push(Number { name: name.into(), bytes: bytes.into() });
        self
    }

    /// What it took off the KV cache.
    fn costs(self, bytes: Option<i128>) -> Self {
        self.moves(bytes.map(|bytes| -bytes).filter(|bytes| *bytes != 0))
    }

    fn moves(mut self, bytes: Option<i128>) -> Self {
        self.kv_bytes = bytes;
        self
    }

    fn seen(mut self, evidence: impl IntoIterator<Item = String>) -> Self {
        for event in evidence {
            if !self.evidence.contains(&event) {
                self.evidence.push(event);
            }
        }
        self
    }

    fn remedy(mut self, remedy: Remedy) -> Self {
        self.remedies.push(remedy);
        self
    }
}

const PAGE_CACHE: Hypothesis = Hypothesis { key: "page_cache", text: "page cache counted as used" };
const CGROUP_LIMIT: Hypothesis = Hypothesis { key: "cgroup_limit", text: "a control group's limit lowered the view" };
const DOUBLE_COUNTING: Hypothesis =
    Hypothesis { key: "cgroup_double_counting", text: "a control group counted memory twice" };
const CEILING: Hypothesis = Hypothesis { key: "ceiling", text: "a hard ceiling" };
const OTHER_PROCESS: Hypothesis = Hypothesis { key: "other_process", text: "another process holds memory" };
const FOOTPRINT: Hypothesis = Hypothesis { key: "own_footprint", text: "a larger own footprint" };
const TOTAL: Hypothesis = Hypothesis { key: "total", text: "another total, or a carve-out" };
const FRACTION: Hypothesis = Hypothesis { key: "fraction_or_cap", text: "another fraction, or a cap" };
const MODEL: Hypothesis = Hypothesis { key: "model", text: "another model" };
const LEFTOVER: Hypothesis = Hypothesis { key: "leftover", text: "driver memory left over from before" };
const RESERVES: Hypothesis = Hypothesis { key: "kernel_reserves", text: "reserves of the kernel" };
const PARTITION: Hypothesis = Hypothesis { key: "partition", text: "a partitioned or virtual device" };
const RESIDENCY: Hypothesis = Hypothesis { key: "double_residency", text: "weights resident twice" };
const STALE: Hypothesis = Hypothesis { key: "stale_snapshot", text: "a stale snapshot" };
const RESERVE: Hypothesis = Hypothesis { key: "own_reserve", text: "the runtime's reserve is too small" };
const REFUSED: Hypothesis = Hypothesis { key: "driver_refuses", text: "the driver fails while the host looks fine" };
const BLIND: Hypothesis = Hypothesis { key: "observer_blind", text: "NVML does not see the memory" };

/// All hypotheses about one decision.
pub fn of_run(trace: &Trace, ledger: &Ledger, decision: &Decision) -> Vec<Finding> {
    match Case::of(trace, ledger, decision) {
        Some(case) => of_case(&case),
        None => of_undecided(trace),
    }
}

fn of_case(case: &Case) -> Vec<Finding> {
    vec![
        host::page_cache(case),
        container::limit(case),
        container::double_counting(case),
        runtime::ceiling(case),
        tenants::other_process(case),
        runtime::footprint(case),
        device::total(case),
        runtime::fraction_or_cap(case),
        tenants::leftover(case),
        host::reserves(case),
        device::partition(case),
        host::residency(case),
        runtime::stale(case),
        runtime::reserve(case),
        host::refused(case.trace(), Some(case.decision().process)),
        tenants::blind(case),
    ]
}

/// What can be asked of a run that sized no KV cache.
pub fn of_undecided(trace: &Trace) -> Vec<Finding> {
    vec![host::refused(trace, None)]
}
