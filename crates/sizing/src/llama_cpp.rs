//! llama.cpp: the KV cache follows the context length, and `--fit` shortens the context until a margin stays free.
//!
//! Source: ggml-org/llama.cpp as in llama-cpp-python 0.3.36: `src/llama-kv-cache.cpp`, `src/llama-kv-cache-iswa.cpp`,
//! `common/fit.cpp`, `ggml/src/ggml-cuda/ggml-cuda.cu`. Integer arithmetic throughout.

use crate::terms::{Bound, Terms, product};
use crate::vllm::Source;
use crate::{MIB, Refusal};

/// Contexts and sliding caches are multiples of this many cells.
pub const PAD: u64 = 256;
/// `--fit`: what stays free on each device, bytes.
pub const DEFAULT_MARGIN: u64 = 1024 * MIB;
/// `--fit`: no shorter context than this, tokens.
pub const DEFAULT_LEAST_CONTEXT: u64 = 4096;

/// Types of cached rows: bytes of a block, and its elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowType {
    /// 32-bit float.
    F32,
    /// 16-bit float, the default.
    F16,
    /// bfloat16.
    Bf16,
    /// 34 bytes per 32 elements.
    Q8_0,
    /// 18 bytes per 32 elements.
    Q4_0,
    /// 20 bytes per 32 elements.
    Q4_1,
    /// 22 bytes per 32 elements.
    Q5_0,
    /// 24 bytes per 32 elements.
    Q5_1,
}

impl RowType {
    /// Bytes of a row of `elements`, which blocks must divide.
    pub fn row_bytes(self, elements: u64) -> Result<u64, Refusal> {
        let (bytes, block) = match self {
            RowType::F32 => (4, 1),
            RowType::F16 | RowType::Bf16 => (2, 1),
            RowType::Q8_0 => (34, 32),
            RowType::Q4_0 => (18, 32),
            RowType::Q4_1 => (20, 32),
            RowType::Q5_0 => (22, 32),
            RowType::Q5_1 => (24, 32),
        };
        if !elements.is_multiple_of(block) {
            return Err(Refusal::Unknown(format!("rows of {elements} elements in blocks of {block}")));
        }
        product(&[elements / block, bytes])
    }
}

/// Layers with the same cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layers {
    /// How many.
    pub count: u64,
    /// Elements of a K row: KV heads times head size.
    pub key_elements: u64,
    /// Elements of a V row; 0 where K holds all (latent attention).
    pub value_elements: u64,
}

/// What the cache is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cache {
    /// `n_ctx`, tokens of all sequences together.
    pub context: u64,
    /// `n_seq_max`, at least 1.
    pub sequences: u64,
    /// Whether sequences share one buffer (`kv_unified`).
    pub unified: bool,
    /// `n_ubatch`, tokens.
    pub micro_batch: u64,
    /// `n_swa`, tokens of the window.
    pub window: u64,
    /// `--swa-full`: sliding layers as large as the others.
    pub full_sliding: bool,
    /// Layers that see all tokens.
    pub full: Layers,
    /// Layers that see the window.
    pub sliding: Layers,
    /// Type of K.
    pub key_type: RowType,
    /// Type of V.
    pub value_type: RowType,
}

/// The cache. Cells are per stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheSize {
    /// Streams: 1 if unified, else one per sequence.
    pub streams: u64,
    /// "non-SWA KV cache, size = N cells".
    pub full_cells: u64,
    /// "SWA KV cache, size = N cells"; as large as the other without sliding layers.
    pub sliding_cells: u64,
    /// Bytes of the full layers, over all streams.
    pub full_bytes: u64,
    /// Bytes of the sliding layers, over all streams.
    pub sliding_bytes: u64,
    /// The context decides; nothing is rounded off.
    pub terms: Terms,
}

impl Cache {
    /// `sum over layers of cells x (K row + V row)`.
    pub fn size(&self) -> Result<CacheSize, Refusal> {
        if self.sequences == 0 {
            return Err(Refusal::Zero("the number of sequences"));
        }
        let streams = if self.unified { 1 } else { self.sequences };
        let full_cells = pad(self.context / streams)?;
        let kept = product(&[self.window, if self.unified { self.sequences } else { 1 }])?;
        let kept = kept.checked_add(self.micro_batch).ok_or(Refusal::Overflow)?;
        let sliding_cells = if self.full_sliding { full_cells } else { pad(full_cells.min(kept))? };
        let bytes = |layers: Layers, cells| {
            let (key, value) =
                (self.key_type.row_bytes(layers.key_elements)?, self.value_type.row_bytes(layers.value_elements)?);
            product(&[layers.count, cells, streams, key.checked_add(value).ok_or(Refusal::Overflow)?])
        };
        let (full_bytes, sliding_bytes) = (bytes(self.full, full_cells)?, bytes(self.sliding, sliding_cells)?);
        let all = full_bytes.checked_add(sliding_bytes).ok_or(Refusal::Overflow)?;
        let terms = Terms::of(all, all, all, Bound::Context);
        Ok(CacheSize { streams, full_cells, sliding_cells, full_bytes, sliding_bytes, terms })
    }
}

/// Up to a multiple of [`PAD`].
fn pad(cells: u64) -> Result<u64, Refusal> {
    cells.checked_next_multiple_of(PAD).ok_or(Refusal::Overflow)
}

/// What `--fit` decides from, on one device. Bytes and tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fit {
    /// Free, of [`source`].
    pub free: u64,
    /// [`DEFAULT_MARGIN`] unless set.
    pub margin: u64,
    /// Projected use with `full_context`.
    pub used_full: u64,
    /// Projected use with `least_context`.
    pub used_least: u64,
    /// The model's own context.
    pub full_context: u64,
    /// [`DEFAULT_LEAST_CONTEXT`] unless set.
    pub least_context: u64,
    /// The context becomes a multiple of 256 times this; at least 1.
    pub streams: u64,
}

/// What `--fit` decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fitted {
    /// `n_ctx`, tokens.
    pub context: u64,
    /// By how much the full context misses the margin, bytes; 0 where it does not.
    pub missing: u64,
    /// Whether layers have to move to the host: even the least context leaves too little.
    pub layers_move: bool,
    /// [`Bound::Context`] if nothing had to change.
    pub bound: Bound,
}

impl Fit {
    /// The context where none is set: linear between the least and the full one, rounded down.
    pub fn fit(&self) -> Result<Fitted, Refusal> {
        let step = product(&[PAD, self.streams])?;
        if step == 0 {
            return Err(Refusal::Zero("the number of streams"));
        }
        let target = self.free.saturating_sub(self.margin);
        let missing = self.used_full.saturating_sub(target);
        let unchanged = Fitted { context: self.full_context, missing, layers_move: false, bound: Bound::Context };
        if missing == 0 && self.free >= self.margin {
            return Ok(unchanged);
        }
        if self.full_context <= self.least_context {
            return Ok(Fitted { layers_move: true, ..unchanged });
        }
        let shortest = Fitted { context: self.least_context, layers_move: true, bound: Bound::Margin, ..unchanged };
        if target <= self.used_least {
            return Ok(shortest);
        }
        // The least context fits with room to spare, the full one does not: the divisor is above zero.
        let range = u128::from(self.full_context - self.least_context);
        let more = range * u128::from(target - self.used_least) / u128::from(self.used_full - self.used_least);
        let context = self.least_context.saturating_add(more.try_into().unwrap_or(u64::MAX));
        let context = (context - context % step).max(self.least_context);
        Ok(Fitted { context, layers_move: false, ..shortest })
    }
}

/// What free memory of a device is taken from: MemAvailable on integrated devices and with
/// `GGML_CUDA_ENABLE_UNIFIED_MEMORY`, else cudaMemGetInfo. The total is always cudaMemGetInfo's.
pub fn source(integrated: bool, unified_memory: bool) -> Source {
    if integrated || unified_memory { Source::MemAvailable } else { Source::MemGetInfo }
}

/// Free memory of such a device, bytes: MemAvailable (swap is not added), or with huge pages configured only what is
/// free of those.
pub fn unified_free(available: u64, huge_pages: u64, free_huge_pages: u64, huge_page_size: u64) -> u64 {
    if huge_pages == 0 { available } else { free_huge_pages.saturating_mul(huge_page_size) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GIB;

    const LAYERS: Layers = Layers { count: 18, key_elements: 512, value_elements: 512 };

    /// gpt-oss-120b: 18 full layers, 18 of window 128, 8 KV heads of 64.
    const GPT_OSS: Cache = Cache {
        context: 131_072,
        sequences: 1,
        unified: true,
        micro_batch: 512,
        window: 128,
        full_sliding: false,
        full: LAYERS,
        sliding: LAYERS,
        key_type: RowType::F16,
        value_type: RowType::F16,
    };

    #[test]
    fn gpt_oss_in_f16() {
        let size = GPT_OSS.size().unwrap();
        assert_eq!((size.full_cells, size.sliding_cells), (131_072, 768));
        assert_eq!((size.full_bytes, size.sliding_bytes), (9 * GIB / 2, 27 * MIB));
        assert_eq!(size.terms.pool, 9 * GIB / 2 + 27 * MIB);
    }

    #[test]
    fn contexts_are_padded_and_streams_divide_them() {
        let size = Cache { context: 1000, ..GPT_OSS }.size().unwrap();
        assert_eq!((size.full_cells, size.sliding_cells), (1024, 768));
        assert_eq!(Cache { sequences: 4, ..GPT_OSS }.size().unwrap().sliding_cells, 1024);
        let split = Cache { sequences: 4, unified: false, ..GPT_OSS }.size().unwrap();
        assert_eq!((split.streams, split.full_cells, split.sliding_cells), (4, 32_768, 768));
        assert_eq!(split.full_bytes, 9 * GIB / 2);
        let full = Cache { full_sliding: true, ..GPT_OSS }.size().unwrap();
        assert_eq!(full.terms.pool, 9 * GIB);
        assert!(Cache { sequences: 0, ..GPT_OSS }.size().is_err());
    }

    #[test]
    fn quantised_rows() {
        let of = |key_type| Cache { key_type, value_type: key_type, ..GPT_OSS }.size().unwrap().full_bytes;
        assert_eq!(of(RowType::Q8_0), 9 * GIB / 2 / 64 * 34);
        assert_eq!(of(RowType::Q4_0), 9 * GIB / 2 / 64 * 18);
        assert!(RowType::Q8_0.row_bytes(33).is_err());
    }

    const FIT: Fit = Fit {
        free: 24 * GIB,
        margin: DEFAULT_MARGIN,
        used_full: 31 * GIB,
        used_least: 15 * GIB,
        full_context: 131_072,
        least_context: DEFAULT_LEAST_CONTEXT,
        streams: 1,
    };

    #[test]
    fn the_context_shrinks_until_the_margin_is_met() {
        let fitted = FIT.fit().unwrap();
        // Half of the way from 4096 to 131072.
        assert_eq!((fitted.context, fitted.bound, fitted.missing), (67_584, Bound::Margin, 8 * GIB));
        assert_eq!(Fit { streams: 5, ..FIT }.fit().unwrap().context, 67_584 / 1280 * 1280);
        let enough = Fit { free: 32 * GIB, ..FIT }.fit().unwrap();
        assert_eq!((enough.context, enough.bound), (131_072, Bound::Context));
        let little = Fit { free: 16 * GIB, ..FIT }.fit().unwrap();
        assert_eq!((little.context, little.layers_move), (4096, true));
        assert!(Fit { full_context: 2048, ..FIT }.fit().unwrap().layers_move);
    }

    #[test]
    fn free_on_a_unified_device() {
        assert_eq!((source(true, false), source(false, false)), (Source::MemAvailable, Source::MemGetInfo));
        assert_eq!((unified_free(7, 0, 5, 2), unified_free(7, 6, 5, 2)), (7, 10));
    }
}
