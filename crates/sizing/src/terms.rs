//! What a pool's size is made of.

/// What decided a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// A fraction of what the profiled peak leaves (TensorRT-LLM, PyTorch).
    FractionOfPeak,
    /// A fraction of the memory free just before the pool is allocated (TensorRT-LLM).
    FractionOfFree,
    /// A fraction of the whole device, less what else is used (vLLM).
    FractionOfTotal,
    /// A fraction of the memory free before the weights, less the weights (SGLang).
    FractionBeforeWeights,
    /// Tokens that the user set.
    UserTokens,
    /// Bytes that the user set.
    UserBytes,
    /// Blocks that the user set.
    UserBlocks,
    /// The context length (llama.cpp).
    Context,
    /// The memory that must stay free (llama.cpp).
    Margin,
}

impl Bound {
    /// For reading.
    pub fn name(self) -> &'static str {
        match self {
            Bound::FractionOfPeak => "fraction of what the profiled peak leaves",
            Bound::FractionOfFree => "fraction of free memory",
            Bound::FractionOfTotal => "fraction of total memory",
            Bound::FractionBeforeWeights => "fraction of the memory free before the weights",
            Bound::UserTokens => "tokens set by the user",
            Bound::UserBytes => "bytes set by the user",
            Bound::UserBlocks => "blocks set by the user",
            Bound::Context => "context length",
            Bound::Margin => "margin to stay free",
        }
    }
}

/// A pool and why it has its size: `pool = budget + cap + rounding`, exactly. All in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// What the rule leaves for the cache before any cap.
    pub budget: u64,
    /// What the cap that bound took off (or, where it replaces the budget, added).
    pub cap: i128,
    /// What cutting into tokens and blocks took off or added.
    pub rounding: i128,
    /// The pool.
    pub pool: u64,
    /// What decided.
    pub bound: Bound,
}

impl Terms {
    /// The terms of `pool`, given the budget and what the caps left of it.
    pub(crate) fn of(budget: u64, capped: u64, pool: u64, bound: Bound) -> Terms {
        let (budget_, capped_) = (i128::from(budget), i128::from(capped));
        Terms { budget, cap: capped_ - budget_, rounding: i128::from(pool) - capped_, pool, bound }
    }

    /// `budget + cap + rounding`; the pool.
    pub fn sum(&self) -> i128 {
        i128::from(self.budget) + self.cap + self.rounding
    }
}

/// A product in bytes, unless it is larger than 2^64 - 1.
pub(crate) fn product(factors: &[u64]) -> Result<u64, crate::Refusal> {
    if factors.contains(&0) {
        return Ok(0);
    }
    let all = factors.iter().try_fold(1u64, |product, factor| product.checked_mul(*factor));
    all.ok_or(crate::Refusal::Overflow)
}
