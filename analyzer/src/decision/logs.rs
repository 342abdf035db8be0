//! The runtime's own log lines as a second witness. Parsed by pattern, not by version: wording moves between releases.

use crate::load::Trace;

/// A figure that the runtime printed.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged<T> {
    pub value: T,
    pub evidence: String,
}

/// What the log says. Of lines that are printed more than once, the last.
#[derive(Debug, Default)]
pub struct Witness {
    pub fraction: Option<Logged<f64>>,
    /// GiB, two decimals.
    pub peak: Option<Logged<f64>>,
    /// GiB, two decimals.
    pub budget: Option<Logged<f64>>,
    /// GiB, two decimals.
    pub total: Option<Logged<f64>>,
    /// GiB, two decimals.
    pub temporary: Option<Logged<f64>>,
    pub bytes_per_token: Option<Logged<u64>>,
    /// Tokens that the budget holds.
    pub token_target: Option<Logged<u64>>,
    pub tokens_per_block: Option<Logged<u64>>,
    /// GiB and tokens of each pool allocated, in order.
    pub pools: Vec<Logged<(f64, u64)>>,
    /// `max_tokens` given by the user.
    pub user_tokens: Option<Logged<u64>>,
    /// GiB of weights.
    pub weights: Option<Logged<f64>>,
}

/// Whether a line of a runtime's output speaks of memory and is worth an event. Also tells what `kvtrace run` keeps.
pub fn is_memory_line(text: &str) -> bool {
    const MARKS: [&str; 27] = [
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
        // vLLM
        "Model loading took",
        "KV cache memory",
        "GPU KV cache size",
        "Free memory on device",
        "CUDA graph memory",
        "num_gpu_blocks",
        // SGLang
        "avail mem",
        "available_gpu_mem",
        "KV Cache is allocated",
        "Memory baseline taken",
        // llama.cpp
        "KV buffer size",
    ];
    MARKS.iter().any(|mark| text.contains(mark))
}

/// Reads the log events of a trace.
pub fn witness(trace: &Trace) -> Witness {
    let mut witness = Witness::default();
    for line in &trace.logs {
        let evidence = trace.evidence(line.process, line.n);
        read(&line.text, &evidence, &mut witness);
    }
    witness
}

fn read(text: &str, evidence: &str, witness: &mut Witness) {
    fn set<T>(slot: &mut Option<Logged<T>>, value: Option<T>, evidence: &str) {
        if let Some(value) = value {
            *slot = Some(Logged { value, evidence: evidence.to_owned() });
        }
    }
    if text.contains("Peak memory during memory usage profiling") {
        set(&mut witness.peak, number(text, "(torch + non-torch): "), evidence);
        set(&mut witness.budget, number(text, "when calculating max tokens: "), evidence);
        set(&mut witness.fraction, number(text, "fraction is set "), evidence);
        set(&mut witness.bytes_per_token, number(text, "kv size is "), evidence);
        set(&mut witness.total, number(text, "device total memory "), evidence);
        let temporary = number(text, "tmp kv_mem ").or_else(|| number(text, "KV cache memory during profiling "));
        set(&mut witness.temporary, temporary.or_else(|| number(text, "kv cache memory during profiling ")), evidence);
    }
    if text.contains("Estimated max tokens in KV cache") {
        set(&mut witness.token_target, number(text, "in KV cache : "), evidence);
    }
    if text.contains("Both free_gpu_memory_fraction and max_tokens are set") {
        // "(to F and N, respectively)", from 1.2 on "(to F and N with free memory ..., respectively)".
        set(&mut witness.fraction, number(text, "(to "), evidence);
        let tokens = text.split_once("(to ").and_then(|(_, rest)| number(rest, " and "));
        set(&mut witness.token_target, tokens, evidence);
    }
    if text.contains("Number of tokens per block") {
        set(&mut witness.tokens_per_block, number(text, "per block: "), evidence);
    }
    if let Some(size) = number(text, "[MemUsageChange] Allocated ")
        && let Some(tokens) = number(text, "paged KV cache (")
    {
        witness.pools.push(Logged { value: (size, tokens), evidence: evidence.to_owned() });
    }
    if text.contains("is provided") {
        set(&mut witness.user_tokens, number(text, "max_tokens="), evidence);
    }
    if text.contains("for model weights") {
        let weights = number(text, "Use ").or_else(|| number(text, "uses "));
        set(&mut witness.weights, weights, evidence);
    }
}

/// The number that follows `mark`.
fn number<T: std::str::FromStr>(text: &str, mark: &str) -> Option<T> {
    let (_, rest) = text.split_once(mark)?;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    rest[..end].trim_end_matches('.').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> Witness {
        let mut witness = Witness::default();
        for line in lines {
            assert!(is_memory_line(line), "{line}");
            read(line, "1:2", &mut witness);
        }
        witness
    }

    fn value<T: Copy>(slot: &Option<Logged<T>>) -> Option<T> {
        slot.as_ref().map(|logged| logged.value)
    }

    #[test]
    fn the_lines_of_1_1() {
        let witness = of(&[
            "[12/20/2025-01:02:03] [TRT-LLM] [I] Use 63.40 GB for model weights.",
            "[TRT-LLM] [I] Peak memory during memory usage profiling (torch + non-torch): 113.65 GiB, available KV cache memory when calculating max tokens: 5.95 GiB, fraction is set 0.9, kv size is 73728. device total memory 119.70 GiB, , tmp kv_mem 0.56 GiB",
            "[TRT-LLM] [I] Estimated max memory in KV cache : 5.95 GiB",
            "[TRT-LLM] [W] Both free_gpu_memory_fraction and max_tokens are set (to 0.8999999761581421 and 86711, respectively). The smaller value will be used.",
            "[TensorRT-LLM][INFO] Number of tokens per block: 32.",
            "[TensorRT-LLM][INFO] [MemUsageChange] Allocated 0.56 GiB for max tokens in paged KV cache (8224).",
            "[TensorRT-LLM][INFO] [MemUsageChange] Allocated 5.95 GiB for max tokens in paged KV cache (86720).",
        ]);
        assert_eq!(value(&witness.peak), Some(113.65));
        assert_eq!(value(&witness.budget), Some(5.95));
        assert_eq!(value(&witness.fraction), Some(0.899_999_976_158_142_1));
        assert_eq!(value(&witness.bytes_per_token), Some(73_728));
        assert_eq!((value(&witness.total), value(&witness.temporary)), (Some(119.70), Some(0.56)));
        assert_eq!(value(&witness.token_target), Some(86_711));
        assert_eq!(value(&witness.tokens_per_block), Some(32));
        assert_eq!(witness.pools.iter().map(|pool| pool.value).collect::<Vec<_>>(), [(0.56, 8224), (5.95, 86_720)]);
        assert_eq!(value(&witness.weights), Some(63.40));
    }

    #[test]
    fn the_lines_of_other_releases() {
        let witness = of(&[
            "Peak memory during memory usage profiling (torch + non-torch): 10.00 GiB, available KV cache memory when calculating max tokens: 9.00 GiB, fraction is set 0.8, kv size per token is <cost>. device total memory 24.00 GiB, temporary kv cache memory during profiling 0.25 GiB",
            "Estimated max tokens in KV cache : 1234",
            "max_tokens=99 is provided, max_memory is set to 1.00 GiB",
            "Rank 0 uses 14.20 GB for model weights.",
        ]);
        assert_eq!(value(&witness.bytes_per_token), None);
        assert_eq!((value(&witness.temporary), value(&witness.token_target)), (Some(0.25), Some(1234)));
        assert_eq!((value(&witness.user_tokens), value(&witness.weights)), (Some(99), Some(14.2)));
    }

    #[test]
    fn other_lines_say_nothing() {
        for line in ["", "loading", "Peak memory during memory usage profiling (torch + non-torch): lots"] {
            read(line, "1:2", &mut Witness::default());
        }
        assert!(!is_memory_line("INFO: Uvicorn running on http://0.0.0.0:8000"));
    }
}
