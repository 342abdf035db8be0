//! The lines of TensorRT-LLM, of its PyTorch backend and of its C++ engine.

use super::{Logged, number, set};

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
    /// GiB, total and available, that the engine found at its one question.
    pub asked: Option<Logged<(f64, f64)>>,
}

pub fn read(text: &str, evidence: &str, witness: &mut Witness) {
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
    if text.contains("Memory usage when calculating max tokens in paged kv cache") {
        let asked = number(text, "total: ").zip(number(text, "available: "));
        set(&mut witness.asked, asked, evidence);
    }
}

#[cfg(test)]
mod tests {
    use super::super::is_memory_line;
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
