//! vLLM's order of calls: snapshots before and after weights and profile, then the KV cache.

use super::{Start, now};
use crate::failure::{Failure, Result};
use crate::size::gib;
use serde_json::{Value, json};

const TOKENS_PER_BLOCK: u64 = 16;
const MAX_MODEL_LEN: u64 = 8192;

/// A release with a rule of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Asks the driver on every device; one tensor per layer.
    V010,
    /// MemAvailable on integrated devices, an estimate for graphs; one tensor per layer.
    V020,
    /// As before; the request is rounded up, the KV cache is one tensor.
    V033,
}

/// One look at memory.
#[derive(Clone, Copy)]
struct Snapshot {
    free: u64,
    total: u64,
}

pub fn serve(start: &Start, version: Version) -> Result<Value> {
    let options = start.options;
    let unified = version != Version::V010 && start.cuda.is_integrated()?;
    let look = || -> Result<Snapshot> {
        let driver = start.cuda.memory()?;
        // The driver is asked in any case, for the total.
        let free = if unified { start.available()? } else { driver.free };
        Ok(Snapshot { free, total: driver.total })
    };

    let init = look()?;
    let requested = options.fraction * init.total as f64;
    let requested = if version == Version::V033 { requested.ceil() } else { requested.floor() } as u64;
    if init.free < requested {
        return Err(Failure::Cuda(format!(
            "Free memory on device cuda:0 ({:.2}/{:.2} GiB) on startup is less than desired GPU memory utilization ({}, \
             {:.2} GiB); lower --fraction",
            gib(init.free),
            gib(init.total),
            options.fraction,
            gib(requested)
        )));
    }
    let weights = start.load()?;
    log("gpu_model_runner.py:2392", &format!("Model loading took {:.4} GiB and 1.000000 seconds", gib(weights)));
    look()?;
    start.forward()?;
    let after = look()?;

    let graphs = if version == Version::V010 { 0 } else { estimate_graphs(start)? };
    let used = init.free.saturating_sub(after.free);
    let kv = requested.saturating_sub(used).saturating_sub(options.transient).saturating_sub(graphs);
    log("gpu_worker.py:298", &format!("Available KV cache memory: {:.2} GiB", gib(kv)));

    let layers = options.model.layers();
    let per_block = TOKENS_PER_BLOCK * start.bytes_per_token();
    let blocks = kv / per_block;
    if blocks == 0 {
        return Err(Failure::Cuda("No available memory for the cache blocks; raise --fraction".into()));
    }
    let tokens = blocks * TOKENS_PER_BLOCK;
    let concurrency = tokens as f64 / MAX_MODEL_LEN as f64;
    let size = format!("GPU KV cache size: {} tokens", thousands(tokens));
    let most = format!("Maximum concurrency for {} tokens per request: {concurrency:.2}x", thousands(MAX_MODEL_LEN));
    match version {
        Version::V033 => log("kv_cache_utils.py:1900", &format!("{size}, {most}")),
        _ => {
            log("kv_cache_utils.py:1087", &size);
            log("kv_cache_utils.py:1091", &most);
        }
    }
    let tensors = if version == Version::V033 { 1 } else { layers };
    let each = blocks * per_block / tensors;
    for _ in 0..tensors {
        start.cuda.malloc(each, "a tensor of the KV cache")?;
    }
    log(
        "gpu_worker.py:391",
        &format!(
            "Free memory on device ({:.2}/{:.2} GiB) on startup. Desired GPU memory utilization is ({}, {:.2} GiB). \
             Actual usage is {:.2} GiB for weight, {:.2} GiB for peak activation, {:.2} GiB for non-torch memory, and \
             {:.2} GiB for CUDAGraph memory.",
            gib(init.free),
            gib(init.total),
            options.fraction,
            gib(requested),
            gib(weights),
            gib(options.transient),
            gib(used.saturating_sub(weights)),
            gib(graphs)
        ),
    );
    Ok(json!({
        "free_a": init.free, "free_b": after.free, "total": init.total, "temporary_bytes": 0,
        "pool_bytes": each * tensors, "tokens": tokens, "budget": kv, "reserved": graphs,
    }))
}

/// A minimal KV cache, a capture between two questions, and both given back.
fn estimate_graphs(start: &Start) -> Result<u64> {
    let minimal = start.cuda.malloc(64 * TOKENS_PER_BLOCK * start.bytes_per_token(), "a minimal KV cache")?;
    let before = start.cuda.memory()?;
    let graph = start.cuda.malloc(start.options.graphs.max(1), "a captured graph")?;
    let after = start.cuda.memory()?;
    start.cuda.free(graph)?;
    start.cuda.free(minimal)?;
    let bytes = before.free.saturating_sub(after.free);
    log("gpu_model_runner.py:6100", &format!("Estimated CUDA graph memory: {:.2} GiB total", gib(bytes)));
    Ok(bytes)
}

fn log(place: &str, text: &str) {
    println!("INFO {} [{place}] {text}", now(c"%m-%d %H:%M:%S"));
}

/// `12,345`
fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let groups: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
    groups.iter().map(|group| String::from_utf8_lossy(group)).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_as_python_writes_them() {
        assert_eq!([0, 999, 1000, 1_716_768].map(thousands), ["0", "999", "1,000", "1,716,768"]);
    }
}
