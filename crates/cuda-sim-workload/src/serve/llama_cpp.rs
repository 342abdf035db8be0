//! llama.cpp's order of calls: the devices are listed, the weights and the KV cache are a buffer each. Its size comes from
//! the context, not from free memory.

use super::Start;
use crate::failure::Result;
use crate::size::gib;
use serde_json::{Value, json};

const CONTEXT: u64 = 8192;
/// `n_ctx` is padded to this.
const PADDING: u64 = 256;

pub fn serve(start: &Start) -> Result<Value> {
    let memory = start.cuda.memory()?;
    let free = if start.cuda.is_integrated()? { start.available()? } else { memory.free };
    println!("ggml_cuda_init: found 1 CUDA devices (Total VRAM: {} MiB)", memory.total >> 20);
    println!(
        "llama_model_load_from_file_impl: using device CUDA0 (simulated) (0000:01:00.0) - {} MiB free",
        free >> 20
    );
    start.load()?;
    let cells = start.options.max_tokens.unwrap_or(CONTEXT).next_multiple_of(PADDING);
    let bytes = cells * start.bytes_per_token();
    start.cuda.malloc(bytes, "the KV cache")?;
    let mib = 1024.0 * gib(bytes);
    println!("llama_kv_cache:      CUDA0 KV buffer size = {mib:8.2} MiB");
    println!(
        "llama_kv_cache: size = {mib:7.2} MiB ({cells:6} cells, {:3} layers, 1/1 seqs), K (f16): {:7.2} MiB, V (f16): \
         {:7.2} MiB",
        start.options.model.layers(),
        mib / 2.0,
        mib / 2.0
    );
    Ok(json!({
        "free_b": free, "total": memory.total, "temporary_bytes": 0, "pool_bytes": bytes, "tokens": cells,
        "budget": bytes, "reserved": 0,
    }))
}
