//! Elements of a KV cache and the bytes that they take.

/// Type of a cached element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// 32-bit float.
    Fp32,
    /// 16-bit float.
    Fp16,
    /// bfloat16.
    Bf16,
    /// 8-bit float, with one scale for a tensor or none.
    Fp8,
    /// 8-bit integer.
    Int8,
    /// 4-bit float with one fp8 scale per 16 elements: 0.5625 bytes.
    Nvfp4,
}

impl Element {
    /// Bytes of `elements`, at most 2^64 - 1. NVFP4 as TensorRT-LLM counts it, `ceil(e / 2) + ceil(e / 16)`; where 16
    /// divides the head size, vLLM's count per head is the same.
    pub fn bytes(self, elements: u64) -> u64 {
        match self {
            Element::Fp32 => elements.saturating_mul(4),
            Element::Fp16 | Element::Bf16 => elements.saturating_mul(2),
            Element::Fp8 | Element::Int8 => elements,
            Element::Nvfp4 => elements.div_ceil(2).saturating_add(elements.div_ceil(16)),
        }
    }

    /// The type of a name as configurations and command lines have it, in any case; `None` for others.
    pub fn named(name: &str) -> Option<Element> {
        let name = name.strip_prefix("torch.").unwrap_or(name).to_ascii_lowercase();
        Some(match name.as_str() {
            "float32" | "fp32" | "float" => Element::Fp32,
            "float16" | "fp16" | "half" => Element::Fp16,
            "bfloat16" | "bf16" => Element::Bf16,
            "fp8" | "fp8_e4m3" | "fp8_e5m2" | "float8_e4m3fn" | "float8_e5m2" => Element::Fp8,
            "int8" => Element::Int8,
            "nvfp4" => Element::Nvfp4,
            _ => return None,
        })
    }
}

/// What vLLM's quantisation per token and head adds to a token's bytes (0.20.2): two fp32 scales for each KV head of
/// each layer, in bytes.
pub fn per_token_head_scales(layers: u64, kv_heads: u64) -> u64 {
    layers.saturating_mul(kv_heads).saturating_mul(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_elements() {
        let of = |element: Element| element.bytes(28_672);
        assert_eq!((of(Element::Fp32), of(Element::Bf16), of(Element::Fp8)), (114_688, 57_344, 28_672));
        assert_eq!((of(Element::Nvfp4), Element::Nvfp4.bytes(17)), (16_128, 9 + 2));
        assert_eq!(Element::Fp32.bytes(u64::MAX), u64::MAX);
    }

    #[test]
    fn names() {
        assert_eq!(Element::named("torch.bfloat16"), Some(Element::Bf16));
        assert_eq!((Element::named("NVFP4"), Element::named("FP8")), (Some(Element::Nvfp4), Some(Element::Fp8)));
        assert_eq!(Element::named("auto"), None);
        assert_eq!(per_token_head_scales(2, 4), 64);
    }
}
