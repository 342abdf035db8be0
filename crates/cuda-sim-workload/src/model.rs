//! Models: the shapes that decide KV bytes per token, and how large their weights are.

use clap::ValueEnum;
use kvtrace_sizing::kv_bytes::Heads;

/// A model that the workload pretends to serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Model {
    /// DeepSeek-R1-Distill-Qwen-7B, bf16: 14.2 GiB of weights, 57344 KV bytes per token.
    #[value(name = "deepseek-7b")]
    Deepseek7b,
    /// gpt-oss-120b: 63.5 GiB of weights, 73728 KV bytes per token.
    #[value(name = "gpt-oss-120b")]
    GptOss120b,
    /// Qwen2.5-72B with fp8 weights (bf16 fits no single GB10) and bf16 KV: 67.7 GiB, 327680 KV bytes per token.
    #[value(name = "qwen2.5-72b")]
    Qwen25_72b,
    /// No real model: 64 MiB of weights and 2048 KV bytes per token, for tests.
    Tiny,
}

/// bf16.
const ELEMENT: u64 = 2;

impl Model {
    /// KV bytes of one token on one of `ranks` tensor-parallel ranks.
    pub fn bytes_per_token(self, ranks: u64) -> u64 {
        let layers = self.layers();
        let heads = |kv_heads, head_dim| Heads { layers, kv_heads, head_dim, tensor_parallel: ranks };
        match self {
            Model::Deepseek7b => heads(4, 128),
            Model::GptOss120b => heads(8, 64),
            Model::Qwen25_72b => heads(8, 128),
            Model::Tiny => heads(2, 64),
        }
        .bytes_per_token(ELEMENT)
    }

    /// Layers that have a KV cache.
    pub fn layers(self) -> u64 {
        match self {
            Model::Deepseek7b => 28,
            Model::GptOss120b => 36,
            Model::Qwen25_72b => 80,
            Model::Tiny => 4,
        }
    }

    /// Bytes of all weights: parameters times bytes per parameter; for gpt-oss-120b what a public log gives (63.52 GiB).
    pub fn weights(self) -> u64 {
        match self {
            Model::Deepseek7b => 7_615_616_512 * 2,
            Model::GptOss120b => 68_204_080_660,
            Model::Qwen25_72b => 72_706_203_648,
            Model::Tiny => 64 << 20,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kvtrace_sizing::GIB;

    #[test]
    fn bytes_per_token() {
        let of = |ranks| Model::value_variants().iter().map(|model| model.bytes_per_token(ranks)).collect::<Vec<_>>();
        assert_eq!(of(1), [57_344, 73_728, 327_680, 2048]);
        assert_eq!(of(2), [28_672, 36_864, 163_840, 1024]);
    }

    #[test]
    fn the_weights_of_the_public_log() {
        assert_eq!(format!("{:.2}", Model::GptOss120b.weights() as f64 / GIB as f64), "63.52");
    }
}
