//! KV-cache bytes per token of a model.
//!
//! Source: the allocation code of TensorRT-LLM 1.1.0rc3; vLLM and SGLang agree where heads divide evenly.

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
        self.elements() * element
    }

    /// Bytes per token with NVFP4: half a byte per element and one fp8 scale per 16 elements.
    pub fn bytes_per_token_nvfp4(&self) -> u64 {
        self.elements().div_ceil(2) + self.elements().div_ceil(16)
    }

    /// TensorRT-LLM rounds the heads of a rank up, so that more ranks than heads hold copies.
    fn elements(&self) -> u64 {
        2 * self.layers * self.kv_heads.div_ceil(self.tensor_parallel.max(1)) * self.head_dim
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
        self.layers * (self.kv_lora_rank + self.rope_dim) * element
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEEPSEEK_7B: Heads = Heads { layers: 28, kv_heads: 4, head_dim: 128, tensor_parallel: 1 };
    const QWEN_72B: Heads = Heads { layers: 80, kv_heads: 8, head_dim: 128, tensor_parallel: 1 };
    const GPT_OSS_120B: Heads = Heads { layers: 36, kv_heads: 8, head_dim: 64, tensor_parallel: 1 };

    #[test]
    fn the_models_of_the_public_table() {
        assert_eq!(DEEPSEEK_7B.bytes_per_token(2), 57_344);
        assert_eq!(QWEN_72B.bytes_per_token(2), 327_680);
        assert_eq!(GPT_OSS_120B.bytes_per_token(2), 73_728, "logged by TensorRT-LLM as kv size");
        assert_eq!(DEEPSEEK_7B.bytes_per_token_nvfp4(), 16_128);
    }

    #[test]
    fn more_ranks_than_heads_hold_copies() {
        assert_eq!(Heads { tensor_parallel: 16, ..QWEN_72B }.bytes_per_token(2), 327_680 / 8);
        assert_eq!(Heads { tensor_parallel: 4, ..QWEN_72B }.bytes_per_token(2), 327_680 / 4);
    }

    #[test]
    fn latent_attention_as_logged_for_deepseek_v3() {
        let v3 = Latent { layers: 61, kv_lora_rank: 512, rope_dim: 64 };
        assert_eq!((v3.bytes_per_token(1), v3.bytes_per_token(2)), (35_136, 70_272));
    }
}
