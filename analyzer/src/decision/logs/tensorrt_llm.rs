//! The lines of TensorRT-LLM, of its PyTorch backend and of its C++ engine.

use super::{Logged, number, number_after, set};

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
    /// GiB in and outside torch at query A.
    pub inside_torch: Option<Logged<f64>>,
    pub outside_torch: Option<Logged<f64>>,
    /// GiB that torch's peak rose by from query A on.
    pub dynamic: Option<Logged<f64>>,
    /// GiB outside torch at query B.
    pub non_torch: Option<Logged<f64>>,
    /// GiB of the budget once the user's caps are applied.
    pub capped: Option<Logged<f64>>,
    /// GiB free and in total at query C, every digit.
    pub before_pool: Option<Logged<(f64, f64)>>,
    /// GiB that the user allows.
    pub user_bytes: Option<Logged<f64>>,
    /// GiB that the user's tokens or bytes leave.
    pub limited: Option<Logged<f64>>,
    /// Attention window, and the tokens of the (temporary) pool that it is cut to.
    pub window_cut: Option<Logged<(u64, u64)>>,
    /// Tokens that sequences are cut to.
    pub sequence_cut: Option<Logged<u64>>,
    /// Share of the total that torch is held to, and the GiB that it is, every digit: they give the total to the byte.
    pub torch_limit: Option<Logged<(f64, f64)>>,
    /// GiB of checkpoint read before loading.
    pub prefetched: Option<Logged<f64>>,
    /// Window, primary and secondary blocks, one for each window.
    pub windows: Vec<Logged<(u64, u64, u64)>>,
    /// Blocks of an engine with one window.
    pub blocks: Option<Logged<u64>>,
    /// MiB of the engine file's weights.
    pub engine: Option<Logged<f64>>,
    /// Of manager V2: GiB of the device's quota, of the host's, and of what the user's tokens allow.
    pub quota: Option<Logged<f64>>,
    pub host_quota: Option<Logged<f64>>,
    pub quota_from_tokens: Option<Logged<f64>>,
}

pub fn read(text: &str, evidence: &str, witness: &mut Witness) {
    if text.contains("Peak memory during memory usage profiling") {
        set(&mut witness.peak, number(text, "(torch + non-torch): "), evidence);
        set(&mut witness.budget, number(text, "when calculating max tokens: "), evidence);
        set(&mut witness.fraction, number(text, "fraction is set "), evidence);
        let bytes = number(text, "kv size is ").or_else(|| number(text, "kv size per token is "));
        set(&mut witness.bytes_per_token, bytes, evidence);
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
    profile(text, evidence, witness);
    caps(text, evidence, witness);
    engine(text, evidence, witness);
}

/// What the profile of the PyTorch backend prints beside its peak.
fn profile(text: &str, evidence: &str, witness: &mut Witness) {
    const LOADED: &str = "Memory used after loading model weights (";
    let gib = |marks: &[&str]| number_after(text, marks);
    set(&mut witness.inside_torch, gib(&[LOADED, "inside torch) in memory usage profiling: "]), evidence);
    set(&mut witness.outside_torch, gib(&[LOADED, "outside torch) in memory usage profiling: "]), evidence);
    set(&mut witness.dynamic, gib(&["Memory dynamically allocated during inference", "profiling: "]), evidence);
    set(&mut witness.non_torch, gib(&["Memory used outside torch (e.g.", "profiling: "]), evidence);
    set(&mut witness.prefetched, number(text, "Prefetching "), evidence);
    let limit = number(text, "Setting PyTorch memory fraction to ")
        .zip(number_after(text, &["Setting PyTorch memory fraction to ", " ("]));
    set(&mut witness.torch_limit, limit, evidence);
}

/// What bounds the budget, and what of it is left.
fn caps(text: &str, evidence: &str, witness: &mut Witness) {
    set(&mut witness.capped, number(text, "Estimated max memory in KV cache : "), evidence);
    set(&mut witness.user_bytes, number(text, "max_gpu_total_bytes="), evidence);
    if text.contains("is provided") {
        set(&mut witness.limited, number(text, "max_memory is set to "), evidence);
    }
    let cut = number(text, "Attention window size ").zip(number(text, "exceeds upper bound "));
    set(&mut witness.window_cut, cut, evidence);
    set(&mut witness.sequence_cut, number(text, "Adjusted max_seq_len to "), evidence);
    if let Some((_, rest)) = text.split_once(" with free memory ") {
        let figures: Option<(f64, f64)> = number(&format!(" {rest}"), " ").zip(number(rest, "total memory "));
        // About 1.2 divides by 2^32 and names no unit.
        let unit = if rest.contains("GiB") { 1.0 } else { 4.0 };
        set(&mut witness.before_pool, figures.map(|(free, total)| (free * unit, total * unit)), evidence);
    }
    set(&mut witness.quota, number(text, "KV cache manager v2 device quota set to "), evidence);
    set(&mut witness.host_quota, number(text, "KV cache manager v2 host cache quota set to "), evidence);
    if let Some(quota) = number(text, "Allowed quota from max_tokens is ") {
        set(&mut witness.quota_from_tokens, Some(quota), evidence);
        set(&mut witness.user_tokens, number(text, "max_tokens "), evidence);
    }
}

/// What the C++ engine prints.
fn engine(text: &str, evidence: &str, witness: &mut Witness) {
    set(&mut witness.engine, number(text, "Loaded engine size: "), evidence);
    set(&mut witness.blocks, number(text, "Number of blocks in KV cache primary pool: "), evidence);
    // Spelt so by the runtime; a later release may spell it right.
    let secondary = || number(text, ".secondayBlocks=").or_else(|| number(text, ".secondaryBlocks="));
    if let Some(window) = number(text, "[windowSize=")
        && let Some((primary, secondary)) = number(text, ".primaryBlocks=").zip(secondary())
    {
        witness.windows.push(Logged { value: (window, primary, secondary), evidence: evidence.to_owned() });
    }
    if text.contains("Using UVM based system memory for KV cache") {
        // 10^9 bytes here.
        let gib = |mark| number::<f64>(text, mark).map(|gb| gb * 1e9 / (1u64 << 30) as f64);
        set(&mut witness.asked, gib("total memory ").zip(gib("available memory ")), evidence);
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
    fn the_lines_around_the_peak() {
        let witness = of(&[
            "[TRT-LLM] [I] Prefetching 60.77GB checkpoint files.",
            "Memory used after loading model weights (inside torch) in memory usage profiling: 63.52 GiB",
            "Memory used after loading model weights (outside torch) in memory usage profiling: 48.71 GiB",
            "Memory dynamically allocated during inference (inside torch) in memory usage profiling: 0.85 GiB",
            "Memory used outside torch (e.g., NCCL and CUDA graphs) in memory usage profiling: 49.28 GiB",
            "Estimated max memory in KV cache : 5.95 GiB",
            "Setting PyTorch memory fraction to 0.5117 (61.25 GiB)",
        ]);
        assert_eq!((value(&witness.inside_torch), value(&witness.outside_torch)), (Some(63.52), Some(48.71)));
        assert_eq!((value(&witness.dynamic), value(&witness.non_torch)), (Some(0.85), Some(49.28)));
        assert_eq!((value(&witness.capped), value(&witness.prefetched)), (Some(5.95), Some(60.77)));
        assert_eq!(value(&witness.torch_limit), Some((0.5117, 61.25)));
    }

    #[test]
    fn the_caps_of_1_2_and_main() {
        const SET: &str = "[W] Both free_gpu_memory_fraction and max_tokens are set (to 0.9 and 86711";
        const END: &str = ", respectively). The smaller value will be used.";
        let quarters = of(&[&format!("{SET} with free memory 5.5 of total memory 29.75{END}")]);
        assert_eq!(value(&quarters.before_pool), Some((22.0, 119.0)));
        assert_eq!((value(&quarters.fraction), value(&quarters.token_target)), (Some(0.9), Some(86_711)));
        let whole = of(&[&format!("{SET} with free memory 22.5GiB of total memory 119.5GiB{END}")]);
        assert_eq!(value(&whole.before_pool), Some((22.5, 119.5)));
        assert_eq!(value(&of(&[&format!("{SET}{END}")]).before_pool), None);
        let user = of(&[
            "max_tokens=4096 is provided. It limits max memory to 0.28 GiB. New max_memory is set to 0.28 GiB",
            "max_gpu_total_bytes=7.50 GiB is provided. New max_memory is set to 5.95 GiB",
        ]);
        assert_eq!((value(&user.user_tokens), value(&user.user_bytes)), (Some(4096), Some(7.5)));
        assert_eq!(value(&user.limited), Some(5.95));
        let cut = of(&[
            "Attention window size 131072 exceeds upper bound 8224 for available blocks. Reducing to 8224.",
            "Adjusted max_seq_len to 8224",
        ]);
        assert_eq!((value(&cut.window_cut), value(&cut.sequence_cut)), (Some((131_072, 8224)), Some(8224)));
    }

    #[test]
    fn the_lines_of_manager_v2() {
        let witness = of(&[
            "max_gpu_total_bytes is provided. New quota is 5.9512GiB",
            "max_tokens 4096 is provided. Allowed quota from max_tokens is 0.2961GiB. New quota is 0.2961GiB",
            "KV cache manager v2 device quota set to 0.2961GiB",
            "KV cache manager v2 host cache quota set to 0.125GiB",
        ]);
        assert_eq!((value(&witness.quota), value(&witness.host_quota)), (Some(0.2961), Some(0.125)));
        assert_eq!((value(&witness.quota_from_tokens), value(&witness.user_tokens)), (Some(0.2961), Some(4096)));
        assert_eq!(value(&witness.user_bytes), None);
    }

    #[test]
    fn the_lines_of_the_engine() {
        let witness = of(&[
            "[TensorRT-LLM][INFO] Loaded engine size: 15320 MiB",
            "[TensorRT-LLM][INFO] [MemUsageChange] Allocated 1.50 GiB for execution context memory.",
            "[TensorRT-LLM][INFO] Memory usage when calculating max tokens in paged kv cache: total: 79.10 GiB, available: 70.48 GiB",
            "[TensorRT-LLM][INFO] Number of blocks in KV cache primary pool: 4060",
            "[TensorRT-LLM][INFO] Number of blocks in KV cache secondary pool: 0, onboard blocks to primary memory before reuse: true",
            "[TensorRT-LLM][INFO] [windowSize=1024] {.primaryBlocks=31, .secondayBlocks=5}",
            "[TensorRT-LLM][INFO] [windowSize=8192] {.primaryBlocks=4060, .secondayBlocks=640}",
        ]);
        assert_eq!((value(&witness.engine), value(&witness.asked)), (Some(15320.0), Some((79.10, 70.48))));
        assert_eq!((value(&witness.blocks), witness.pools.len()), (Some(4060), 0));
        let windows: Vec<_> = witness.windows.iter().map(|window| window.value).collect();
        assert_eq!(windows, [(1024, 31, 5), (8192, 4060, 640)]);
        let managed = of(&[
            "Using UVM based system memory for KV cache, total memory 128.5 GB, available memory 21.474836480 GB",
        ]);
        assert_eq!(value(&managed.asked).map(|(_, free)| free), Some(20.0));
    }

    #[test]
    fn other_lines_say_nothing() {
        for line in ["", "loading", "Peak memory during memory usage profiling (torch + non-torch): lots"] {
            read(line, "1:2", &mut Witness::default());
        }
        assert!(!is_memory_line("INFO: Uvicorn running on http://0.0.0.0:8000"));
    }
}
