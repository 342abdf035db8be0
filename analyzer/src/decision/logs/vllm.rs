//! The lines of vLLM.

use super::{Logged, count, number, number_after, set};

/// What the log says. GiB with two decimals, but for the weights.
#[derive(Debug, Default)]
pub struct Witness {
    pub weights: Option<Logged<f64>>,
    /// What the rule left for the KV cache.
    pub available: Option<Logged<f64>>,
    pub graphs: Option<Logged<f64>>,
    pub tokens: Option<Logged<u64>>,
    /// Free memory at the first snapshot, and the total.
    pub startup: Option<Logged<(f64, f64)>>,
    /// gpu_memory_utilization, and what it comes to.
    pub requested: Option<Logged<(f64, f64)>>,
    pub peak_activation: Option<Logged<f64>>,
    /// Tokens of a request, and how many such requests fit.
    pub concurrency: Option<Logged<(u64, f64)>>,
    /// Blocks of the rule, and the user's that replace them.
    pub own_blocks: Option<Logged<(u64, u64)>>,
}

pub fn read(text: &str, evidence: &str, witness: &mut Witness) {
    if text.contains("Model loading took ") {
        set(&mut witness.weights, number(text, "took "), evidence);
    }
    if text.contains("Available KV cache memory: ") {
        set(&mut witness.available, number(text, "memory: "), evidence);
    }
    if text.contains("Estimated CUDA graph memory: ") {
        set(&mut witness.graphs, number(text, "graph memory: "), evidence);
    }
    if text.contains("GPU KV cache size: ") {
        set(&mut witness.tokens, count(text, "GPU KV cache size: "), evidence);
    }
    let requests = number_after(text, &["Maximum concurrency for ", " tokens per request: "]);
    set(&mut witness.concurrency, count(text, "Maximum concurrency for ").zip(requests), evidence);
    let own = number(text, "Overriding num_gpu_blocks=").zip(number(text, "with num_gpu_blocks_override="));
    set(&mut witness.own_blocks, own, evidence);
    if let Some((_, rest)) = text.split_once("Free memory on device")
        && text.contains("on startup")
    {
        // The name of the device stands between in newer releases.
        let of_total = rest.split_once('/').and_then(|(_, rest)| number(&format!("/{rest}"), "/"));
        set(&mut witness.startup, number(rest, "(").zip(of_total), evidence);
        let rest = rest.split_once("utilization").map_or("", |(_, rest)| rest);
        let amount = rest.split_once(", ").and_then(|(_, rest)| number(&format!(" {rest}"), " "));
        set(&mut witness.requested, number(rest, "(").zip(amount), evidence);
        let before = rest.split_once(" GiB for peak activation").map_or("", |(before, _)| before);
        let activation = before.rsplit(' ').next().and_then(|figure| figure.parse().ok());
        set(&mut witness.peak_activation, activation, evidence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> Witness {
        let mut witness = Witness::default();
        for line in lines {
            assert!(super::super::is_memory_line(line), "{line}");
            read(line, "1:2", &mut witness);
        }
        witness
    }

    fn value<T: Copy>(slot: &Option<Logged<T>>) -> Option<T> {
        slot.as_ref().map(|logged| logged.value)
    }

    #[test]
    fn the_lines_of_three_releases() {
        let witness = of(&[
            "INFO 11-25 06:00:00 [gpu_model_runner.py:1] Model loading took 14.2717 GiB and 2.1 seconds",
            "INFO 11-25 06:00:00 [gpu_worker.py:298] Available KV cache memory: 55.48 GiB",
            "INFO 11-25 06:00:00 [kv_cache_utils.py:1] GPU KV cache size: 1,038,768 tokens",
            "Estimated CUDA graph memory: 0.12 GiB total",
            "Free memory on device (78.68/79.18 GiB) on startup. Desired GPU memory utilization is (0.9, 71.26 GiB). \
             Actual usage is 14.19 GiB for weight, 0.25 GiB for peak activation, 0.00 GiB for non-torch memory, and \
             0.06 GiB for CUDAGraph memory.",
        ]);
        assert_eq!((value(&witness.weights), value(&witness.available)), (Some(14.2717), Some(55.48)));
        assert_eq!((value(&witness.tokens), value(&witness.graphs)), (Some(1_038_768), Some(0.12)));
        assert_eq!(value(&witness.startup), Some((78.68, 79.18)));
        assert_eq!(value(&witness.requested), Some((0.9, 71.26)));
        assert_eq!(value(&witness.peak_activation), Some(0.25));
        let witness = of(&["GPU KV cache size: 999 tokens, Maximum concurrency for 8,192 tokens per request: 0.12x"]);
        assert_eq!(value(&witness.tokens), Some(999));
        let witness =
            of(&["Free memory on device cuda:0 (15.12/23.0 GiB) on startup is less than desired GPU memory \
                            utilization (0.7, 16.1 GiB). Decrease it."]);
        assert_eq!((value(&witness.startup), value(&witness.requested)), (Some((15.12, 23.0)), Some((0.7, 16.1))));
    }

    #[test]
    fn requests_and_blocks() {
        let one =
            of(&["GPU KV cache size: 1,038,768 tokens, Maximum concurrency for 131,072 tokens per request: 7.93x"]);
        assert_eq!((value(&one.tokens), value(&one.concurrency)), (Some(1_038_768), Some((131_072, 7.93))));
        let two = of(&["Maximum concurrency for 8,192 tokens per request: 126.80x"]);
        assert_eq!((value(&two.tokens), value(&two.concurrency)), (None, Some((8192, 126.8))));
        let own = of(&["Overriding num_gpu_blocks=64923 with num_gpu_blocks_override=512"]);
        assert_eq!(value(&own.own_blocks), Some((64_923, 512)));
        assert_eq!(value(&of(&["Model loading took 14.27 GiB memory and 9.1 seconds"]).weights), Some(14.27));
    }

    #[test]
    fn other_lines_say_nothing() {
        let mut witness = Witness::default();
        for line in ["", "Available KV cache memory: lots", "Free memory on device on startup", "GPU KV cache size: "] {
            read(line, "1:2", &mut witness);
        }
        assert!(witness.available.is_none() && witness.startup.is_none() && witness.tokens.is_none());
    }
}
