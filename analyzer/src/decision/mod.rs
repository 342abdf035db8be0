//! Events and ledger -> the query that sized the KV cache and the allocation that followed.

mod calls;
mod llama_cpp;
pub mod logs;
mod sglang;
mod tensorrt_llm;
mod tensorrt_llm_engine;
mod tensorrt_llm_v2;
mod vllm;

use crate::ledger::Ledger;
use crate::load::Trace;
use crate::load::events::ProcessIndex;
use serde::Serialize;

/// How a figure is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// An event of the trace holds it.
    Observed,
    /// The runtime printed it.
    Logged,
    /// It is what makes the runtime's rule give the observed pool.
    Solved,
    /// The runtime's default, for want of a witness.
    Assumed,
}

impl Confidence {
    pub fn name(self) -> &'static str {
        match self {
            Confidence::Observed => "observed",
            Confidence::Logged => "logged",
            Confidence::Solved => "solved",
            Confidence::Assumed => "assumed",
        }
    }
}

/// A figure with where it comes from.
#[derive(Debug, Clone, Serialize)]
pub struct Fact<T> {
    pub value: T,
    pub confidence: Confidence,
    /// Events, `pid:n`.
    pub evidence: Vec<String>,
}

impl<T> Fact<T> {
    pub fn new(value: T, confidence: Confidence, evidence: impl IntoIterator<Item = String>) -> Self {
        Fact { value, confidence, evidence: evidence.into_iter().collect() }
    }
}

/// What decided the size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    FractionOfPeak,
    FractionOfFree,
    UserTokens,
    ShareOfTotal,
    ShareOfFree,
    Context,
}

impl Bound {
    pub fn sentence(self) -> &'static str {
        match self {
            Bound::FractionOfPeak => "fraction of what the profiled peak leaves",
            Bound::FractionOfFree => "fraction of free memory at query C",
            Bound::UserTokens => "max_tokens of the user",
            Bound::ShareOfTotal => "share of the total, less what was used since the first snapshot",
            Bound::ShareOfFree => "share of free memory",
            Bound::Context => "the context that was asked for",
        }
    }
}

/// Where the runtime took free memory from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The driver's answer.
    Driver,
    /// MemAvailable of /proc/meminfo.
    MemAvailable,
}

/// What the rule makes of one byte that a query called free.
#[derive(Debug, Clone, Serialize)]
pub struct Weight {
    /// `A`, `B` or `C`.
    pub role: &'static str,
    /// Position in the trace.
    #[serde(skip)]
    pub query: usize,
    pub source: Source,
    /// As the program was told.
    pub free_bytes: u64,
    /// Bytes of KV cache for a byte.
    pub weight: f64,
}

/// The runtime's rule in the form that all rules have: `budget = total_share x total + sum of weight x free + factor x
/// (temporary pool - transient) - reserved`.
#[derive(Debug, Clone, Serialize)]
pub struct Rule {
    pub total_share: f64,
    /// In the order of the queries; the last one sized the cache.
    pub free: Vec<Weight>,
    pub factor: f64,
    /// What the runtime keeps for itself, such as its estimate for graphs.
    pub reserved_bytes: u64,
}

impl Rule {
    /// Whether two rules ask the same questions, so that they differ in figures only.
    pub fn is_like(&self, other: &Rule) -> bool {
        let questions = |rule: &Rule| rule.free.iter().map(|weight| (weight.role, weight.source)).collect::<Vec<_>>();
        questions(self) == questions(other) && (self.total_share == 0.0) == (other.total_share == 0.0)
    }
}

/// How one process sized its KV cache. Sizes in bytes.
#[derive(Debug, Clone, Serialize)]
pub struct Decision {
    pub runtime: &'static str,
    pub pid: u32,
    #[serde(skip)]
    pub process: ProcessIndex,
    /// End of query B, ns.
    #[serde(skip)]
    pub sized_at: u64,
    /// Position of query B in the trace.
    #[serde(skip)]
    pub sizing_query: usize,
    pub total_bytes: Fact<u64>,
    pub free_a_bytes: Option<Fact<u64>>,
    pub free_b_bytes: Fact<u64>,
    pub free_c_bytes: Option<Fact<u64>>,
    pub temporary_pool_bytes: Fact<u64>,
    pub final_pool_bytes: Fact<u64>,
    pub fraction: Fact<f64>,
    pub rule: Rule,
    pub transient_bytes: Fact<i64>,
    pub peak_bytes: Fact<i64>,
    /// `fraction x (free at B + temporary pool - transient)`.
    pub budget_bytes: i64,
    /// What a cap took off the budget; 0 or less.
    pub cap_bytes: i64,
    /// What cutting into blocks added.
    pub rounding_bytes: i64,
    /// Pool minus budget, cap and rounding.
    pub unexplained_bytes: i64,
    pub bytes_per_token: Option<Fact<u64>>,
    pub tokens_per_block: Option<Fact<u64>>,
    pub tokens: Option<Fact<u64>>,
    /// Blocks, or chunks where the pool is mapped in them.
    pub blocks: Option<u64>,
    /// Pinned host memory that the runtime keeps beside the pool.
    pub host_tier_bytes: Option<Fact<u64>>,
    pub bound: Bound,
    /// Where two witnesses disagree.
    pub contradictions: Vec<String>,
}

/// The decisions of a trace, the largest pool first.
pub fn decide(trace: &Trace, ledger: &Ledger) -> Vec<Decision> {
    let witness = logs::witness(trace);
    let mut decisions: Vec<Decision> = (0..trace.processes.len() as ProcessIndex)
        .filter_map(|process| detect(trace, ledger, &witness, process))
        .collect();
    decisions.sort_by_key(|decision| std::cmp::Reverse(decision.final_pool_bytes.value));
    decisions
}

/// The first detector that is sure.
fn detect(trace: &Trace, ledger: &Ledger, witness: &logs::Witness, process: ProcessIndex) -> Option<Decision> {
    let calls = calls::Calls::of(trace, ledger, process);
    // Sizes alone may look like TensorRT-LLM's: who says that he is another is another.
    let is_other = calls.names(&["vllm", "sglang"]) && !calls.names(&["tensorrt_llm", "trtllm"]);
    let tensorrt_llm = || {
        tensorrt_llm_v2::detect(&calls, &witness.tensorrt_llm)
            .or_else(|| tensorrt_llm::detect(trace, ledger, &witness.tensorrt_llm, process))
    };
    (if is_other { None } else { tensorrt_llm() })
        .or_else(|| vllm::detect(&calls, &witness.vllm))
        .or_else(|| sglang::detect(&calls, &witness.sglang))
        .or_else(|| tensorrt_llm_engine::detect(&calls, &witness.tensorrt_llm))
        .or_else(|| llama_cpp::detect(&calls, &witness.llama_cpp))
}
