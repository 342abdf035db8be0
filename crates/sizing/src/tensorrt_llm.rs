//! TensorRT-LLM, PyTorch backend, KV cache manager V1 (`_torch/pyexecutor/_util.py`, about 1.0 to 1.2).
//!
//! The runtime allocates a temporary pool, runs a dummy forward, asks for free memory (query B), frees the pool, asks
//! again (query C) and allocates the final pool. In its own terms the budget is `f (T - peak + M1)` with
//! `peak = torch peak + max((T - F_B) - torch allocated, 0)`. Wherever the second operand is above zero, which a CUDA
//! context alone ensures, torch's counters fall out: `f (F_B + M1 - transient)`.

/// What the budget is made of. All sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// Free memory that query B answered.
    pub free_after_profile: u64,
    /// The temporary pool, allocated at query B.
    pub temporary_pool: u64,
    /// How far the dummy forward rose above what stays allocated. Negative only where a witness is wrong.
    pub transient: i64,
    /// `free_gpu_memory_fraction`, 0 to 1. The runtime passes it through a 32-bit float.
    pub fraction: f64,
}

impl Budget {
    /// What the fraction is taken of: `F_B + M1 - transient`.
    pub fn base(&self) -> i128 {
        i128::from(self.free_after_profile) + i128::from(self.temporary_pool) - i128::from(self.transient)
    }

    /// Bytes that the KV cache may have, 0 if nothing is left.
    pub fn bytes(&self) -> u64 {
        share(self.fraction, self.base()).try_into().unwrap_or(0)
    }

    /// The peak that the runtime logs, for a device of `total` bytes.
    pub fn peak(&self, total: u64) -> i64 {
        clamp(i128::from(total) - i128::from(self.free_after_profile) + i128::from(self.transient))
    }
}

/// The budget in the runtime's own terms: `f (total - peak + temporary_pool)`, 0 if nothing is left.
pub fn budget_from_peak(total: u64, peak: u64, temporary_pool: u64, fraction: f64) -> u64 {
    let base = i128::from(total) - i128::from(peak) + i128::from(temporary_pool);
    share(fraction, base).try_into().unwrap_or(0)
}

/// The transient that makes the rule give `budget` bytes; `None` unless `fraction` is above 0 and at most 1.
pub fn solve_transient(budget: u64, free_after_profile: u64, temporary_pool: u64, fraction: f64) -> Option<i64> {
    let usable = fraction > 0.0 && fraction <= 1.0;
    let base = (budget as f64 / fraction).round() as i128;
    usable.then(|| clamp(i128::from(free_after_profile) + i128::from(temporary_pool) - base))
}

/// The transient behind a logged peak.
pub fn transient_from_peak(peak: u64, total: u64, free_after_profile: u64) -> i64 {
    clamp(i128::from(peak) - i128::from(total) + i128::from(free_after_profile))
}

/// What decided the size of the final pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// The budget from the profiled peak.
    FractionOfPeak,
    /// Fraction times the free memory at query C.
    FractionOfFree,
    /// `max_tokens` of the user.
    UserTokens,
}

/// How the pool is cut into blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocks {
    /// KV bytes of one token, above 0.
    pub bytes_per_token: u64,
    /// Tokens of one block, above 0; 32 by default.
    pub tokens_per_block: u64,
    /// Whether a started block is allocated whole (up to about 1.2) or left out.
    pub round_up: bool,
}

/// The final pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// Tokens that the budget holds, before blocks are cut.
    pub token_target: u64,
    /// Blocks allocated.
    pub blocks: u64,
    /// Tokens allocated.
    pub tokens: u64,
    /// Bytes allocated.
    pub bytes: u64,
    /// What decided.
    pub bound: Bound,
}

/// Cuts the final pool: `n = round(min(floor(K / b), f F_C / b, max_tokens) / t)`.
pub fn final_pool(
    budget: u64,
    fraction: f64,
    free_before_pool: u64,
    max_tokens: Option<u64>,
    cut: Blocks,
) -> Option<Pool> {
    let (b, t) = (cut.bytes_per_token, cut.tokens_per_block);
    if b == 0 || t == 0 {
        return None;
    }
    let by_peak = budget / b;
    let by_free = u64::try_from(share(fraction, free_before_pool.into())).unwrap_or(0) / b;
    let (mut tokens, mut bound) = (by_peak, Bound::FractionOfPeak);
    if let Some(user) = max_tokens.filter(|user| *user < tokens) {
        (tokens, bound) = (user, Bound::UserTokens);
    }
    let token_target = tokens;
    if by_free < tokens {
        (tokens, bound) = (by_free, Bound::FractionOfFree);
    }
    let blocks = if cut.round_up { tokens.div_ceil(t) } else { tokens / t };
    Some(Pool { token_target, blocks, tokens: blocks * t, bytes: blocks * t * b, bound })
}

/// `fraction` of `bytes`, rounded down. Exact to a byte below 2^53.
pub fn share(fraction: f64, bytes: i128) -> i128 {
    (fraction * bytes as f64).floor() as i128
}

fn clamp(value: i128) -> i64 {
    value.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GIB;

    fn gib(value: f64) -> u64 {
        (value * GIB as f64).round() as u64
    }

    /// A public log: gpt-oss-120b on GB10 with 1.1.0rc3.
    #[test]
    fn the_worked_log() {
        let temporary = 8224 * 73_728;
        let budget = budget_from_peak(gib(119.70), gib(113.65), temporary, 0.9);
        assert_eq!(format!("{:.2}", budget as f64 / GIB as f64), "5.95");
        let cut = Blocks { bytes_per_token: 73_728, tokens_per_block: 32, round_up: true };
        let pool = final_pool(86_711 * 73_728 + 5, 0.9, gib(20.0), None, cut).unwrap();
        assert_eq!((pool.token_target, pool.blocks, pool.tokens), (86_711, 2710, 86_720));
        assert_eq!(format!("{:.2}", pool.bytes as f64 / GIB as f64), "5.95");
        assert_eq!(pool.bound, Bound::FractionOfPeak);
    }

    #[test]
    fn both_forms_agree_and_solve_back() {
        let total = gib(119.7);
        let given =
            Budget { free_after_profile: gib(48.0), temporary_pool: gib(0.25), transient: 900 << 20, fraction: 0.9 };
        let peak = given.peak(total);
        assert_eq!(given.bytes(), budget_from_peak(total, peak as u64, given.temporary_pool, 0.9));
        let solved = solve_transient(given.bytes(), given.free_after_profile, given.temporary_pool, 0.9).unwrap();
        assert!((solved - given.transient).abs() <= 1, "{solved}");
        assert_eq!(transient_from_peak(peak as u64, total, given.free_after_profile), given.transient);
        assert_eq!(solve_transient(1, 1, 1, 0.0), None);
    }

    #[test]
    fn each_cap_binds_in_its_turn() {
        let cut = Blocks { bytes_per_token: 57_344, tokens_per_block: 32, round_up: true };
        let bound = |free, user| final_pool(gib(40.0), 0.9, free, user, cut).unwrap().bound;
        assert_eq!(bound(gib(50.0), None), Bound::FractionOfPeak);
        assert_eq!(bound(gib(30.0), None), Bound::FractionOfFree);
        assert_eq!(bound(gib(50.0), Some(1000)), Bound::UserTokens);
        assert_eq!(final_pool(1, 0.9, 1, None, Blocks { bytes_per_token: 0, ..cut }), None);
    }

    #[test]
    fn nothing_left_is_no_pool() {
        let none = Budget { free_after_profile: 0, temporary_pool: 0, transient: 5, fraction: 0.9 };
        assert_eq!(none.bytes(), 0);
        assert_eq!(budget_from_peak(5, 9, 0, 0.9), 0);
    }
}
