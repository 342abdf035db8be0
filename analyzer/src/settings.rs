//! The flags by which a runtime gets a KV cache of some size.

use crate::decision::Decision;
use serde::Serialize;

/// One flag with its value, as the runtime spells them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    pub flag: &'static str,
    pub value: String,
    /// Under which condition it holds.
    pub note: Option<&'static str>,
}

impl Setting {
    pub fn new(flag: &'static str, value: impl Into<String>) -> Self {
        Setting { flag, value: value.into(), note: None }
    }

    fn noted(flag: &'static str, value: impl Into<String>, note: &'static str) -> Self {
        Setting { flag, value: value.into(), note: Some(note) }
    }

    /// As it is typed: `--gpu-memory-utilization 0.92`, `kv_cache_config.max_tokens: 4096`.
    pub fn typed(&self) -> String {
        match self.flag.starts_with('-') {
            true => format!("{} {}", self.flag, self.value),
            false => format!("{}: {}", self.flag, self.value),
        }
    }
}

const SAME_FREE: &str = "with as much free memory as this run found";
const WHATEVER: &str = "whatever is free; it must be there";
const UPPER: &str = "an upper bound";

/// The flag that a runtime's fraction has.
pub fn fraction_flag(runtime: &str) -> Option<&'static str> {
    Some(match runtime {
        "TensorRT-LLM PyTorch V1" | "TensorRT-LLM PyTorch V2" => "kv_cache_config.free_gpu_memory_fraction",
        "TensorRT-LLM C++" => "kv_cache_free_gpu_mem_fraction",
        "vLLM" => "--gpu-memory-utilization",
        "SGLang" => "--mem-fraction-static",
        _ => return None,
    })
}

/// The flag that bounds a runtime's tokens.
pub fn tokens_flag(runtime: &str) -> Option<&'static str> {
    Some(match runtime {
        "TensorRT-LLM PyTorch V1" | "TensorRT-LLM PyTorch V2" => "kv_cache_config.max_tokens",
        "TensorRT-LLM C++" => "max_tokens_in_paged_kv_cache",
        "SGLang" => "--max-total-tokens",
        "llama.cpp" => "-c",
        _ => return None,
    })
}

/// What a runtime takes where the user sets no fraction; empty where it computes one.
pub fn default_fractions(runtime: &str) -> &'static [f64] {
    match runtime {
        "TensorRT-LLM PyTorch V1" | "TensorRT-LLM PyTorch V2" | "TensorRT-LLM C++" => &[0.9],
        // Of 0.20 and later, and of 0.10.
        "vLLM" => &[0.92, 0.9],
        _ => &[],
    }
}

/// Four decimals: 0.0001 of 100 GiB are 10 MiB, a block or a few.
pub fn shown_fraction(fraction: f64) -> String {
    let text = format!("{fraction:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The fraction that gives `bytes` with everything else as in this run; `None` if none does.
pub fn fraction_for(decision: &Decision, bytes: u64) -> Option<f64> {
    let f = decision.fraction.value;
    let more = bytes as f64 - decision.budget_bytes as f64;
    let first = decision.rule.free.first();
    let fraction = match () {
        () if decision.rule.total_share > 0.0 => f + more / decision.total_bytes.value as f64,
        // What was free before the weights.
        () if decision.rule.free.len() > 1 => f + more / first?.free_bytes as f64,
        () if f > 0.0 && decision.budget_bytes > 0 => f * bytes as f64 / decision.budget_bytes as f64,
        () => return None,
    };
    let starts = || match decision.rule.total_share > 0.0 {
        true => {
            first.is_some_and(|at_start| fraction * decision.total_bytes.value as f64 <= at_start.free_bytes as f64)
        }
        false => true,
    };
    (fraction > 0.0 && fraction < 1.0 && starts()).then_some(fraction)
}

/// What gives the runtime of `decision` a KV cache of `bytes`, the surest first; empty if no flag does.
pub fn for_size(decision: &Decision, bytes: u64) -> Vec<Setting> {
    let runtime = decision.runtime;
    let mut list = Vec::new();
    if runtime == "vLLM" {
        list.push(Setting::noted("--kv-cache-memory-bytes", bytes.to_string(), WHATEVER));
    }
    if runtime == "TensorRT-LLM PyTorch V2" && bytes <= decision.final_pool_bytes.value {
        list.push(Setting::noted("kv_cache_config.max_gpu_total_bytes", bytes.to_string(), UPPER));
    }
    if let Some(flag) = fraction_flag(runtime)
        && let Some(fraction) = fraction_for(decision, bytes)
    {
        list.push(Setting::noted(flag, shown_fraction(fraction), SAME_FREE));
    }
    let per_token = decision.bytes_per_token.as_ref().map(|fact| fact.value).filter(|bytes| *bytes > 0);
    if let (Some(flag), Some(per_token)) = (tokens_flag(runtime), per_token) {
        let tokens = (bytes / per_token).to_string();
        match runtime {
            "llama.cpp" => list.push(Setting::noted(flag, tokens, WHATEVER)),
            _ if bytes <= decision.final_pool_bytes.value => list.push(Setting::noted(flag, tokens, UPPER)),
            _ => {}
        }
    }
    list
}
