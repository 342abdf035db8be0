//! A model as far as its KV cache goes, and the bytes that a token takes on one rank.
//!
//! Source: the configurations of Hugging Face models as TensorRT-LLM, vLLM and SGLang read them. Sliding-window layers
//! hold every token where a runtime does not exploit the window (TensorRT-LLM 1.1.0rc3 for gpt-oss-120b); recurrent
//! layers (Mamba, linear attention) cost nothing per token but a fixed state per request, which is not counted here,
//! nor are layers that only speculative decoding uses.

#[cfg(feature = "config")]
mod config;
#[cfg(feature = "config")]
mod layers;

use crate::Refusal;
use crate::element::Element;
use crate::kv_bytes::HeadSplit;
use crate::terms::product;
use std::ops::Range;

/// What a layer caches for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attention {
    /// K and V of each KV head.
    Heads {
        /// KV heads of the whole model, at least 1.
        kv_heads: u64,
        /// Elements of a head, at least 1.
        head_dim: u64,
    },
    /// One compressed vector, the same on every tensor-parallel rank.
    Latent {
        /// `kv_lora_rank`.
        rank: u64,
        /// `qk_rope_head_dim`.
        rope: u64,
    },
}

/// Which tokens a layer keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// All.
    Full,
    /// The last so many.
    Sliding(u64),
    /// None, but a state per request.
    Recurrent,
    /// Nothing at all.
    Stateless,
}

/// A model's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelConfig {
    /// `model_type`, if given.
    pub kind: Option<String>,
    /// What attention layers cache.
    pub attention: Attention,
    /// Query heads, if given; they bound useful tensor parallelism.
    pub query_heads: Option<u64>,
    /// One for each layer.
    pub layers: Vec<Layer>,
    /// Type of the weights (`torch_dtype`): the cache's where nothing else is set.
    pub dtype: Option<Element>,
    /// Type that the checkpoint's quantisation asks for the cache.
    pub cache_dtype: Option<Element>,
    /// `max_position_embeddings`, tokens.
    pub context: Option<u64>,
}

/// Where and how the cache is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Tensor-parallel ranks, at least 1; 1 with attention data parallelism.
    pub tensor_parallel: u64,
    /// How heads are divided among them.
    pub split: HeadSplit,
    /// The layers of this pipeline rank; `None` for all.
    pub layers: Option<Range<usize>>,
    /// Type of the cache.
    pub element: Element,
}

impl Place {
    /// One rank with all layers.
    pub fn whole(element: Element) -> Place {
        Place { tensor_parallel: 1, split: HeadSplit::Ceil, layers: None, element }
    }
}

/// The cache of one rank, per token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvSize {
    /// Layers that keep all tokens.
    pub full_layers: u64,
    /// Layers that keep a window.
    pub sliding_layers: u64,
    /// Layers with a fixed state per request, whose bytes are not counted.
    pub recurrent_layers: u64,
    /// The largest window of the sliding layers, tokens; 0 without.
    pub window: u64,
    /// Bytes of a token in one attention layer.
    pub layer_bytes: u64,
    /// Bytes of a token in all full layers.
    pub full_bytes: u64,
    /// Bytes of a token in all sliding layers.
    pub sliding_bytes: u64,
    /// Bytes of a token while every attention layer keeps it.
    pub bytes_per_token: u64,
}

impl ModelConfig {
    /// The cache of one rank.
    pub fn kv(&self, place: &Place) -> Result<KvSize, Refusal> {
        if place.tensor_parallel == 0 {
            return Err(Refusal::Zero("the number of tensor-parallel ranks"));
        }
        let range = place.layers.clone().unwrap_or(0..self.layers.len());
        let layers = self.layers.get(range).ok_or(Refusal::Missing("a layer of the rank"))?;
        let each = match self.attention {
            Attention::Heads { kv_heads, head_dim } => {
                place.split.elements(kv_heads, head_dim, place.tensor_parallel).checked_mul(2)
            }
            Attention::Latent { rank, rope } => rank.checked_add(rope),
        };
        let each = each.ok_or(Refusal::Overflow)?;
        let bytes = |layers: u64| Ok(place.element.bytes(product(&[each, layers])?));
        let count = |wanted: fn(&Layer) -> bool| layers.iter().filter(|layer| wanted(layer)).count() as u64;
        let full_layers = count(|layer| matches!(layer, Layer::Full));
        let sliding_layers = count(|layer| matches!(layer, Layer::Sliding(_)));
        let windows = layers.iter().map(|layer| if let Layer::Sliding(window) = layer { *window } else { 0 });
        Ok(KvSize {
            full_layers,
            sliding_layers,
            recurrent_layers: count(|layer| matches!(layer, Layer::Recurrent)),
            window: windows.max().unwrap_or(0),
            layer_bytes: bytes(1)?,
            full_bytes: bytes(full_layers)?,
            sliding_bytes: bytes(sliding_layers)?,
            bytes_per_token: bytes(full_layers + sliding_layers)?,
        })
    }

    /// The pipeline ranks' layers, for the counts of a runtime ([`crate::tensorrt_llm::layers_by_rank`],
    /// [`crate::vllm::layers_by_rank`]); `None` unless they sum to the layers.
    pub fn stages(&self, counts: impl IntoIterator<Item = u64>) -> Option<Vec<Range<usize>>> {
        let (mut stages, mut from) = (Vec::new(), 0usize);
        for count in counts {
            let to = from.checked_add(usize::try_from(count).ok()?)?;
            if to > self.layers.len() {
                return None;
            }
            stages.push(from..to);
            from = to;
        }
        (from == self.layers.len()).then_some(stages)
    }
}

impl KvSize {
    /// Bytes of a block of `tokens_per_block` tokens in every attention layer.
    pub fn bytes_per_block(&self, tokens_per_block: u64) -> Result<u64, Refusal> {
        product(&[self.bytes_per_token, tokens_per_block])
    }

    /// Bytes of a request of `context` tokens where windows are exploited; without windows also where they are not.
    pub fn request_bytes(&self, context: u64) -> Result<u64, Refusal> {
        let full = product(&[self.full_bytes, context])?;
        let sliding = product(&[self.sliding_bytes, context.min(self.window)])?;
        full.checked_add(sliding).ok_or(Refusal::Overflow)
    }
}

/// Requests of `context` tokens that fit in a pool at once where each takes whole blocks and no two share one. 0 where
/// the context or a block has no tokens.
pub fn requests(pool_tokens: u64, context: u64, tokens_per_block: u64) -> u64 {
    let blocks = pool_tokens.checked_div(tokens_per_block).unwrap_or(0);
    let each = if tokens_per_block == 0 { 0 } else { context.div_ceil(tokens_per_block) };
    blocks.checked_div(each).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deepseek_v3() -> ModelConfig {
        ModelConfig {
            kind: None,
            attention: Attention::Latent { rank: 512, rope: 64 },
            query_heads: Some(128),
            layers: vec![Layer::Full; 61],
            dtype: Some(Element::Bf16),
            cache_dtype: None,
            context: Some(163_840),
        }
    }

    #[test]
    fn latent_attention_is_not_divided() {
        let place = Place { tensor_parallel: 8, ..Place::whole(Element::Fp8) };
        assert_eq!(deepseek_v3().kv(&place).unwrap().bytes_per_token, 35_136);
        let stages = deepseek_v3().stages(crate::tensorrt_llm::layers_by_rank(61, 4)).unwrap();
        let kv = deepseek_v3().kv(&Place { layers: Some(stages[3].clone()), ..place.clone() }).unwrap();
        assert_eq!((stages[3].clone(), kv.bytes_per_token), (46..61, 15 * 576));
        assert_eq!(deepseek_v3().stages([60]), None);
        assert_eq!(deepseek_v3().stages([60, 2]), None);
        assert!(deepseek_v3().kv(&Place { layers: Some(60..62), ..place }).is_err());
    }

    #[test]
    fn requests_take_whole_blocks() {
        assert_eq!(
            (requests(86_720, 8192, 32), requests(86_720, 33, 32), requests(86_720, 131_072, 32)),
            (10, 1355, 0)
        );
        assert_eq!((requests(1, 1, 0), requests(1, 0, 1)), (0, 0));
    }

    #[test]
    fn kinds_of_layers_count_apart() {
        let model = ModelConfig {
            attention: Attention::Heads { kv_heads: 8, head_dim: 64 },
            layers: [Layer::Sliding(128), Layer::Full, Layer::Recurrent, Layer::Stateless].repeat(9),
            ..deepseek_v3()
        };
        let kv = model.kv(&Place::whole(Element::Bf16)).unwrap();
        assert_eq!((kv.full_layers, kv.sliding_layers, kv.recurrent_layers, kv.window), (9, 9, 9, 128));
        assert_eq!((kv.layer_bytes, kv.bytes_per_token), (2048, 18 * 2048));
        assert_eq!(kv.request_bytes(1000), Ok(9 * 2048 * 1128));
        assert_eq!(kv.bytes_per_block(32), Ok(32 * 18 * 2048));
        assert_eq!(kv.bytes_per_block(u64::MAX), Err(Refusal::Overflow));
    }
}
