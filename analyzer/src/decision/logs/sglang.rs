//! The lines of SGLang. Its GB are GiB.

use super::{Logged, number, set};

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
}
