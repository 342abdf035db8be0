//! The runtime's own log lines as a second witness. Parsed by pattern, not by version: wording moves between releases.

pub mod llama_cpp;
pub mod sglang;
pub mod tensorrt_llm;
pub mod vllm;

use crate::load::Trace;

/// A figure that the runtime printed.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged<T> {
    pub value: T,
    pub evidence: String,
}

/// What the log says, by the runtime whose lines they are.
#[derive(Debug, Default)]
pub struct Witness {
    pub tensorrt_llm: tensorrt_llm::Witness,
    pub vllm: vllm::Witness,
    pub sglang: sglang::Witness,
    pub llama_cpp: llama_cpp::Witness,
}

/// Whether a line of a runtime's output speaks of memory and is worth an event. Also tells what `kvtrace run` keeps.
pub fn is_memory_line(text: &str) -> bool {
    const MARKS: &[&str] = &[
        // TensorRT-LLM
        "for model weights",
        "checkpoint files",
        "in memory usage profiling",
        "during memory usage profiling",
        "in KV cache :",
        "free_gpu_memory_fraction",
        "tokens per block",
        "[MemUsageChange]",
        "PyTorch memory fraction",
        "max_gpu_total_bytes",
        "max_tokens=",
        "Attention window size",
        "Adjusted max_seq_len",
        "paged kv cache",
        "KV cache manager v2",
        "TensorRT-LLM version",
        "Loaded engine size",
        "KV cache primary pool",
        "KV cache secondary pool",
        "[windowSize=",
        "Using UVM based system memory",
        "Allowed quota from max_tokens",
        "prefetching ",
        // vLLM
        "Model loading took",
        "KV cache memory",
        "GPU KV cache size",
        "Free memory on device",
        "CUDA graph memory",
        "num_gpu_blocks",
        "Maximum concurrency for",
        // SGLang
        "avail mem",
        "available_gpu_mem",
        "KV Cache is allocated",
        "Memory baseline taken",
        "max_total_num_tokens=",
        "KV Cache VA upper bound",
        "Post-capture KV sizing",
        // llama.cpp
        "KV buffer size",
        "using device CUDA",
        "Total VRAM",
        "llama_kv_cache: size",
        "SWA KV cache, size",
    ];
    MARKS.iter().any(|mark| text.contains(mark))
}

/// Reads the log events of a trace.
pub fn witness(trace: &Trace) -> Witness {
    let mut witness = Witness::default();
    for line in &trace.logs {
        let (text, evidence) = (&line.text, &trace.evidence(line.process, line.n));
        tensorrt_llm::read(text, evidence, &mut witness.tensorrt_llm);
        vllm::read(text, evidence, &mut witness.vllm);
        sglang::read(text, evidence, &mut witness.sglang);
        llama_cpp::read(text, evidence, &mut witness.llama_cpp);
    }
    witness
}

fn set<T>(slot: &mut Option<Logged<T>>, value: Option<T>, evidence: &str) {
    if let Some(value) = value {
        *slot = Some(Logged { value, evidence: evidence.to_owned() });
    }
}

/// The number that follows `mark`.
fn number<T: std::str::FromStr>(text: &str, mark: &str) -> Option<T> {
    let (_, rest) = text.split_once(mark)?;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    rest[..end].trim_end_matches('.').parse().ok()
}

/// The number that follows the last of `marks` that all follow each other.
fn number_after<T: std::str::FromStr>(text: &str, marks: &[&str]) -> Option<T> {
    let (last, earlier) = marks.split_last()?;
    let rest = earlier.iter().try_fold(text, |rest, mark| Some(rest.split_once(mark)?.1))?;
    number(rest, last)
}

/// As [`number`], with the commas that Python groups digits by.
fn count(text: &str, mark: &str) -> Option<u64> {
    let (_, rest) = text.split_once(mark)?;
    let digits: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == ',').filter(|c| *c != ',').collect();
    digits.parse().ok()
}
