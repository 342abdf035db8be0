//! What a runtime's rule is fed with, and what it makes of it.

use crate::decision::{Bound, Decision};
use kvtrace_sizing::float::narrowed;
use kvtrace_sizing::tensorrt_llm::Budget;
use kvtrace_sizing::tensorrt_llm::cpp::{Cpp, Memory, Window};
use kvtrace_sizing::tensorrt_llm::v1::{Release as V1Release, V1};
use kvtrace_sizing::tensorrt_llm::v2::{self, V2};
use kvtrace_sizing::vllm::{Release as VllmRelease, Snapshot, Vllm};
use kvtrace_sizing::{Refusal, llama_cpp, sglang};

/// Tokens that no window bounds.
const NO_WINDOW: u64 = 1 << 40;
/// Blocks of vLLM, tokens.
const VLLM_BLOCK: u64 = 16;

/// Bytes by which rounding may have made a solved transient too large.
const SOLVED_SLACK: u64 = 3;

/// Whose rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    V1(V1Release),
    V2,
    Cpp,
    Vllm,
    Sglang,
    LlamaCpp,
}

impl Rule {
    /// Of a decision's runtime; `None` if its rule is not known here.
    pub fn of(runtime: &str) -> Option<Self> {
        Some(match runtime {
            "TensorRT-LLM PyTorch V1" => Rule::V1(V1Release::V1_1),
            "TensorRT-LLM PyTorch V2" => Rule::V2,
            "TensorRT-LLM C++" => Rule::Cpp,
            "vLLM" => Rule::Vllm,
            "SGLang" => Rule::Sglang,
            "llama.cpp" => Rule::LlamaCpp,
            _ => return None,
        })
    }

    /// How it divides KV heads among ranks.
    pub fn split(self) -> kvtrace_sizing::kv_bytes::HeadSplit {
        use kvtrace_sizing::kv_bytes::HeadSplit::{Ceil, Floor};
        if matches!(self, Rule::V1(_) | Rule::V2 | Rule::Cpp) { Ceil } else { Floor }
    }
}

/// The figures of one run that its size depends on. Bytes, and tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Inputs {
    pub rule: Rule,
    pub total: u64,
    pub fraction: f64,
    /// At the first query of the rule, where it has two; at the start or before the weights.
    pub free_a: Option<u64>,
    pub free_b: u64,
    /// At the last query before the allocation, where the rule asks again.
    pub free_c: Option<u64>,
    pub temporary: u64,
    pub transient: u64,
    pub reserved: u64,
    /// What is added to free memory: held in advance and not used.
    pub added: u64,
    pub max_tokens: Option<u64>,
    /// Absent where nothing tells it: then the cache is cut to bytes.
    pub bytes_per_token: Option<u64>,
    pub tokens_per_block: Option<u64>,
}

/// What a quota leaves for the tokens that bound it.
fn of_quota(rule: Rule, bytes: u64) -> u64 {
    if rule == Rule::V2 { (bytes as f64 * v2::DEFAULT_MAX_UTILIZATION) as u64 } else { bytes }
}

/// What the rule gives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Size {
    pub bytes: u64,
    /// Absent where nothing tells the bytes of one.
    pub tokens: Option<u64>,
    pub bound: kvtrace_sizing::Bound,
}

impl Inputs {
    /// Of a decision, with the release whose arithmetic comes nearest to what was allocated.
    pub fn of(decision: &Decision) -> Option<Self> {
        let given = decision.bytes_per_token.as_ref().map(|fact| fact.value).filter(|bytes| *bytes > 0);
        let user = decision.bound == Bound::UserTokens;
        let capped = u64::try_from(decision.budget_bytes + decision.cap_bytes).ok();
        let several = decision.rule.free.len() > 1;
        let reported = decision.rule.free.last()?.free_bytes;
        // What a rule adds to the answer is in its budget alone.
        let base = decision.budget_bytes as f64 / narrowed(decision.fraction.value).max(f64::MIN_POSITIVE);
        let rule = Rule::of(decision.runtime)?;
        let added = if rule == Rule::Cpp { (base - reported as f64).max(0.0) as u64 } else { 0 };
        let mut inputs = Inputs {
            rule,
            total: decision.total_bytes.value,
            fraction: decision.fraction.value,
            free_a: several.then(|| decision.rule.free.first().map(|weight| weight.free_bytes)).flatten(),
            free_b: reported,
            free_c: decision.free_c_bytes.as_ref().map(|fact| fact.value),
            temporary: decision.temporary_pool_bytes.value,
            transient: u64::try_from(decision.transient_bytes.value).unwrap_or(0),
            reserved: decision.rule.reserved_bytes,
            // An asynchronous pool holds 32 MiB at least, or nothing that rounding could not be.
            added: if added < 1 << 20 { 0 } else { added },
            max_tokens: given.zip(capped).filter(|_| user).map(|(bytes, capped)| of_quota(rule, capped) / bytes),
            bytes_per_token: given,
            tokens_per_block: decision.tokens_per_block.as_ref().map(|fact| fact.value),
        };
        if rule == Rule::LlamaCpp {
            inputs.max_tokens = decision.tokens.as_ref().map(|fact| fact.value);
        }
        if let Rule::V1(_) = rule {
            // The transient was solved from whole tokens: a byte less may be what makes the last of them.
            let transients = (0..=SOLVED_SLACK).map(|less| inputs.transient.saturating_sub(less));
            let tries = transients.flat_map(|transient| {
                let with = |release| Inputs { rule: Rule::V1(release), transient, ..inputs };
                [V1Release::V1_1, V1Release::Main, V1Release::V0_17].map(with)
            });
            let off = |tried: &Inputs| {
                tried.size().map_or(u64::MAX, |size| size.bytes.abs_diff(decision.final_pool_bytes.value))
            };
            inputs = tries.min_by_key(off)?;
        }
        Some(inputs)
    }

    /// What the rule makes of them.
    ///
    /// # Errors
    /// Why the runtime would not start with these, or the rule does not cover them.
    pub fn size(&self) -> Result<Size, Refusal> {
        let b = self.bytes_per_token.unwrap_or(1);
        let block = if self.bytes_per_token.is_some() { self.tokens_per_block } else { Some(1) };
        let tokens = |tokens: u64| self.bytes_per_token.map(|_| tokens);
        match self.rule {
            Rule::V1(release) => {
                let given = V1 {
                    release,
                    total: self.total,
                    free_after_profile: self.free_b,
                    torch_peak: self.transient,
                    torch_allocated: 0,
                    temporary_pool: self.temporary,
                    reserved: self.reserved,
                    free_before_pool: self.free_c.unwrap_or(self.free_b.saturating_add(self.temporary)),
                    fraction: self.fraction,
                    max_tokens: self.max_tokens,
                    max_bytes: None,
                    bytes_per_token: b,
                    tokens_per_block: block.unwrap_or(kvtrace_sizing::tensorrt_llm::TOKENS_PER_BLOCK),
                };
                let size = given.size()?;
                Ok(Size { bytes: size.terms.pool, tokens: tokens(size.pool.tokens), bound: size.terms.bound })
            }
            Rule::V2 => {
                let budget = Budget {
                    free_after_profile: self.free_b,
                    temporary_pool: self.temporary,
                    transient: i64::try_from(self.transient).unwrap_or(i64::MAX),
                    fraction: self.fraction,
                };
                let given = V2 {
                    budget: budget.bytes(),
                    max_tokens: self.max_tokens,
                    bytes_per_token: b,
                    max_utilization: v2::DEFAULT_MAX_UTILIZATION,
                };
                let size = given.size()?;
                Ok(Size { bytes: size.terms.pool, tokens: tokens(size.terms.pool / b), bound: size.terms.bound })
            }
            Rule::Cpp => {
                let windows = [Window { tokens: NO_WINDOW, bytes_per_token: b }];
                let given = Cpp {
                    memory: Memory { total: self.total.max(self.free_b.saturating_add(self.added)), free: self.free_b },
                    pool_free: self.added,
                    fraction: self.fraction as f32,
                    max_tokens: self.max_tokens,
                    host_bytes: 0,
                    tokens_per_block: block.unwrap_or(kvtrace_sizing::tensorrt_llm::TOKENS_PER_BLOCK),
                    windows: &windows,
                };
                let terms = given.size()?.terms;
                Ok(Size { bytes: terms.pool, tokens: tokens(terms.pool / b), bound: terms.bound })
            }
            Rule::Vllm => {
                let block = b.saturating_mul(if self.bytes_per_token.is_some() { VLLM_BLOCK } else { 1 });
                let given = Vllm {
                    release: VllmRelease::V0_33,
                    total: self.total,
                    utilization: self.fraction,
                    weights: 0,
                    at_init: Snapshot { free: self.free_a.unwrap_or(self.free_b), ..Snapshot::default() },
                    before_profile: Snapshot::default(),
                    after_profile: Snapshot { free: self.free_b, torch_peak: self.transient, ..Snapshot::default() },
                    graphs: self.reserved,
                    // It has no bound on tokens, but one on bytes.
                    own_bytes: self.max_tokens.map(|tokens| tokens.saturating_mul(b)),
                    own_blocks: None,
                    bytes_per_block: block,
                };
                let terms = given.size()?.terms;
                Ok(Size { bytes: terms.pool, tokens: tokens(terms.pool / b), bound: terms.bound })
            }
            Rule::Sglang => {
                let given = sglang::Sglang {
                    release: sglang::Release::V0_5_5,
                    free_before_weights: self.free_a.unwrap_or(self.free_b),
                    free_after_weights: self.free_b,
                    fraction: self.fraction,
                    reserved: 0,
                    max_tokens: self.max_tokens,
                    bytes_per_token: b,
                    page: sglang::PAGE,
                };
                let size = given.size()?;
                Ok(Size { bytes: size.allocated, tokens: tokens(size.tokens), bound: size.terms.bound })
            }
            Rule::LlamaCpp => {
                let (cells, b) = (self.max_tokens.ok_or(Refusal::Missing("the context"))?, self.bytes_per_token);
                let b = b.ok_or(Refusal::Missing("bytes per token"))?;
                let cells = cells.checked_next_multiple_of(llama_cpp::PAD).ok_or(Refusal::Overflow)?;
                let bytes = cells.checked_mul(b).ok_or(Refusal::Overflow)?;
                Ok(Size { bytes, tokens: Some(cells), bound: kvtrace_sizing::Bound::Context })
            }
        }
    }

    /// More or less free memory at each query.
    pub fn freer(&mut self, by: [i128; 3]) {
        let moved = |free: u64, by: i128| (i128::from(free) + by).clamp(0, self.total.into()) as u64;
        let (a, b, c) = (self.free_a.map(|free| moved(free, by[0])), moved(self.free_b, by[1]), by[2]);
        let c = self.free_c.map(|free| moved(free, c));
        (self.free_a, self.free_b, self.free_c) = (a, b, c);
    }

    /// A token of another size: the temporary pool holds as many of them as before.
    pub fn resize_token(&mut self, bytes: u64) {
        let Some(old) = self.bytes_per_token.replace(bytes).filter(|old| *old > 0) else { return };
        let pool = (u128::from(self.temporary) * u128::from(bytes) / u128::from(old)).min(u64::MAX.into()) as u64;
        let by = i128::from(self.temporary) - i128::from(pool);
        self.temporary = pool;
        // It is allocated at query B, and not any more at query C.
        self.freer([0, by, 0]);
    }
}
