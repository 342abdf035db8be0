//! TensorRT-LLM's orders of calls: of the PyTorch backend, and of the C++ engine.

use super::Start;
use super::tensorrt_llm_log::{Log, Profiled};
use crate::failure::{Failure, Result};
use crate::rendezvous::Figure;
use crate::size;
use kvtrace_sizing::tensorrt_llm::{self as rule, Blocks, Budget, Pool};
use serde_json::{Value, json};

const TOKENS_PER_BLOCK: u64 = 32;
/// 8192 tokens of dummy requests in one sequence, and one generated: 257 blocks.
const TEMPORARY_TOKENS: u64 = 8224;
/// What the runtime leaves free when it limits torch in the end.
const TORCH_MARGIN: u64 = 32 << 20;

/// Temporary pool, query A, dummy forward, query B, free, query C, final pool.
pub fn serve(start: &Start) -> Result<Value> {
    let Start { options, place, cuda, .. } = start;
    let log = Log { rank: place.rendezvous.map(|_| place.rank) };
    cuda.memory()?;
    if let Some(files) = start.prefetched() {
        log.prefetching(files);
    }
    let weights = start.load()?;
    cuda.memory()?;
    log.weights(weights);

    let bytes_per_token = start.bytes_per_token();
    let temporary = TEMPORARY_TOKENS * bytes_per_token;
    cuda.memory()?;
    let temporary_pool = cuda.malloc(temporary, "the temporary KV pool")?;
    log.pool(temporary, TEMPORARY_TOKENS, TOKENS_PER_BLOCK);
    place.wait();

    let a = cuda.memory()?;
    log.loaded(weights, a.total - a.free);
    place.wait();
    start.forward()?;
    place.wait();
    let b = cuda.memory()?;

    // The runtime keeps its fraction as a 32-bit float.
    let fraction = f64::from(options.fraction as f32) / f64::from(start.sharers);
    let given = Budget {
        free_after_profile: b.free,
        temporary_pool: temporary,
        transient: options.transient.try_into().unwrap_or(i64::MAX),
        fraction,
    };
    let found = Profiled {
        weights,
        transient: options.transient,
        total: b.total,
        free_b: b.free,
        peak: given.peak(b.total).try_into().unwrap_or(0),
        budget: place.least(Figure::Budget, given.bytes()),
        temporary,
        fraction,
        bytes_per_token,
        max_tokens: options.max_tokens,
    };
    log.profiled(&found);
    cuda.free(temporary_pool)?;
    place.wait();

    let c = cuda.memory()?;
    let cut = Blocks { bytes_per_token, tokens_per_block: TOKENS_PER_BLOCK, round_up: true };
    let pool = rule::final_pool(found.budget, fraction, c.free, options.max_tokens, cut)
        .map(|pool| Pool { tokens: place.least(Figure::Tokens, pool.tokens), ..pool })
        .filter(|pool| pool.tokens > 0)
        .ok_or_else(|| nothing_left(&found))?;
    let pool_bytes = pool.tokens * bytes_per_token;
    log.target(fraction, &pool);
    cuda.malloc(pool_bytes, "the KV cache")?;
    log.pool(pool_bytes, pool.tokens, TOKENS_PER_BLOCK);

    let last = cuda.memory()?;
    log.torch_limit((last.free + weights).saturating_sub(TORCH_MARGIN), last.total);
    Ok(json!({
        "free_a": a.free, "free_b": b.free, "free_c": c.free, "total": b.total, "temporary_bytes": temporary,
        "pool_bytes": pool_bytes, "tokens": pool.tokens, "peak": found.peak,
    }))
}

/// The C++ engine: weights and buffers, one question, one pool.
pub fn serve_engine(start: &Start) -> Result<Value> {
    let Start { options, cuda, .. } = start;
    let log = Log { rank: None };
    let weights = start.load()?;
    log.engine(weights);
    if options.transient > 0 {
        cuda.malloc(options.transient, "the execution context")?;
    }
    cuda.synchronize()?;
    let memory = cuda.memory()?;
    log.asked(memory.total, memory.free);
    let bytes_per_token = start.bytes_per_token();
    let budget = (f64::from(options.fraction as f32) * memory.free as f64) as u64;
    let tokens = (budget / bytes_per_token).min(options.max_tokens.unwrap_or(u64::MAX));
    let blocks = tokens.div_ceil(TOKENS_PER_BLOCK);
    let (tokens, bytes) = (blocks * TOKENS_PER_BLOCK, blocks * TOKENS_PER_BLOCK * bytes_per_token);
    if blocks == 0 {
        return Err(Failure::Cuda("no memory is left for a KV cache; lower --weights-bytes or --transient".into()));
    }
    log.blocks(blocks);
    cuda.malloc(bytes, "the KV cache")?;
    log.pool(bytes, tokens, TOKENS_PER_BLOCK);
    Ok(json!({
        "free_b": memory.free, "total": memory.total, "temporary_bytes": 0, "pool_bytes": bytes, "tokens": tokens,
        "budget": budget, "reserved": 0,
    }))
}

fn nothing_left(found: &Profiled) -> Failure {
    Failure::Cuda(format!(
        "no memory is left for a KV cache: the peak is {} of {}; lower --weights-bytes or --transient, or drop page cache",
        size::show(found.peak),
        size::show(found.total)
    ))
}
