//! The lines of SGLang. Its GB are GiB.

use super::{Logged, number, number_after, set};

/// What the log says. GiB with two decimals.
#[derive(Debug, Default)]
pub struct Witness {
    /// Free memory before the weights.
    pub before: Option<Logged<f64>>,
    /// Free memory after the weights.
    pub after: Option<Logged<f64>>,
    pub weights: Option<Logged<f64>>,
    pub tokens: Option<Logged<u64>>,
    /// K and V together.
    pub size: Option<Logged<f64>>,
    /// Used before anything was loaded (0.5.23).
    pub baseline: Option<Logged<f64>>,
    /// Free once the pools are allocated, when graph capture begins, and at the end.
    pub after_pools: Option<Logged<f64>>,
    pub before_graphs: Option<Logged<f64>>,
    pub left: Option<Logged<f64>>,
    /// max_total_num_tokens and context_len of the last line.
    pub usable: Option<Logged<(u64, u64)>>,
    /// Tokens that the reserved addresses would hold, where the pool is sized after graph capture.
    pub most_tokens: Option<Logged<u64>>,
}

pub fn read(text: &str, evidence: &str, witness: &mut Witness) {
    if text.contains("Load weight begin") {
        set(&mut witness.before, number(text, "avail mem="), evidence);
    }
    if text.contains("Load weight end") {
        set(&mut witness.after, number(text, "avail mem="), evidence);
        // Behind the free memory; some releases have it only there.
        set(&mut witness.weights, number(text, "mem usage="), evidence);
    }
    if text.contains("KV Cache is allocated") {
        set(&mut witness.tokens, number(text, "#tokens: "), evidence);
        let halves = number::<f64>(text, "K size: ").zip(number::<f64>(text, "V size: ")).map(|(k, v)| k + v);
        set(&mut witness.size, halves.or_else(|| number(text, "KV size: ")), evidence);
    }
    if text.contains("KV Cache VA upper bound") {
        set(&mut witness.most_tokens, number(text, "#tokens: "), evidence);
    }
    set(&mut witness.baseline, number_after(text, &["Memory baseline taken", "mem usage="]), evidence);
    set(&mut witness.after_pools, number_after(text, &["Memory pool end", "avail mem="]), evidence);
    set(&mut witness.before_graphs, number_after(text, &["Capture cuda graph begin", "avail mem="]), evidence);
    let usable = number(text, "max_total_num_tokens=").zip(number(text, "context_len="));
    set(&mut witness.usable, usable, evidence);
    set(&mut witness.left, number(text, "available_gpu_mem="), evidence);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines() {
        let mut witness = Witness::default();
        for line in [
            "[2026-11-25 06:00:00] Load weight begin. avail mem=78.68 GB",
            "[2026-11-25 06:00:01] Load weight end. type=Qwen2ForCausalLM, avail mem=64.49 GB, mem usage=14.19 GB.",
            "[2026-11-25 06:00:02] KV Cache is allocated. dtype: torch.bfloat16, #tokens: 1060284, K size: 28.31 GB, V size: 28.31 GB",
        ] {
            assert!(super::super::is_memory_line(line), "{line}");
            read(line, "1:2", &mut witness);
        }
        let value = |slot: &Option<Logged<f64>>| slot.as_ref().map(|logged| logged.value);
        assert_eq!((value(&witness.before), value(&witness.after)), (Some(78.68), Some(64.49)));
        assert_eq!((value(&witness.weights), value(&witness.size)), (Some(14.19), Some(56.62)));
        assert_eq!(witness.tokens.map(|tokens| tokens.value), Some(1_060_284));
        let mut mla = Witness::default();
        read("KV Cache is allocated. #tokens: 5, KV size: 1.50 GB", "1:2", &mut mla);
        assert_eq!((value(&mla.size), mla.tokens.map(|tokens| tokens.value)), (Some(1.5), Some(5)));
    }

    #[test]
    fn the_lines_around_them() {
        let mut witness = Witness::default();
        for line in [
            "Memory baseline taken. mem usage=0.52 GB",
            "Memory pool end. avail mem=7.87 GB",
            "Capture cuda graph begin. This can take up to several minutes. avail mem=7.80 GB",
            "max_total_num_tokens=1060284, chunked_prefill_size=8192, max_running_requests=2048, context_len=131072, available_gpu_mem=6.15 GB",
        ] {
            assert!(super::super::is_memory_line(line), "{line}");
            read(line, "1:2", &mut witness);
        }
        let value = |slot: &Option<Logged<f64>>| slot.as_ref().map(|logged| logged.value);
        assert_eq!((value(&witness.baseline), value(&witness.after_pools)), (Some(0.52), Some(7.87)));
        assert_eq!((value(&witness.before_graphs), value(&witness.left)), (Some(7.8), Some(6.15)));
        assert_eq!(witness.usable.map(|usable| usable.value), Some((1_060_284, 131_072)));
        let mut late = Witness::default();
        read("KV Cache VA upper bound. #tokens: 2000000, K size: 50.00 GB, V size: 50.00 GB", "1:2", &mut late);
        assert_eq!(late.most_tokens.map(|tokens| tokens.value), Some(2_000_000));
        assert!(late.tokens.is_none() && late.size.is_none(), "addresses are no memory");
    }
}
