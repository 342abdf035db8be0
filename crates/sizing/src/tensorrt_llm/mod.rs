//! TensorRT-LLM: the PyTorch backend with KV cache manager V1 and V2, and the C++ executor.
//!
//! Releases up to about 1.2 pass the fraction through a 32-bit float (see [`crate::float::narrowed`]).

mod budget;
pub mod cpp;
pub mod temporary;
pub mod v1;
pub mod v2;

pub use crate::float::share;
pub use crate::terms::Bound;
pub use budget::{Budget, budget_from_peak, solve_transient, transient_from_peak};
pub use v1::{Blocks, Pool, final_pool};

/// Tokens of one block; 64 with FlashMLA and in old engines.
pub const TOKENS_PER_BLOCK: u64 = 32;

/// The layers of each pipeline rank: as even as possible, the first ranks take what is over
/// (`Mapping.pp_layers_torch`, that is `torch.tensor_split`; main at 00043967). Empty for no ranks.
pub fn layers_by_rank(layers: u64, ranks: u64) -> impl Iterator<Item = u64> {
    let (each, over) = (layers.checked_div(ranks).unwrap_or(0), layers.checked_rem(ranks).unwrap_or(0));
    (0..ranks).map(move |rank| each + u64::from(rank < over))
}

/// Whether all shards of a checkpoint are read in full before they are loaded, which fills the page cache with them:
/// where they are smaller than 0.9 of MemAvailable, a float (the checkpoint loader of 1.x). Bytes.
pub fn prefetches(checkpoint: u64, available: u64) -> bool {
    (checkpoint as f64) < 0.9 * available as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_that_fits_is_read_at_once() {
        assert!(prefetches(63 << 30, 100 << 30) && !prefetches(63 << 30, 70 << 30));
    }

    #[test]
    fn the_first_ranks_take_what_is_over() {
        assert_eq!(layers_by_rank(61, 4).collect::<Vec<_>>(), [16, 15, 15, 15]);
        assert_eq!(layers_by_rank(5, 0).count(), 0);
    }
}
