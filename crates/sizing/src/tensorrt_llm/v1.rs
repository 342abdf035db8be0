//! PyTorch backend, KV cache manager V1.
//!
//! Source: NVIDIA/TensorRT-LLM `tensorrt_llm/_torch/pyexecutor/_util.py` (the budget) and `resource_manager.py` (the
//! pool), snapshots of about 0.17 to main at 00043967.
//!
//! The runtime allocates a temporary pool, runs a dummy forward, asks for free memory (query B), frees the pool, asks
//! again (query C) and allocates the final pool. Two independent caps meet in it: a fraction of what the peak leaves,
//! and the same fraction of what query C finds free. The budget is a Python float; so are the tokens of the second
//! cap, which are not cut to whole tokens before they are cut into blocks.

use crate::Refusal;
use crate::float::{Fractions, floor_div, share_bytes};
use crate::terms::{Bound, Terms, product};
use std::ops::RangeInclusive;

/// Releases between which the arithmetic differs. Others print other lines but count alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// About 0.17: the temporary pool is not added back.
    V0_17,
    /// About 0.18 to 1.2 (1.1.0rc3 is known from a log): a started block is allocated whole.
    V1_1,
    /// Main of 2026: a started block is left out; what is reserved counts into the peak.
    Main,
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

/// What the size is made of. All sizes in bytes.
///
/// Where torch's counters are unknown, `torch_allocated` 0 and the transient as `torch_peak` give the same budget, as
/// long as the process holds anything that torch did not allocate. Then [`V1Size::non_torch`] is all that is used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct V1 {
    /// Which arithmetic.
    pub release: Release,
    /// Device total that the queries answer.
    pub total: u64,
    /// Free at query B, after the dummy forward.
    pub free_after_profile: u64,
    /// Most that torch had allocated during the dummy forward.
    pub torch_peak: u64,
    /// What torch has allocated at query B.
    pub torch_allocated: u64,
    /// The temporary KV pool, allocated at query B.
    pub temporary_pool: u64,
    /// Main: what is reserved beside the cache (multimodal encoder memory, context-MLA workspace).
    pub reserved: u64,
    /// Free at query C, before the final pool.
    pub free_before_pool: u64,
    /// `free_gpu_memory_fraction`, at least 0 and below 1; 0.9 by default.
    pub fraction: f64,
    /// `max_tokens` of the user.
    pub max_tokens: Option<u64>,
    /// `max_gpu_total_bytes` of the user (from about 1.2 on).
    pub max_bytes: Option<u64>,
    /// KV bytes of one token, above 0.
    pub bytes_per_token: u64,
    /// Tokens of one block, above 0; 32 by default.
    pub tokens_per_block: u64,
}

/// The size with what led to it. All sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct V1Size {
    /// "Memory used outside torch": `max(T - F_B - torch allocated, 0)`.
    pub non_torch: u64,
    /// "Peak memory during memory usage profiling (torch + non-torch)".
    pub peak: i128,
    /// What the fraction is taken of, `T - peak + temporary pool`; negative where nothing is left.
    pub available: i128,
    /// The second cap, `f F_C`.
    pub free_share: u64,
    /// Budget, cap, rounding, pool.
    pub terms: Terms,
    /// Tokens and blocks.
    pub pool: Pool,
}

impl V1 {
    /// The final pool.
    pub fn size(&self) -> Result<V1Size, Refusal> {
        if !(0.0..1.0).contains(&self.fraction) {
            return Err(Refusal::Fraction(self.fraction));
        }
        let wide = |bytes: u64| i128::from(bytes);
        let used = wide(self.total) - wide(self.free_after_profile);
        let non_torch = (used - wide(self.torch_allocated)).max(0) as u64;
        let reserved = if self.release == Release::Main { self.reserved } else { 0 };
        let peak = wide(self.torch_peak) + wide(non_torch) + wide(reserved);
        let added = if self.release == Release::V0_17 { 0 } else { self.temporary_pool };
        let available = wide(self.total) - peak + wide(added);
        let budget = share_bytes(self.fraction, available);
        let cut = Blocks {
            bytes_per_token: self.bytes_per_token,
            tokens_per_block: self.tokens_per_block,
            round_up: self.release != Release::Main,
        };
        let caps = (self.max_tokens, self.max_bytes);
        let (terms, pool) = cut_pool(budget, self.fraction, self.free_before_pool, caps, cut)?;
        let free_share = share_bytes(self.fraction, self.free_before_pool.into());
        Ok(V1Size { non_torch, peak, available, free_share, terms, pool })
    }

    /// The fractions that give a pool of `pool` bytes with everything else as here; `None` if none does.
    pub fn fractions(&self, pool: RangeInclusive<u64>) -> Option<Fractions> {
        Fractions::explaining(pool, |fraction| {
            // 1 itself is refused; what lies just below stands for it.
            let fraction = fraction.min(1.0f64.next_down());
            V1 { fraction, ..*self }.size().map_or(0, |size| size.terms.pool)
        })
    }
}

/// The final pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// Tokens that the budget and the user's caps hold, before blocks are cut.
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

/// Cuts the final pool: `n = round(min(floor(K / b), f F_C / b, max_tokens) / t)`. `None` for blocks of no size and
/// for pools above 2^64 bytes.
pub fn final_pool(
    budget: u64,
    fraction: f64,
    free_before_pool: u64,
    max_tokens: Option<u64>,
    cut: Blocks,
) -> Option<Pool> {
    cut_pool(budget, fraction, free_before_pool, (max_tokens, None), cut).ok().map(|(_, pool)| pool)
}

fn cut_pool(
    budget: u64,
    fraction: f64,
    free: u64,
    (max_tokens, max_bytes): (Option<u64>, Option<u64>),
    cut: Blocks,
) -> Result<(Terms, Pool), Refusal> {
    let (b, t) = (cut.bytes_per_token, cut.tokens_per_block);
    if b == 0 {
        return Err(Refusal::Zero("bytes per token"));
    }
    if t == 0 {
        return Err(Refusal::Zero("tokens per block"));
    }
    let (mut capped, mut bound) = (budget, Bound::FractionOfPeak);
    if let Some(bytes) = max_tokens.map(|tokens| tokens.saturating_mul(b)).filter(|bytes| *bytes < capped) {
        (capped, bound) = (bytes, Bound::UserTokens);
    }
    if let Some(bytes) = max_bytes.filter(|bytes| *bytes < capped) {
        (capped, bound) = (bytes, Bound::UserBytes);
    }
    let token_target = capped / b;
    let mut blocks = if cut.round_up { token_target.div_ceil(t) } else { token_target / t };
    // In floats, as the runtime does: tokens of the second cap are fractional.
    let by_free = fraction * free as f64 / b as f64;
    if by_free < token_target as f64 {
        (capped, bound) = (capped.min(share_bytes(fraction, free.into())), Bound::FractionOfFree);
        let exact = if cut.round_up { (by_free / t as f64).ceil() } else { floor_div(by_free, t as f64) };
        // Above 2^53 tokens a float may round past the tighter of the two.
        blocks = blocks.min(exact as u64);
    }
    let tokens = product(&[blocks, t])?;
    let bytes = product(&[tokens, b])?;
    Ok((Terms::of(budget, capped, bytes, bound), Pool { token_target, blocks, tokens, bytes, bound }))
}

/// The peak that the runtime logs, from what it logs beside it: `T + M1 - K / f`, rounded to a byte; `None` for a
/// fraction of 0 or less.
pub fn peak_from_budget(total: u64, temporary_pool: u64, budget: u64, fraction: f64) -> Option<i128> {
    let base = (fraction > 0.0).then(|| (budget as f64 / fraction).round().min(2f64.powi(100)) as i128)?;
    Some(i128::from(total) + i128::from(temporary_pool) - base)
}

/// Blocks of the secondary pool in pinned host memory: `floor(host_cache_size / b / t)`, in floats.
/// 0 for blocks of no size.
pub fn host_blocks(host_cache_size: u64, cut: Blocks) -> u64 {
    if cut.bytes_per_token == 0 || cut.tokens_per_block == 0 {
        return 0;
    }
    (host_cache_size as f64 / cut.bytes_per_token as f64 / cut.tokens_per_block as f64) as u64
}

/// The device total behind "Setting PyTorch memory fraction to R (Y GiB)", to the byte: `Y / R`. `None` for figures
/// that give none.
pub fn total_from_torch_limit(ratio: f64, gib: f64) -> Option<u64> {
    let total = (gib * crate::GIB as f64 / ratio).round();
    (ratio > 0.0 && ratio <= 1.0 && total >= 0.0 && total < u64::MAX as f64).then_some(total as u64)
}

/// What the runtime caps torch at once all is allocated: free, plus what torch reserved, less 32 MiB. Bytes.
pub fn torch_limit(free: u64, torch_reserved: u64) -> u64 {
    free.saturating_add(torch_reserved).saturating_sub(32 << 20)
}

/// Context parallelism of kind Helix (main): no estimate, `f` of what is free.
pub fn helix_budget(fraction: f64, free: u64) -> u64 {
    share_bytes(fraction, free.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GIB;
    use crate::float::narrowed;

    fn gib(value: f64) -> u64 {
        (value * GIB as f64).round() as u64
    }

    /// A public log of gpt-oss-120b on GB10 with 1.1.0rc3. It gives two decimals of GiB, so that the peak is known to
    /// 10 MiB: 130 tokens.
    fn worked() -> V1 {
        let total = 125_511_964 * 1024;
        let (inside, outside) = (gib(63.52), gib(49.28));
        V1 {
            release: Release::V1_1,
            total,
            free_after_profile: total - outside - inside,
            torch_peak: gib(113.65) - outside,
            torch_allocated: inside,
            temporary_pool: 8224 * 73_728,
            reserved: 0,
            free_before_pool: gib(20.0),
            fraction: narrowed(0.9),
            max_tokens: None,
            max_bytes: None,
            bytes_per_token: 73_728,
            tokens_per_block: 32,
        }
    }

    #[test]
    fn the_worked_log() {
        let show = |bytes: u64| format!("{:.2}", bytes as f64 / GIB as f64);
        let given = worked();
        let size = given.size().unwrap();
        assert_eq!(show(given.total), "119.70");
        assert_eq!((show(size.peak as u64), show(size.non_torch)), ("113.65".into(), "49.28".into()));
        assert_eq!((show(given.temporary_pool), show(size.terms.budget)), ("0.56".into(), "5.95".into()));
        // Of the peaks that print as 113.65 some give the logged tokens to the token.
        let tokens_at = |peak: u64| {
            let torch_peak = peak - size.non_torch;
            V1 { torch_peak, ..given }.size().unwrap().pool
        };
        let target = peak_from_budget(given.total, given.temporary_pool, 86_711 * 73_728 + 1, given.fraction).unwrap();
        assert_eq!(show(target as u64), "113.65");
        let pool = tokens_at(target as u64);
        assert_eq!((pool.token_target, pool.blocks, pool.tokens), (86_711, 2710, 86_720));
        assert_eq!((show(pool.bytes), pool.bound), ("5.95".into(), Bound::FractionOfPeak));
    }

    #[test]
    fn the_total_to_the_byte() {
        let (total, limit) = (125_511_964u64 * 1024, gib(61.25));
        let (ratio, gib) = (limit as f64 / total as f64, limit as f64 / GIB as f64);
        assert_eq!(total_from_torch_limit(ratio, gib), Some(total));
        assert_eq!(total % 4096, 0);
        assert_eq!(total_from_torch_limit(0.0, 1.0), None);
        assert_eq!(torch_limit(5, 3), 0);
    }

    /// The public benchmark: a line of slope -0.9 that meets zero at total plus temporary pool.
    #[test]
    fn the_shortfall_of_the_benchmark() {
        let budget = |peak| crate::tensorrt_llm::budget_from_peak(gib(119.64), gib(peak), gib(0.068), 0.9);
        assert_eq!(budget(119.708 + 0.001), 0);
        let change = (budget(85.0) - budget(88.42)) as f64 / GIB as f64;
        assert!((change - (30.83 - 27.75)).abs() < 0.003, "{change}");
    }

    /// The intercept of that line is total plus temporary pool: what the pool would be, and why three models cannot
    /// share it.
    #[test]
    fn the_intercept_of_the_benchmark() {
        let temporary = gib(119.708) - gib(119.64);
        let tokens = temporary / 57_344;
        assert!((1260..1280).contains(&tokens) && (39..41).contains(&(tokens / 32)), "{tokens}");
        let apart = (tokens * (327_680 - 57_344)) as f64 / GIB as f64;
        assert_eq!(format!("{apart:.2}"), "0.32");
    }

    #[test]
    fn a_byte_less_free_costs_the_fraction_of_it() {
        let given = V1 { torch_peak: gib(63.52), ..worked() };
        let less = V1 { free_after_profile: given.free_after_profile - 10_000_000, ..given };
        let lost = given.size().unwrap().terms.budget - less.size().unwrap().terms.budget;
        assert!((8_999_999..=9_000_000).contains(&lost), "{lost}");
    }

    #[test]
    fn each_cap_binds_in_its_turn() {
        let given = V1 { torch_peak: gib(70.0), free_before_pool: gib(50.0), ..worked() };
        let size = given.size().unwrap();
        assert_eq!(size.terms.bound, Bound::FractionOfPeak);
        let free = V1 { free_before_pool: gib(0.2), ..given }.size().unwrap();
        assert_eq!((free.terms.bound, free.free_share), (Bound::FractionOfFree, 193_273_523));
        assert!(free.terms.cap < 0 && free.terms.sum() == i128::from(free.pool.bytes));
        let tokens = V1 { torch_peak: 0, max_tokens: Some(1000), ..given }.size().unwrap();
        assert_eq!((tokens.terms.bound, tokens.pool.token_target, tokens.pool.tokens), (Bound::UserTokens, 1000, 1024));
        let bytes = V1 { torch_peak: 0, max_bytes: Some(73_728 * 64), ..given }.size().unwrap();
        assert_eq!((bytes.terms.bound, bytes.pool.blocks, bytes.terms.rounding), (Bound::UserBytes, 2, 0));
    }

    #[test]
    fn releases_differ() {
        let given = V1 { torch_peak: gib(60.0), ..worked() };
        let of = |release| V1 { release, reserved: GIB, ..given }.size().unwrap();
        let (old, now, main) = (of(Release::V0_17), of(Release::V1_1), of(Release::Main));
        assert_eq!(now.available - old.available, i128::from(given.temporary_pool));
        assert_eq!(main.peak - now.peak, i128::from(GIB));
        assert!(now.terms.rounding > -73_728 && main.terms.rounding <= 0);
    }

    #[test]
    fn a_fraction_of_a_token_starts_a_block() {
        let cut = Blocks { bytes_per_token: 100, tokens_per_block: 32, round_up: true };
        let pool = final_pool(100 * 100, 0.5, 6450 * 2, None, cut).unwrap();
        assert_eq!((pool.blocks, pool.bound), (3, Bound::FractionOfFree), "64.5 tokens");
        let pool = final_pool(100 * 100, 0.5, 6450 * 2, None, Blocks { round_up: false, ..cut }).unwrap();
        assert_eq!(pool.blocks, 2);
        assert_eq!(final_pool(1, 0.9, 1, None, Blocks { bytes_per_token: 0, ..cut }), None);
        assert_eq!(host_blocks(100 * 32 * 7 + 5, cut), 7);
        assert_eq!(helix_budget(0.9, 1000), 900);
    }

    #[test]
    fn the_fraction_is_found_again() {
        let given = worked();
        let pool = given.size().unwrap().pool.bytes;
        let found = given.fractions(pool..=pool).unwrap();
        assert!(found.contain(given.fraction) && found.most - found.least < 0.001, "{found:?}");
        assert_eq!(given.fractions(pool + 1..=pool + 1), None);
        assert_eq!(V1 { fraction: 1.0, ..given }.size().unwrap_err(), Refusal::Fraction(1.0));
    }
}
