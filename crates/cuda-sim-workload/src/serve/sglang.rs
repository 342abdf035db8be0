//! SGLang's order of calls: free memory before and after the weights, then two tensors for each layer.

use super::{Start, now};
use crate::failure::{Failure, Result};
use crate::size::gib;
use serde_json::{Value, json};

pub fn serve(start: &Start) -> Result<Value> {
    let options = start.options;
    let total = start.cuda.memory()?.total;
    let unified = start.cuda.is_integrated()?;
    let free = || if unified { start.available() } else { Ok(start.cuda.memory()?.free) };

    let before = free()?;
    log(&format!("Memory baseline taken. mem usage={:.2} GB", gib(total.saturating_sub(before))));
    log(&format!("Load weight begin. avail mem={:.2} GB", gib(free()?)));
    let weights = start.load()?;
    let after = free()?;
    log(&format!("Load weight end. avail mem={:.2} GB, mem usage={:.2} GB.", gib(after), gib(weights)));

    let rest = (before as f64 * (1.0 - options.fraction)).round() as u64;
    let kv = after.saturating_sub(rest);
    let mut tokens = kv / start.bytes_per_token();
    if let Some(most) = options.max_tokens {
        tokens = tokens.min(most);
    }
    if tokens == 0 {
        return Err(Failure::Cuda("Not enough memory; raise --fraction".into()));
    }
    let layers = options.model.layers();
    // One token of padding.
    let each = (tokens + 1) * start.bytes_per_token() / (2 * layers);
    for _ in 0..2 * layers {
        start.cuda.malloc(each, "a tensor of the KV cache")?;
    }
    let half = gib(each * layers);
    log(&format!(
        "KV Cache is allocated. dtype: torch.bfloat16, #tokens: {tokens}, K size: {half:.2} GB, V size: {half:.2} GB"
    ));
    log(&format!("Memory pool end. avail mem={:.2} GB", gib(free()?)));
    start.forward()?;
    log(&format!(
        "max_total_num_tokens={tokens}, chunked_prefill_size=2048, max_running_requests=64, context_len=8192, \
         available_gpu_mem={:.2} GB",
        gib(free()?)
    ));
    Ok(json!({
        "free_a": before, "free_b": after, "total": total, "temporary_bytes": 0,
        "pool_bytes": each * 2 * layers, "tokens": tokens, "budget": kv, "reserved": 0,
    }))
}

fn log(text: &str) {
    println!("[{}] {text}", now(c"%Y-%m-%d %H:%M:%S"));
}
