//! vLLM's blocks: how layers share them, how many a request needs, and the tokens that the log prints.
//!
//! Source: vllm-project/vllm `vllm/v1/core/kv_cache_utils.py` (0.33: `kv_cache_planning.py`) and
//! `v1/kv_cache_interface.py`, wheels 0.10.2, 0.20.2 and 0.33.0.

use super::Release;
use crate::Refusal;
use crate::terms::product;

/// Tokens of one block unless the attention backend asks otherwise.
pub const BLOCK_SIZE: u64 = 16;

/// A group of layers that share block tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Every token stays.
    Full,
    /// Only the last so many tokens are needed.
    Sliding {
        /// Tokens of the window.
        window: u64,
    },
}

/// The layers of one group where kinds of layers have the counts `kinds`: the smallest count; or the largest, where it
/// is below `tolerance` times the smallest (none in 0.10, 1.25 in late 2025, 1.5 in 2026). `None` without layers.
pub fn layers_per_group(kinds: &[u64], tolerance: Option<f64>) -> Option<u64> {
    let counts = || kinds.iter().copied().filter(|count| *count > 0);
    let (least, most) = (counts().min()?, counts().max()?);
    let near = tolerance.is_some_and(|tolerance| (most as f64) < least as f64 * tolerance);
    Some(if near { most } else { least })
}

/// Groups that layers of the counts `kinds` make, each started one whole.
pub fn groups(kinds: &[u64], layers_per_group: u64) -> Result<u64, Refusal> {
    if layers_per_group == 0 {
        return Err(Refusal::Zero("layers per group"));
    }
    Ok(kinds.iter().fold(0, |groups: u64, count| groups.saturating_add(count.div_ceil(layers_per_group))))
}

/// Bytes of a block of one group: its layers times the page of one layer.
pub fn bytes_per_block(layers_per_group: u64, block_size: u64, layer_bytes_per_token: u64) -> Result<u64, Refusal> {
    product(&[layers_per_group, block_size, layer_bytes_per_token])
}

/// What a request of the full context needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// `max_model_len`, above 0.
    pub max_model_len: u64,
    /// `max_num_batched_tokens`.
    pub max_batched_tokens: u64,
    /// Tokens of one block, above 0; 16 unless the attention backend asks otherwise.
    pub block_size: u64,
}

impl Context {
    /// Blocks of one request in one group; in a sliding one at most
    /// `ceil((w - 1 + max_num_batched_tokens) / block) + 1`.
    pub fn blocks(&self, group: Group) -> Result<u64, Refusal> {
        if self.block_size == 0 {
            return Err(Refusal::Zero("the block size"));
        }
        Ok(match group {
            Group::Full => self.max_model_len.div_ceil(self.block_size),
            Group::Sliding { window } => {
                let tokens = window.saturating_sub(1).saturating_add(self.max_batched_tokens).min(self.max_model_len);
                tokens.div_ceil(self.block_size).saturating_add(1)
            }
        })
    }

    /// "Maximum concurrency": requests of the full context that fit, a float.
    pub fn concurrency(&self, blocks: u64, groups: &[Group]) -> Result<f64, Refusal> {
        let mut needed = 0u64;
        for group in groups {
            needed = needed.saturating_add(self.blocks(*group)?);
        }
        if needed == 0 {
            return Err(Refusal::Zero("the blocks of a request"));
        }
        Ok(blocks as f64 / needed as f64)
    }

    /// "GPU KV cache size" in tokens. 0.10: `n // groups * block_size`. Later: what so many requests of the full
    /// context hold, so that with sliding windows bytes divided by tokens are no bytes per token.
    pub fn tokens(&self, release: Release, blocks: u64, groups: &[Group]) -> Result<u64, Refusal> {
        if release == Release::V0_10 {
            let each = blocks.checked_div(groups.len() as u64).ok_or(Refusal::Zero("the number of groups"))?;
            return product(&[each, self.block_size]);
        }
        Ok((self.concurrency(blocks, groups)? * self.max_model_len as f64) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEXT: Context = Context { max_model_len: 131_072, max_batched_tokens: 8192, block_size: 16 };
    const SLIDING: Group = Group::Sliding { window: 128 };

    /// gpt-oss-120b: 18 full layers and 18 of window 128, 2048 bytes per token and layer in bf16.
    #[test]
    fn gpt_oss_makes_two_groups() {
        let layers = layers_per_group(&[18, 18], Some(1.5)).unwrap();
        assert_eq!((layers, groups(&[18, 18], layers)), (18, Ok(2)));
        let block = bytes_per_block(layers, 16, 2 * 8 * 64 * 2).unwrap();
        assert_eq!(block, 16 * 36_864);
        assert_eq!((CONTEXT.blocks(Group::Full), CONTEXT.blocks(SLIDING)), (Ok(8192), Ok(521)));
        // With a longer context the sliding group's blocks vanish: 36864 bytes per token.
        let blocks = 1_000_000;
        let long = Context { max_model_len: 1 << 40, ..CONTEXT };
        let tokens = long.tokens(Release::V0_33, blocks, &[Group::Full, SLIDING]).unwrap();
        let per_token = (blocks * block) as f64 / tokens as f64;
        assert!((per_token - 36_864.0).abs() < 1.0, "{per_token}");
    }

    #[test]
    fn tokens_of_each_release() {
        assert_eq!(CONTEXT.tokens(Release::V0_10, 1001, &[Group::Full]), Ok(16_016));
        assert_eq!(CONTEXT.tokens(Release::V0_10, 1001, &[Group::Full, SLIDING]), Ok(8000));
        assert_eq!(CONTEXT.tokens(Release::V0_20, 1001, &[Group::Full]), Ok(16_016));
        assert_eq!(CONTEXT.concurrency(8192, &[Group::Full]), Ok(1.0));
        assert!(CONTEXT.tokens(Release::V0_10, 1, &[]).is_err() && CONTEXT.concurrency(1, &[]).is_err());
    }

    #[test]
    fn groups_of_uneven_kinds() {
        assert_eq!((layers_per_group(&[10, 52], Some(1.5)), groups(&[10, 52], 10)), (Some(10), Ok(7)));
        assert_eq!((layers_per_group(&[13, 12], Some(1.25)), layers_per_group(&[13, 12], None)), (Some(13), Some(12)));
        assert_eq!((layers_per_group(&[0, 30], None), layers_per_group(&[], None)), (Some(30), None));
        assert!(groups(&[1], 0).is_err());
    }
}
