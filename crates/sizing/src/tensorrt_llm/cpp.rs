//! The C++ executor: engines, the Triton backend, and the PyTorch backend where layers have different windows.
//!
//! Source: NVIDIA/TensorRT-LLM `cpp/tensorrt_llm/batch_manager/kvCacheManager.cpp` (`calculateFreeMemBytes`,
//! `calculateMaxNumBlocks`, `calculateWindowSizeToShare`) and `common/cudaUtils.h` (`getDeviceMemoryInfo`, 05316d33).
//! No forward is profiled. The fraction and the windows' shares are 32-bit floats, and so is what they are multiplied
//! with: at 64 GiB the primary budget moves in steps of 4 KiB. The rounding is reproduced.

use crate::Refusal;
use crate::float::Fractions;
use crate::terms::{Bound, Terms, product};
use std::ops::RangeInclusive;

/// What a query answered, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Total.
    pub total: u64,
    /// Free.
    pub free: u64,
}

impl Memory {
    /// What sysinfo(2) says: `totalram` and `freeram` (MemFree, not MemAvailable) in units of `unit` bytes.
    pub fn of_sysinfo(total: u64, free: u64, unit: u64) -> Result<Memory, Refusal> {
        Ok(Memory { total: product(&[total, unit])?, free: product(&[free, unit])? })
    }
}

/// Layers with one attention window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Tokens that attention reaches.
    pub tokens: u64,
    /// KV bytes of one token in these layers, above 0.
    pub bytes_per_token: u64,
}

/// What the size is made of. All sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cpp<'w> {
    /// The one query: sysinfo(2) with managed memory (`useUvm`), else cudaMemGetInfo.
    pub memory: Memory,
    /// Reserved but unused in the device's async memory pool.
    pub pool_free: u64,
    /// `freeGpuMemoryFraction`, below 1; 0.9 by default.
    pub fraction: f32,
    /// `maxTokens` of the user, for each window.
    pub max_tokens: Option<u64>,
    /// `hostCacheSize`.
    pub host_bytes: u64,
    /// Tokens of one block: 64 in older engines, 32 now.
    pub tokens_per_block: u64,
    /// The windows, the smallest first; ordinary models have one.
    pub windows: &'w [Window],
}

/// The blocks of one window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WindowSize {
    /// Share of the memory, 0 to 1.
    pub share: f32,
    /// Tokens before blocks are cut.
    pub token_target: u64,
    /// "primaryBlocks".
    pub blocks: u64,
    /// "secondayBlocks", in pinned host memory.
    pub host_blocks: u64,
    /// Bytes of the primary blocks.
    pub bytes: u64,
}

/// The size with what led to it.
#[derive(Debug, Clone, PartialEq)]
pub struct CppSize {
    /// "available" of the memory usage line: free and what the async pool holds unused. Bytes.
    pub available: u64,
    /// In the order of the windows.
    pub windows: Vec<WindowSize>,
    /// Over all windows. The budget is the primary memory; a pool exceeds it by less than a block for each window.
    pub terms: Terms,
}

impl Cpp<'_> {
    /// The pools.
    pub fn size(&self) -> Result<CppSize, Refusal> {
        if !(0.0..1.0).contains(&self.fraction) {
            return Err(Refusal::Fraction(self.fraction.into()));
        }
        if self.tokens_per_block == 0 {
            return Err(Refusal::Zero("tokens per block"));
        }
        let available = self.memory.free.checked_add(self.pool_free).ok_or(Refusal::Overflow)?;
        if available > self.memory.total {
            return Err(Refusal::FreeAboveTotal { free: available, total: self.memory.total });
        }
        let primary = (available as f32 * self.fraction) as u64;
        let (mut windows, mut pool, mut limit) = (Vec::new(), 0u64, i128::from(primary));
        let mut bound = Bound::FractionOfFree;
        for (window, share) in self.windows.iter().zip(shares(self.windows)?) {
            let held = (f64::from(primary as f32 * share) / window.bytes_per_token as f64) as u64;
            let token_target = held.min(self.max_tokens.unwrap_or(u64::MAX));
            if token_target < held {
                bound = Bound::UserTokens;
                limit -= i128::from(held - token_target) * i128::from(window.bytes_per_token);
            }
            let blocks = token_target.div_ceil(self.tokens_per_block);
            let bytes = product(&[blocks, self.tokens_per_block, window.bytes_per_token])?;
            pool = pool.checked_add(bytes).ok_or(Refusal::Overflow)?;
            let host = (self.host_bytes as f32 * share / window.bytes_per_token as f32) as i32;
            let host_blocks = host as u64 / self.tokens_per_block;
            windows.push(WindowSize { share, token_target, blocks, host_blocks, bytes });
        }
        let cap = limit - i128::from(primary);
        let terms = Terms { budget: primary, cap, rounding: i128::from(pool) - limit, pool, bound };
        Ok(CppSize { available, windows, terms })
    }

    /// The fractions, as 64-bit floats that are narrowed, that give `pool` bytes; `None` if none does.
    pub fn fractions(&self, pool: RangeInclusive<u64>) -> Option<Fractions> {
        Fractions::explaining(pool, |fraction| {
            let fraction = (fraction as f32).min(1.0f32.next_down());
            Cpp { fraction, ..*self }.size().map_or(0, |size| size.terms.pool)
        })
    }
}

/// Each window's share: `w b / sum(w b)`, in 32-bit floats summed in 64; 1 for a single window.
pub fn shares(windows: &[Window]) -> Result<Vec<f32>, Refusal> {
    if windows.iter().any(|window| window.bytes_per_token == 0 || window.tokens == 0) {
        return Err(Refusal::Zero("a window or its bytes per token"));
    }
    if windows.len() == 1 {
        return Ok(vec![1.0]);
    }
    let all: u64 = windows.iter().fold(0, |all, window| all.saturating_add(window.bytes_per_token));
    let weight = |window: &Window| window.bytes_per_token as f32 / all as f32 * window.tokens as f32;
    let sum: f64 = windows.iter().map(|window| f64::from(weight(window))).sum();
    Ok(windows.iter().map(|window| (f64::from(weight(window)) / sum) as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GIB;

    const ONE: [Window; 1] = [Window { tokens: 131_072, bytes_per_token: 262_144 }];

    fn sample() -> Cpp<'static> {
        let free = (70.48 * GIB as f64) as u64;
        Cpp {
            memory: Memory { total: 80 * GIB, free },
            pool_free: 0,
            fraction: 0.9,
            max_tokens: None,
            host_bytes: 0,
            tokens_per_block: 64,
            windows: &ONE,
        }
    }

    /// The sample of the project's own documentation.
    #[test]
    fn the_documented_sample() {
        let size = sample().size().unwrap();
        let window = size.windows[0];
        assert_eq!((window.blocks, window.blocks * 64), (4060, 259_840));
        assert_eq!(format!("{:.2}", window.bytes as f64 / GIB as f64), "63.44");
        assert!(size.terms.rounding > 0 && size.terms.rounding < 64 * 262_144);
        assert_eq!(size.terms.sum(), i128::from(size.terms.pool));
    }

    #[test]
    fn budgets_move_in_steps_of_a_short_float() {
        let at = |free| Cpp { memory: Memory { total: 80 * GIB, free }, ..sample() }.size().unwrap().terms.budget;
        assert_eq!(at(70 * GIB), at(70 * GIB + 1000));
        assert!(at(70 * GIB) < at(70 * GIB + 16_384));
    }

    #[test]
    fn the_caps_and_the_host() {
        let given = Cpp { max_tokens: Some(1000), host_bytes: 10 * GIB, ..sample() };
        let size = given.size().unwrap();
        assert_eq!((size.windows[0].blocks, size.terms.bound), (16, Bound::UserTokens));
        assert_eq!(size.windows[0].host_blocks, 640);
        assert_eq!(size.terms.sum(), i128::from(size.terms.pool));
        assert!(Cpp { fraction: 1.0, ..sample() }.size().is_err());
        assert!(Cpp { pool_free: 20 * GIB, ..sample() }.size().is_err());
        assert_eq!(Cpp { pool_free: GIB, ..sample() }.size().unwrap().available, sample().memory.free + GIB);
    }

    #[test]
    fn managed_memory_asks_the_kernel() {
        let memory = Memory::of_sysinfo(30_000_000, 5_000_000, 4096).unwrap();
        assert_eq!(memory, Memory { total: 122_880_000_000, free: 20_480_000_000 });
        assert_eq!(Memory::of_sysinfo(u64::MAX, 1, 2), Err(Refusal::Overflow));
    }

    /// The project's own test of the shares.
    #[test]
    fn shares_of_windows() {
        let window = |tokens, bytes_per_token| Window { tokens, bytes_per_token };
        let found = shares(&[window(1024, 1), window(4096, 1), window(8192, 1)]).unwrap();
        let whole = f64::from(1024 + 4096 + 8192);
        for (share, tokens) in found.iter().zip([1024.0, 4096.0, 8192.0]) {
            assert!((f64::from(*share) - tokens / whole).abs() < 1e-6);
        }
        // One layer of 1024, three of 4096, two of 8192.
        let found = shares(&[window(1024, 1), window(4096, 3), window(8192, 2)]).unwrap();
        let near = |share: f32, wanted: f32| (share - wanted).abs() < 1e-4;
        assert!(near(found[0], 0.0345) && near(found[1], 0.4138) && near(found[2], 0.5517), "{found:?}");
        assert!(shares(&[window(1, 0)]).is_err() && shares(&[]).unwrap().is_empty());
    }

    #[test]
    fn the_fraction_is_found_again() {
        let pool = sample().size().unwrap().terms.pool;
        let found = sample().fractions(pool..=pool).unwrap();
        assert!(found.contain(0.9f32.into()) && found.most - found.least < 0.001);
    }
}
