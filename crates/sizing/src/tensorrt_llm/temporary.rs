//! The temporary KV pool that the PyTorch backend profiles with.
//!
//! Source: NVIDIA/TensorRT-LLM `tensorrt_llm/_torch/pyexecutor/_util.py`, `_create_dummy_context_requests` and
//! `_get_token_num_for_estimation`, about 0.20 and 1.0 to 1.2. Main takes at least this; what else it adds depends on
//! the model's cache manager and is not given here.

use crate::Refusal;
use crate::terms::product;

/// What the temporary pool of 1.0 to 1.2 is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requests {
    /// `max_num_tokens`.
    pub max_num_tokens: u64,
    /// `max_seq_len`, above 1.
    pub max_seq_len: u64,
    /// Tokens of one block, above 0.
    pub tokens_per_block: u64,
    /// Tokens that each request may generate: 1, one more with the overlap scheduler, and draft tokens.
    pub extra_tokens: u64,
    /// Ranks that attention data parallelism multiplies the requests by; 1 without.
    pub attention_ranks: u64,
}

impl Requests {
    /// Blocks: dummy requests of `min(max_num_tokens, max_seq_len - 1)` tokens until `max_num_tokens` are covered, and
    /// no two share a block.
    pub fn blocks(&self) -> Result<u64, Refusal> {
        let length = self.max_num_tokens.min(self.max_seq_len.saturating_sub(1));
        if length == 0 {
            return Err(Refusal::Zero("the length of a dummy request"));
        }
        if self.tokens_per_block == 0 {
            return Err(Refusal::Zero("tokens per block"));
        }
        let blocks = |tokens: u64| {
            let all = tokens.checked_add(self.extra_tokens).ok_or(Refusal::Overflow)?;
            Ok(all.div_ceil(self.tokens_per_block))
        };
        let whole = product(&[self.max_num_tokens / length, blocks(length)?])?;
        let rest = match self.max_num_tokens % length {
            0 => 0,
            rest => blocks(rest)?,
        };
        product(&[whole.checked_add(rest).ok_or(Refusal::Overflow)?, self.attention_ranks])
    }

    /// Bytes of the pool with `bytes_per_token`.
    pub fn bytes(&self, bytes_per_token: u64) -> Result<u64, Refusal> {
        product(&[self.blocks()?, self.tokens_per_block, bytes_per_token])
    }
}

/// Tokens of the pool of about 0.20: `min(max(batch, max_num_tokens + ceil(max_num_tokens / max_seq_len) t,
/// max_seq_len), f F / b)`, the last in floats.
pub fn tokens_0_20(
    max_batch_size: u64,
    requests: &Requests,
    fraction: f64,
    free: u64,
    bytes_per_token: u64,
) -> Result<u64, Refusal> {
    if requests.max_seq_len == 0 {
        return Err(Refusal::Zero("max_seq_len"));
    }
    if bytes_per_token == 0 {
        return Err(Refusal::Zero("bytes per token"));
    }
    let slack = product(&[requests.max_num_tokens.div_ceil(requests.max_seq_len), requests.tokens_per_block])?;
    let wanted = requests.max_num_tokens.checked_add(slack).ok_or(Refusal::Overflow)?;
    let wanted = wanted.max(max_batch_size).max(requests.max_seq_len);
    let held = crate::float::floor_div(fraction * free as f64, bytes_per_token as f64);
    Ok(wanted.min(held as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: Requests = Requests {
        max_num_tokens: 8192,
        max_seq_len: 131_072,
        tokens_per_block: 32,
        extra_tokens: 2,
        attention_ranks: 1,
    };

    #[test]
    fn the_pool_of_the_worked_log() {
        assert_eq!(LOG.blocks(), Ok(257));
        assert_eq!(LOG.bytes(73_728), Ok(8224 * 73_728));
    }

    #[test]
    fn requests_do_not_share_blocks() {
        assert_eq!(Requests { max_seq_len: 4097, extra_tokens: 1, ..LOG }.blocks(), Ok(2 * 129));
        assert_eq!(Requests { max_num_tokens: 5000, max_seq_len: 4097, ..LOG }.blocks(), Ok(129 + 29));
        assert_eq!(Requests { attention_ranks: 2, ..LOG }.blocks(), Ok(514));
        assert!(Requests { max_seq_len: 1, ..LOG }.blocks().is_err());
    }

    /// The public benchmark's 4096 tokens for the 7B model.
    #[test]
    fn what_the_benchmark_should_have_had() {
        let pool = Requests { max_num_tokens: 4096, extra_tokens: 1, ..LOG }.bytes(57_344).unwrap();
        assert!((0.22..0.25).contains(&(pool as f64 / crate::GIB as f64)));
    }

    #[test]
    fn about_0_20() {
        let of = |free| tokens_0_20(2048, &LOG, 0.9, free, 1000).unwrap();
        assert_eq!((of(1 << 40), of(1_000_000)), (131_072, 900));
        assert_eq!(tokens_0_20(1, &Requests { max_seq_len: 4096, ..LOG }, 0.9, 1 << 40, 1), Ok(8192 + 64));
    }
}
