//! KV-cache bytes per token of layers that are alike; [`crate::model`] does it for a whole configuration.
//!
//! Source: the allocation code of TensorRT-LLM 1.1.0rc3; vLLM and SGLang agree where heads divide evenly. Figures that
//! would be larger than 2^64 - 1 stay there.

use crate::element::Element;

/// How the KV heads of a model are divided among tensor-parallel ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadSplit {
    /// TensorRT-LLM's allocation: `ceil(heads / ranks)`. Attention data parallelism counts as one rank.
    Ceil,
    /// vLLM and SGLang: `max(1, floor(heads / ranks))`.
    Floor,
    /// TensorRT-LLM's estimate: elements, not heads, are divided, so that with more ranks than heads it is too small.
    Estimate,
}

impl HeadSplit {
    /// Elements of K (or V) of one layer on one rank. No ranks count as one.
    pub fn elements(self, kv_heads: u64, head_dim: u64, ranks: u64) -> u64 {
        let ranks = ranks.max(1);
        match self {
            HeadSplit::Ceil => kv_heads.div_ceil(ranks).saturating_mul(head_dim),
            HeadSplit::Floor => (kv_heads / ranks).max(1).saturating_mul(head_dim),
            HeadSplit::Estimate => kv_heads.saturating_mul(head_dim) / ranks,
        }
    }
}

/// Attention with one K and one V vector per KV head: multi-head, grouped-query and multi-query attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// Layers on this rank, at least 1.
    pub layers: u64,
    /// KV heads of the whole model, at least 1.
    pub kv_heads: u64,
    /// Elements per head, at least 1.
    pub head_dim: u64,
    /// Tensor-parallel ranks that share the heads, at least 1.
    pub tensor_parallel: u64,
}

impl Heads {
    /// Bytes per token on one rank, for elements of `element` bytes (2 for fp16 and bf16, 1 for fp8): `2 L h d s`.
    pub fn bytes_per_token(&self, element: u64) -> u64 {
        self.elements().saturating_mul(element)
    }

    /// Bytes per token with NVFP4: half a byte per element and one fp8 scale per 16 elements.
    pub fn bytes_per_token_nvfp4(&self) -> u64 {
        Element::Nvfp4.bytes(self.elements())
    }

    /// TensorRT-LLM rounds the heads of a rank up, so that more ranks than heads hold copies.
    fn elements(&self) -> u64 {
        let each = HeadSplit::Ceil.elements(self.kv_heads, self.head_dim, self.tensor_parallel);
        each.saturating_mul(2).saturating_mul(self.layers)
    }
}

/// Multi-head latent attention: one compressed vector per layer, the same on every tensor-parallel rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latent {
    /// Layers on this rank, at least 1.
    pub layers: u64,
    /// `kv_lora_rank` of the model's configuration.
    pub kv_lora_rank: u64,
    /// `qk_rope_head_dim` of the model's configuration.
    pub rope_dim: u64,
}

impl Latent {
    /// Bytes per token for elements of `element` bytes: `L (rank + rope) s`.
    pub fn bytes_per_token(&self, element: u64) -> u64 {
        let each = self.kv_lora_rank.saturating_add(self.rope_dim);
        self.layers.saturating_mul(each).saturating_mul(element)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEEPSEEK_7B: Heads = Heads { layers: 28, kv_heads: 4, head_dim: 128, tensor_parallel: 1 };
    const QWEN_72B: Heads = Heads { layers: 80, kv_heads: 8, head_dim: 128, tensor_parallel: 1 };
    const GPT_OSS_120B: Heads = Heads { layers: 36, kv_heads: 8, head_dim: 64, tensor_parallel: 1 };

    /// Model, bytes in bf16, fp8 and NVFP4, a block of 32 in bf16, and the tokens that 44.31 GiB hold in bf16.
    #[test]
    fn the_models_of_the_public_table() {
        let table = [
            (DEEPSEEK_7B, 57_344, 28_672, 16_128, 1_835_008, 829_685),
            (QWEN_72B, 327_680, 163_840, 92_160, 10 << 20, 145_195),
            (GPT_OSS_120B, 73_728, 36_864, 20_736, 2_359_296, 645_311),
        ];
        for (model, bf16, fp8, nvfp4, block, tokens) in table {
            assert_eq!(bf16 * 32, block);
            let found = (model.bytes_per_token(2), model.bytes_per_token(1), model.bytes_per_token_nvfp4());
            assert_eq!(found, (bf16, fp8, nvfp4));
            assert_eq!((44.31 * crate::GIB as f64) as u64 / bf16, tokens);
        }
    }

    #[test]
    fn more_ranks_than_heads_hold_copies() {
        assert_eq!(Heads { tensor_parallel: 16, ..QWEN_72B }.bytes_per_token(2), 327_680 / 8);
        assert_eq!(Heads { tensor_parallel: 4, ..QWEN_72B }.bytes_per_token(2), 327_680 / 4);
    }

    #[test]
    fn splits_disagree_where_heads_do_not_divide() {
        let of = |split: HeadSplit, ranks| split.elements(8, 128, ranks);
        assert_eq!((of(HeadSplit::Ceil, 16), of(HeadSplit::Floor, 16), of(HeadSplit::Estimate, 16)), (128, 128, 64));
        assert_eq!((of(HeadSplit::Ceil, 3), of(HeadSplit::Floor, 3), of(HeadSplit::Estimate, 3)), (384, 256, 341));
        assert_eq!(of(HeadSplit::Ceil, 0), 1024);
    }

    #[test]
    fn latent_attention_as_logged_for_deepseek_v3() {
        let v3 = Latent { layers: 61, kv_lora_rank: 512, rope_dim: 64 };
        assert_eq!((v3.bytes_per_token(1), v3.bytes_per_token(2)), (35_136, 70_272));
    }
}
