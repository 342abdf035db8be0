//! SGLang: a fraction of the memory free before the weights, less the weights.
//!
//! Source: sgl-project/sglang `python/sglang/srt/model_executor/model_runner.py` (`profile_max_num_token`), in 0.5.23
//! `model_executor/pool_configurator.py` and `mem_cache/kv_cache_configurator.py`, the default fraction in
//! `server_args.py`; wheels 0.4.6.post5, 0.5.5, 0.5.23. No forward runs before. Memory is held in floats of GiB (a
//! power of two, so that bytes survive), and the rule is computed in them.

use crate::float::{Fractions, floor_div};
use crate::terms::{Bound, Terms, product};
use crate::vllm::Source;
use crate::{GIB, Refusal};
use std::ops::RangeInclusive;

/// Tokens of one page unless set or required by the attention backend.
pub const PAGE: u64 = 1;

/// Releases between which the rule differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// 0.4.6.post5.
    V0_4,
    /// 0.5.5.
    V0_5_5,
    /// 0.5.23.
    V0_5_23,
}

impl Release {
    /// Where "free" comes from: 0.4.6 cudaMemGetInfo; 0.5.5 MemAvailable for the capabilities 8.7, 11.0 and 12.1;
    /// 0.5.23 MemAvailable on integrated devices, without any call of cudaMemGetInfo.
    pub fn source(self, integrated: bool, capability: (u32, u32)) -> Source {
        let available = match self {
            Release::V0_4 => false,
            Release::V0_5_5 => matches!(capability, (8, 7) | (11, 0) | (12, 1)),
            Release::V0_5_23 => integrated,
        };
        if available { Source::MemAvailable } else { Source::MemGetInfo }
    }
}

/// What the size is made of. All sizes in bytes, the least over ranks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sglang {
    /// Which rule.
    pub release: Release,
    /// Free before the weights, right after distributed start-up.
    pub free_before_weights: u64,
    /// Free after the weights.
    pub free_after_weights: u64,
    /// `mem_fraction_static`, above 0 and below 1.
    pub fraction: f64,
    /// 0.5.23: reserved for multimodal inputs.
    pub reserved: u64,
    /// `max_total_tokens` of the user.
    pub max_tokens: Option<u64>,
    /// KV bytes of one token, above 0.
    pub bytes_per_token: u64,
    /// Tokens of one page, above 0; 1 unless set or required.
    pub page: u64,
}

/// The size with what led to it. All sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SglangSize {
    /// What stays free by the rule, `(1 - f) A0`.
    pub kept_free: u64,
    /// `A1 - (1 - f) A0`; 0 or less and the runtime ends.
    pub available: i128,
    /// "max_total_num_tokens".
    pub tokens: u64,
    /// What is allocated: one page more than the tokens.
    pub allocated: u64,
    /// From budget to tokens.
    pub terms: Terms,
}

impl Sglang {
    /// The pool.
    pub fn size(&self) -> Result<SglangSize, Refusal> {
        if !(self.fraction > 0.0 && self.fraction < 1.0) {
            return Err(Refusal::Fraction(self.fraction));
        }
        if self.bytes_per_token == 0 {
            return Err(Refusal::Zero("bytes per token"));
        }
        if self.page == 0 {
            return Err(Refusal::Zero("the page"));
        }
        let gib = |bytes: u64| bytes as f64 / GIB as f64;
        let kept = gib(self.free_before_weights) * (1.0 - self.fraction);
        let reserved = if self.release == Release::V0_5_23 { self.reserved } else { 0 };
        let bytes = (gib(self.free_after_weights) - kept - gib(reserved)) * GIB as f64;
        let budget = bytes.max(0.0) as u64;
        let b = self.bytes_per_token;
        let held = match self.release {
            Release::V0_4 | Release::V0_5_5 => floor_div(bytes.max(0.0), b as f64) as u64,
            Release::V0_5_23 => budget / b,
        };
        let (mut tokens, mut capped, mut bound) = (held.min(budget / b), budget, Bound::FractionBeforeWeights);
        if let Some(user) = self.max_tokens.filter(|user| *user < tokens) {
            (tokens, bound) = (user, Bound::UserTokens);
            capped = product(&[user, b])?;
        }
        let tokens = tokens / self.page * self.page;
        let terms = Terms::of(budget, capped, product(&[tokens, b])?, bound);
        let allocated = product(&[tokens.checked_add(self.page).ok_or(Refusal::Overflow)?, b])?;
        Ok(SglangSize {
            kept_free: (kept * GIB as f64) as u64,
            available: bytes.floor() as i128,
            tokens,
            allocated,
            terms,
        })
    }

    /// The fractions that give a pool of `pool` bytes (tokens times bytes per token); `None` if none does. Roughly
    /// `1 - (A1 - K) / A0`.
    pub fn fractions(&self, pool: RangeInclusive<u64>) -> Option<Fractions> {
        Fractions::explaining(pool, |fraction| {
            let fraction = fraction.clamp(f64::MIN_POSITIVE, 1.0f64.next_down());
            Sglang { fraction, ..*self }.size().map_or(0, |size| size.terms.pool)
        })
    }
}

/// What the default fraction of 0.5.5 is made of, without data-parallel attention, speculation and multimodal models,
/// each of which reserves more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defaults {
    /// Device capacity in MiB.
    pub capacity_mib: u64,
    /// `chunked_prefill_size` in tokens.
    pub chunked_prefill: u64,
    /// `cuda_graph_max_bs`.
    pub graph_batch: u64,
    /// Tensor-parallel times pipeline ranks.
    pub ranks: u64,
}

impl Defaults {
    /// MiB that 0.5.5 reserves: `512 + 1.5 max(chunked_prefill, 2048) + 2 graph_batch + 128 ranks`, at least 10240 on
    /// devices above 60 GiB.
    pub fn reserved_mib(&self) -> f64 {
        let reserved = 512.0
            + self.chunked_prefill.max(2048) as f64 * 1.5
            + self.graph_batch as f64 * 2.0
            + self.ranks as f64 / 8.0 * 1024.0;
        if self.capacity_mib > 60 * 1024 { reserved.max(10_240.0) } else { reserved }
    }

    /// The fraction: `(capacity - reserved) / capacity` to three decimals; 0.88 without a capacity.
    pub fn fraction(&self) -> f64 {
        if self.capacity_mib == 0 {
            return 0.88;
        }
        let capacity = self.capacity_mib as f64;
        ((capacity - self.reserved_mib()) / capacity * 1000.0).round_ties_even() / 1000.0
    }
}

/// The two pools of a model with sliding-window layers, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hybrid {
    /// Tokens of the full-attention layers.
    pub full: u64,
    /// Tokens of the sliding-window layers.
    pub sliding: u64,
}

/// Splits `budget` bytes: `full = K / (c_full + ratio c_sliding)`, `sliding = ratio full`, in floats, both cut to pages
/// of `page` tokens. `full_bytes` and `sliding_bytes` are KV bytes per token over all layers of the kind; `ratio` is
/// `swa_full_tokens_ratio`, 0.8 by default.
pub fn hybrid(budget: u64, full_bytes: u64, sliding_bytes: u64, ratio: f64, page: u64) -> Result<Hybrid, Refusal> {
    let each = full_bytes as f64 + ratio * sliding_bytes as f64;
    if !(ratio > 0.0 && ratio <= 1.0) {
        return Err(Refusal::Fraction(ratio));
    }
    if each == 0.0 || page == 0 {
        return Err(Refusal::Zero("bytes per token or the page"));
    }
    let cut = |tokens: f64| tokens as u64 / page * page;
    let full = cut(budget as f64 / each);
    Ok(Hybrid { full, sliding: cut(full as f64 * ratio) })
}

/// The budget of sizing after graph capture (0.5.23, `SGLANG_ENABLE_POST_CAPTURE_KV_SIZING`): what is free then, less
/// `(1 - f) A0`, and what already backs the pool. Bytes.
pub fn post_capture(free: u64, free_before_weights: u64, fraction: f64, backed: u64) -> u64 {
    let kept = free_before_weights as f64 / GIB as f64 * (1.0 - fraction) * GIB as f64;
    (free as f64 - kept + backed as f64).max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(release: Release) -> Sglang {
        Sglang {
            release,
            free_before_weights: 78 * GIB,
            free_after_weights: 63 * GIB,
            fraction: 0.88,
            reserved: 0,
            max_tokens: None,
            bytes_per_token: 57_344,
            page: 1,
        }
    }

    #[test]
    fn the_rule() {
        let size = given(Release::V0_5_5).size().unwrap();
        let wanted = 63.0 - 78.0 * (1.0 - 0.88);
        assert!((size.terms.budget as f64 / GIB as f64 - wanted).abs() < 1e-9);
        assert_eq!(size.tokens, (wanted * GIB as f64 / 57_344.0) as u64);
        assert_eq!(size.terms.sum(), i128::from(size.terms.pool));
        assert_eq!(size.allocated - size.terms.pool, 57_344);
        for release in [Release::V0_4, Release::V0_5_23] {
            assert_eq!(given(release).size().unwrap().tokens, size.tokens);
        }
    }

    /// Lost while loading it costs all, lost before only what the fraction takes of it.
    #[test]
    fn what_a_lost_byte_costs() {
        let of = |before: u64, after: u64| {
            let given = Sglang { free_before_weights: before, free_after_weights: after, ..given(Release::V0_5_5) };
            given.size().unwrap().terms.budget as f64 / GIB as f64
        };
        assert!((of(78 * GIB, 63 * GIB) - of(78 * GIB, 62 * GIB) - 1.0).abs() < 1e-9);
        assert!((of(78 * GIB, 63 * GIB) - of(77 * GIB, 62 * GIB) - 0.88).abs() < 1e-9);
    }

    #[test]
    fn caps_pages_and_reserves() {
        let user = Sglang { max_tokens: Some(1001), page: 64, ..given(Release::V0_5_5) }.size().unwrap();
        assert_eq!((user.tokens, user.terms.bound), (960, Bound::UserTokens));
        assert_eq!(user.allocated, (960 + 64) * 57_344);
        let of = |release| Sglang { reserved: GIB, ..given(release) }.size().unwrap().terms.budget;
        assert_eq!(of(Release::V0_5_5) - of(Release::V0_5_23), GIB);
        let nothing = Sglang { free_after_weights: GIB, ..given(Release::V0_5_5) }.size().unwrap();
        assert!(nothing.available < 0 && nothing.tokens == 0 && nothing.terms.budget == 0);
        assert!(Sglang { fraction: 1.0, ..given(Release::V0_4) }.size().is_err());
    }

    #[test]
    fn the_default_fraction() {
        let small = Defaults { capacity_mib: 24_564, chunked_prefill: 2048, graph_batch: 8, ranks: 1 };
        assert_eq!((small.reserved_mib(), small.fraction()), (3728.0, 0.848));
        let large = Defaults { capacity_mib: 81_559, chunked_prefill: 4096, graph_batch: 160, ranks: 1 };
        assert_eq!((large.reserved_mib(), large.fraction()), (10_240.0, 0.874));
        assert_eq!(Defaults { capacity_mib: 0, ..large }.fraction(), 0.88);
    }

    #[test]
    fn two_pools() {
        let found = hybrid(1_000_000, 10, 20, 0.8, 1).unwrap();
        assert_eq!(found, Hybrid { full: 38_461, sliding: 30_768 });
        assert_eq!(hybrid(1_000_000, 10, 20, 0.8, 64).unwrap(), Hybrid { full: 38_400, sliding: 30_720 });
        assert!(hybrid(1, 0, 0, 0.8, 1).is_err() && hybrid(1, 1, 1, 0.0, 1).is_err());
        assert_eq!(post_capture(10 * GIB, 20 * GIB, 0.75, GIB), 6 * GIB);
    }

    #[test]
    fn where_free_comes_from() {
        let gb10 = |release: Release| release.source(true, (12, 1));
        assert_eq!(gb10(Release::V0_4), Source::MemGetInfo);
        assert_eq!((gb10(Release::V0_5_5), gb10(Release::V0_5_23)), (Source::MemAvailable, Source::MemAvailable));
        assert_eq!(Release::V0_5_5.source(false, (9, 0)), Source::MemGetInfo);
    }

    #[test]
    fn the_fraction_is_found_again() {
        for release in [Release::V0_4, Release::V0_5_5, Release::V0_5_23] {
            let given = given(release);
            let pool = given.size().unwrap().terms.pool;
            let found = given.fractions(pool..=pool).unwrap();
            assert!(found.contain(0.88) && found.most - found.least < 1e-5, "{found:?}");
            let roughly = 1.0 - (63.0 - pool as f64 / GIB as f64) / 78.0;
            assert!((roughly - 0.88).abs() < 1e-5);
        }
    }
}
