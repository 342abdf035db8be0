//! vLLM: a fraction of the whole device, less what is used beside the cache.
//!
//! Source: vllm-project/vllm `vllm/v1/worker/gpu_worker.py` (`determine_available_memory`), `v1/worker/utils.py`
//! (`request_memory`) and `utils/mem_utils.py` (`memory_profiling`; in 0.10 `utils/__init__.py`), wheels 0.10.2, 0.20.2
//! and 0.33.0. Up to 0.20 the requested memory is a Python float from which integers are taken before `int()`; from
//! 0.33 on it is rounded up to a byte first.

pub mod blocks;

use crate::Refusal;
use crate::float::Fractions;
use crate::terms::{Bound, Terms, product};
use std::ops::RangeInclusive;

/// Releases between which the rule differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// 0.10.2.
    V0_10,
    /// 0.20.2.
    V0_20,
    /// 0.33.0.
    V0_33,
}

impl Release {
    /// `gpu_memory_utilization` where the user sets none.
    pub fn default_utilization(self) -> f64 {
        match self {
            Release::V0_10 => 0.9,
            Release::V0_20 | Release::V0_33 => 0.92,
        }
    }

    /// Where "free" comes from. cudaMemGetInfo is asked in any case, for the total. Between 0.10.2 and 0.20.2 some
    /// releases looked at the compute capability (8.7, 11.0, 12.1) instead of the integrated attribute.
    pub fn source(self, integrated: bool) -> Source {
        if integrated && self != Release::V0_10 { Source::MemAvailable } else { Source::MemGetInfo }
    }
}

/// Where a runtime takes "free" from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// cudaMemGetInfo; on GB10 page cache counts as used.
    MemGetInfo,
    /// MemAvailable of /proc/meminfo; page cache counts as free.
    MemAvailable,
}

/// What a snapshot holds, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// Free, of the release's [`Source`].
    pub free: u64,
    /// Most that torch had allocated since the counter was reset.
    pub torch_peak: u64,
    /// What torch has allocated.
    pub torch_allocated: u64,
    /// What torch has reserved.
    pub torch_reserved: u64,
}

/// What the size is made of. All sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Vllm {
    /// Which rule.
    pub release: Release,
    /// Device total.
    pub total: u64,
    /// `gpu_memory_utilization`, above 0 and at most 1.
    pub utilization: f64,
    /// Bytes of the weights, as "Model loading took" has it. Used up to 0.20.
    pub weights: u64,
    /// At start-up, before the weights.
    pub at_init: Snapshot,
    /// Before the dummy forward; its `torch_peak` is used up to 0.20.
    pub before_profile: Snapshot,
    /// After the dummy forward.
    pub after_profile: Snapshot,
    /// The estimate for CUDA graphs; 0 in 0.10, or where it does not count
    /// (`VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS=0`).
    pub graphs: u64,
    /// `kv_cache_memory_bytes` of the user: replaces the rule. The runtime then takes no measure; what this crate tells
    /// beside the pool is what the rule would have said.
    pub own_bytes: Option<u64>,
    /// `num_gpu_blocks_override` of the user: replaces the blocks.
    pub own_blocks: Option<u64>,
    /// Bytes of one block over the layers of a group, above 0.
    pub bytes_per_block: u64,
}

/// The size with what led to it. All sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VllmSize {
    /// `u T`, rounded up.
    pub requested: u64,
    /// Up to 0.20: what is held outside torch's reserve, after less at start-up. From 0.33: what free memory lost from
    /// start-up to after the profile, whoever took it.
    pub consumed: i128,
    /// How far the dummy forward rose: up to 0.20 above the peak before it, from 0.33 above what stays allocated.
    pub transient: i128,
    /// All that is no cache: the two above, and up to 0.20 the weights.
    pub non_kv: i128,
    /// "Available KV cache memory"; 0 or less and the runtime ends.
    pub available: i128,
    /// Blocks, one of them reserved as the null block.
    pub blocks: u64,
    /// From budget to blocks.
    pub terms: Terms,
}

impl Vllm {
    /// `u T` as the runtime compares it: a float up to 0.20, whole bytes from 0.33 on.
    fn requested(&self) -> f64 {
        let requested = self.total as f64 * self.utilization;
        if self.release == Release::V0_33 { requested.ceil() } else { requested }
    }

    /// The pool.
    pub fn size(&self) -> Result<VllmSize, Refusal> {
        if !(self.utilization > 0.0 && self.utilization <= 1.0) {
            return Err(Refusal::Fraction(self.utilization));
        }
        if self.bytes_per_block == 0 {
            return Err(Refusal::Zero("bytes per block"));
        }
        let wide = |bytes: u64| i128::from(bytes);
        let (init, before, after) = (self.at_init, self.before_profile, self.after_profile);
        let requested = self.requested();
        if (init.free as f64) < requested {
            return Err(Refusal::Startup { free: init.free, requested: requested.ceil() as u64 });
        }
        if self.own_bytes.is_none() && after.free > init.free {
            return Err(Refusal::FreeRose(after.free - init.free));
        }
        let lost = wide(init.free) - wide(after.free);
        let (consumed, transient, weights) = match self.release {
            // Outside torch: (T - free) - reserved; the totals fall out of the difference.
            Release::V0_10 | Release::V0_20 => (
                lost - wide(after.torch_reserved) + wide(init.torch_reserved),
                wide(after.torch_peak) - wide(before.torch_peak),
                wide(self.weights),
            ),
            Release::V0_33 => (lost, wide(after.torch_peak) - wide(after.torch_allocated), 0),
        };
        let graphs = if self.release == Release::V0_10 { 0 } else { self.graphs };
        let non_kv = consumed + transient + weights;
        let available = (requested - non_kv as f64 - graphs as f64).trunc() as i128;
        let (budget, mut bound) = match self.own_bytes {
            Some(bytes) => (bytes, Bound::UserBytes),
            None => (available.clamp(0, u64::MAX.into()) as u64, Bound::FractionOfTotal),
        };
        let (mut blocks, mut capped) = (budget / self.bytes_per_block, budget);
        if let Some(own) = self.own_blocks {
            (blocks, bound) = (own, Bound::UserBlocks);
            capped = product(&[own, self.bytes_per_block])?;
        }
        let pool = product(&[blocks, self.bytes_per_block])?;
        let terms = Terms::of(budget, capped, pool, bound);
        Ok(VllmSize { requested: requested.ceil() as u64, consumed, transient, non_kv, available, blocks, terms })
    }

    /// The utilizations that give a pool of `pool` bytes; `None` if none does. Above the one that start-up allows
    /// there is none.
    pub fn utilizations(&self, pool: RangeInclusive<u64>) -> Option<Fractions> {
        // 0 itself is refused; what lies just above stands for it.
        let at = |utilization: f64| Vllm { utilization: utilization.max(f64::MIN_POSITIVE), ..*self }.size();
        let found = Fractions::explaining(pool, |utilization| match at(utilization) {
            Ok(size) => size.terms.pool,
            // Beyond what start-up allows: larger than any pool.
            Err(Refusal::Startup { .. }) => u64::MAX,
            Err(_) => 0,
        })?;
        at(found.least).is_ok().then_some(found)
    }

    /// What "Free memory on device (F/T GiB) on startup. Desired GPU memory utilization is (u, R GiB)" prints for R,
    /// in GiB.
    pub fn requested_gib(&self) -> f64 {
        self.requested() / crate::GIB as f64
    }
}

/// The highest utilization with which start-up succeeds where `free` bytes of `total` are free; `None` if none does.
pub fn most_utilization(release: Release, total: u64, free: u64) -> Option<f64> {
    let fits = |utilization: f64| {
        let requested = total as f64 * utilization;
        let requested = if release == Release::V0_33 { requested.ceil() } else { requested };
        u64::from(requested > free as f64)
    };
    Fractions::explaining(0..=0, fits).map(|fractions| fractions.most).filter(|most| *most > 0.0)
}

/// The layers of each pipeline rank: as even as possible, what is over goes to the ranks before the last, the nearest
/// first (`vllm/distributed/utils.py`, `get_pp_indices`). Empty for no ranks.
pub fn layers_by_rank(layers: u64, ranks: u64) -> impl Iterator<Item = u64> {
    let (each, over) = (layers.checked_div(ranks).unwrap_or(0), layers.checked_rem(ranks).unwrap_or(0));
    (0..ranks).map(move |rank| each + u64::from((1..=over).contains(&(ranks - 1 - rank))))
}

/// Whether 0.33 prefetches the weights, on network file systems only: where they are smaller than 0.9 of
/// `min(MemAvailable, memory.max - memory.current)`. The one place where it reads the control group's memory. Bytes;
/// `cgroup_left` is `None` without a limit.
pub fn prefetches(weights: u64, available: u64, cgroup_left: Option<u64>) -> bool {
    (weights as f64) < 0.9 * available.min(cgroup_left.unwrap_or(u64::MAX)) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GIB, MIB};

    fn given(release: Release) -> Vllm {
        Vllm {
            release,
            total: 80 * GIB,
            utilization: 0.9,
            weights: 15 * GIB,
            at_init: Snapshot { free: 79 * GIB, ..Snapshot::default() },
            before_profile: Snapshot { torch_peak: 15 * GIB, ..Snapshot::default() },
            after_profile: Snapshot {
                free: 61 * GIB,
                torch_peak: 17 * GIB,
                torch_allocated: 15 * GIB,
                torch_reserved: 16 * GIB,
            },
            graphs: 512 * MIB,
            own_bytes: None,
            own_blocks: None,
            bytes_per_block: 2 * MIB,
        }
    }

    #[test]
    fn each_release_takes_off_what_it_takes_off() {
        let of = |release| given(release).size().unwrap();
        // Outside torch grew by 2 GiB (18 lost, 16 of them torch's), the peak by 2.
        let old = of(Release::V0_10);
        assert_eq!((old.consumed, old.transient), (2 * i128::from(GIB), 2 * i128::from(GIB)));
        assert_eq!(old.available, i128::from(72 * GIB - 19 * GIB));
        assert_eq!(of(Release::V0_20).available, old.available - i128::from(512 * MIB));
        // Free fell by 18, and the forward rose by 2 above what stays.
        let new = of(Release::V0_33);
        assert_eq!((new.consumed, new.non_kv), (18 * i128::from(GIB), 20 * i128::from(GIB)));
        assert_eq!(new.available, i128::from(52 * GIB - 512 * MIB));
        assert_eq!((new.blocks, new.terms.rounding), (26_368, 0));
    }

    #[test]
    fn what_ends_the_runtime() {
        let start = Vllm { utilization: 0.99, ..given(Release::V0_33) }.size();
        assert!(matches!(start, Err(Refusal::Startup { free, .. }) if free == 79 * GIB), "{start:?}");
        let mut rose = given(Release::V0_33);
        rose.after_profile.free = rose.at_init.free + 5;
        assert_eq!(rose.size(), Err(Refusal::FreeRose(5)));
        assert_eq!(Vllm { own_bytes: Some(GIB), ..rose }.size().unwrap().terms.pool, GIB);
    }

    #[test]
    fn a_control_group_stops_the_prefetch() {
        assert!(prefetches(8, 10, None) && !prefetches(9, 10, None) && !prefetches(8, 10, Some(5)));
    }

    #[test]
    fn what_the_user_sets_replaces_the_rule() {
        let bytes = Vllm { own_bytes: Some(3 * MIB), ..given(Release::V0_33) }.size().unwrap();
        assert_eq!((bytes.blocks, bytes.terms.bound, bytes.terms.rounding), (1, Bound::UserBytes, -i128::from(MIB)));
        let blocks = Vllm { own_blocks: Some(7), ..given(Release::V0_10) }.size().unwrap();
        assert_eq!((blocks.terms.pool, blocks.terms.bound), (14 * MIB, Bound::UserBlocks));
        assert_eq!(blocks.terms.sum(), i128::from(14 * MIB));
    }

    /// On an integrated device only what is lost while profiling costs, and it costs in full.
    #[test]
    fn page_cache_before_start_up_is_neutral() {
        let size = |init: u64, after: u64| {
            let mut given = Vllm { utilization: 0.5, ..given(Release::V0_33) };
            (given.at_init.free, given.after_profile.free) = (init, after);
            given.size().unwrap().available
        };
        assert_eq!(size(79 * GIB, 61 * GIB), size(70 * GIB, 52 * GIB));
        assert_eq!(size(79 * GIB, 61 * GIB) - size(79 * GIB, 60 * GIB), i128::from(GIB));
        assert_eq!(Release::V0_33.source(true), Source::MemAvailable);
        assert_eq!(
            (Release::V0_10.source(true), Release::V0_33.source(false)),
            (Source::MemGetInfo, Source::MemGetInfo)
        );
        assert_eq!((Release::V0_10.default_utilization(), Release::V0_33.default_utilization()), (0.9, 0.92));
    }

    #[test]
    fn requested_rounds_up_only_in_0_33() {
        let odd = |release| Vllm {
            total: 1_000_000_007,
            at_init: Snapshot { free: 1_000_000_000, ..Snapshot::default() },
            after_profile: Snapshot { free: 1_000_000_000, ..Snapshot::default() },
            before_profile: Snapshot::default(),
            weights: 0,
            graphs: 0,
            bytes_per_block: 1,
            ..given(release)
        };
        assert_eq!(odd(Release::V0_20).size().unwrap().available, 900_000_006);
        assert_eq!(odd(Release::V0_33).size().unwrap().available, 900_000_007);
    }

    #[test]
    fn the_utilization_is_found_again() {
        for release in [Release::V0_10, Release::V0_20, Release::V0_33] {
            let pool = given(release).size().unwrap().terms.pool;
            let found = given(release).utilizations(pool..=pool).unwrap();
            assert!(found.contain(0.9) && found.most - found.least < 1e-4, "{found:?}");
        }
        let most = most_utilization(Release::V0_33, 80 * GIB, 79 * GIB).unwrap();
        assert!(Vllm { utilization: most, ..given(Release::V0_33) }.size().is_ok());
        assert!(Vllm { utilization: most.next_up(), ..given(Release::V0_33) }.size().is_err());
        let none = 79 * GIB;
        assert_eq!(given(Release::V0_33).utilizations(none..=none), None);
    }

    #[test]
    fn the_last_rank_has_the_fewest_layers() {
        assert_eq!(layers_by_rank(61, 4).collect::<Vec<_>>(), [15, 15, 16, 15]);
        assert_eq!(layers_by_rank(7, 4).collect::<Vec<_>>(), [2, 2, 2, 1]);
        assert_eq!(layers_by_rank(80, 4).collect::<Vec<_>>(), [20; 4]);
    }
}
