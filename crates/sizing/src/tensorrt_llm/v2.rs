//! PyTorch backend, KV cache manager V2: a quota of bytes, mapped in chunks of equal size.
//!
//! Source: NVIDIA/TensorRT-LLM `tensorrt_llm/_torch/pyexecutor/kv_cache/kv_cache_manager_v2.py` at main 00043967, the
//! chunk in `cpp/tensorrt_llm` `storageManager` at 0657386b and 04b00fec. The budget is that of [`super::v1`].

use crate::float::Fractions;
use crate::terms::{Bound, Terms, product};
use crate::{GIB, MIB, Refusal};
use std::ops::RangeInclusive;

/// `max_util_for_resume`: how full the pool may be for a request to go on; tokens of the user are divided by it.
pub const DEFAULT_MAX_UTILIZATION: f64 = 0.95;

/// What the quota is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct V2 {
    /// `max_gpu_total_bytes`, the budget of the estimate (during the estimate itself `f` of free). Bytes.
    pub budget: u64,
    /// `max_tokens` of the user.
    pub max_tokens: Option<u64>,
    /// KV bytes of one token, above 0.
    pub bytes_per_token: u64,
    /// [`DEFAULT_MAX_UTILIZATION`] unless set; above 0 and at most 1.
    pub max_utilization: f64,
}

/// The quota and the most that is mapped of it. All sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct V2Size {
    /// "KV cache manager v2 device quota".
    pub quota: u64,
    /// "Allowed quota from max_tokens".
    pub from_tokens: Option<u64>,
    /// One `cuMemCreate`.
    pub chunk: u64,
    /// Whole chunks in the quota. Pools are mapped in whole chunks each, so that less may be mapped.
    pub chunks: u64,
    /// Tokens in the quota.
    pub tokens: u64,
    /// From budget to chunks; the pool is the most that can be mapped.
    pub terms: Terms,
}

impl V2 {
    /// The quota: `min(budget, ceil(bytes(max_tokens) / 0.95))`, the quotient a float.
    pub fn size(&self) -> Result<V2Size, Refusal> {
        if self.bytes_per_token == 0 {
            return Err(Refusal::Zero("bytes per token"));
        }
        if !(self.max_utilization > 0.0 && self.max_utilization <= 1.0) {
            return Err(Refusal::Fraction(self.max_utilization));
        }
        let from_tokens = match self.max_tokens {
            Some(tokens) => {
                let bytes = product(&[tokens, self.bytes_per_token])?;
                Some((bytes as f64 / self.max_utilization).ceil() as u64)
            }
            None => None,
        };
        let (quota, bound) = match from_tokens.filter(|quota| *quota < self.budget) {
            Some(quota) => (quota, Bound::UserTokens),
            None => (self.budget, Bound::FractionOfPeak),
        };
        let chunk = chunk(quota);
        let chunks = quota / chunk;
        let terms = Terms::of(self.budget, quota, chunks.saturating_mul(chunk), bound);
        Ok(V2Size { quota, from_tokens, chunk, chunks, tokens: quota / self.bytes_per_token, terms })
    }
}

/// Bytes of one chunk: 2 MiB times `2^clamp(floor(log2(quota / 1 GiB)), 0, 4)`.
pub fn chunk(quota: u64) -> u64 {
    let power = (quota / GIB).checked_ilog2().unwrap_or(0).min(4);
    (2 * MIB) << power
}

/// The fractions of `available` bytes (peak and temporary pool already settled) whose quota maps `mapped` bytes.
pub fn fractions(available: u64, mapped: RangeInclusive<u64>) -> Option<Fractions> {
    Fractions::explaining(mapped, |fraction| {
        let quota = crate::float::share_bytes(fraction, available.into());
        quota / chunk(quota) * chunk(quota)
    })
}

/// The tier of pinned host memory. All sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostTier {
    /// "host cache quota".
    pub bytes: u64,
    /// What decided.
    pub bound: HostBound,
}

/// What decided the host tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostBound {
    /// `host_cache_size` is set.
    User,
    /// As large as the device quota.
    Quota,
    /// Half of the free host pages, page cache not counted as free.
    FreePages,
    /// 0.8 of the soft limit of locked memory.
    LockLimit,
}

/// The host tier of recent V2: `host_cache_size` where set, else `min(quota, 0.5 free pages, 0.8 RLIMIT_MEMLOCK)`, the
/// products floats. `lock_limit` is `None` where it is infinite. Bytes.
pub fn host_tier(quota: u64, free_pages: u64, lock_limit: Option<u64>, host_cache_size: Option<u64>) -> HostTier {
    if let Some(bytes) = host_cache_size {
        return HostTier { bytes, bound: HostBound::User };
    }
    let mut tier = HostTier { bytes: quota, bound: HostBound::Quota };
    let share = |fraction: f64, bytes: u64| (fraction * bytes as f64) as u64;
    let others = [
        (Some(share(0.5, free_pages)), HostBound::FreePages),
        (lock_limit.map(|limit| share(0.8, limit)), HostBound::LockLimit),
    ];
    for (bytes, bound) in others {
        if let Some(bytes) = bytes.filter(|bytes| *bytes < tier.bytes) {
            tier = HostTier { bytes, bound };
        }
    }
    tier
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: V2 =
        V2 { budget: 40 * GIB, max_tokens: None, bytes_per_token: 57_344, max_utilization: DEFAULT_MAX_UTILIZATION };

    #[test]
    fn chunks_grow_with_the_quota() {
        let of = |gib: u64| chunk(gib * GIB) / MIB;
        assert_eq!((of(0), of(1), of(2), of(4), of(8)), (2, 2, 4, 8, 16));
        assert_eq!((of(16), of(100)), (32, 32));
        assert_eq!((chunk(16 * GIB - 1) / MIB, chunk(u64::MAX) / MIB), (16, 32));
    }

    #[test]
    fn the_quota() {
        let size = GIVEN.size().unwrap();
        assert_eq!((size.quota, size.chunks, size.terms.rounding), (40 * GIB, 1280, 0));
        let capped = V2 { max_tokens: Some(10_000), ..GIVEN }.size().unwrap();
        assert_eq!(capped.from_tokens, Some((573_440_000f64 / 0.95).ceil() as u64));
        assert_eq!((capped.quota, capped.chunk, capped.terms.bound), (603_621_053, 2 * MIB, Bound::UserTokens));
        assert!(capped.terms.pool <= capped.quota && capped.tokens > 10_000);
        assert!(V2 { max_utilization: 0.0, ..GIVEN }.size().is_err());
    }

    #[test]
    fn the_host_tier_asks_for_as_much_again() {
        let of = |pages, limit| host_tier(40 * GIB, pages, limit, None);
        assert_eq!(of(100 * GIB, None), HostTier { bytes: 40 * GIB, bound: HostBound::Quota });
        assert_eq!(of(60 * GIB, None), HostTier { bytes: 30 * GIB, bound: HostBound::FreePages });
        let container = of(100 * GIB, Some(8 << 20));
        assert_eq!(container, HostTier { bytes: 6_710_886, bound: HostBound::LockLimit });
        assert_eq!(host_tier(1, 1, None, Some(7)).bound, HostBound::User);
    }

    #[test]
    fn the_fraction_is_found_again() {
        let mapped = 36 * GIB;
        assert!(fractions(40 * GIB, mapped..=mapped).unwrap().contain(0.9));
    }
}
