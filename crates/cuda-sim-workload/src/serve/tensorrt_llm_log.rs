//! The lines that TensorRT-LLM 1.1.0rc3 prints while it sizes its KV cache.

use crate::size::gib;
use kvtrace_sizing::tensorrt_llm::Pool;

/// Prints as one rank.
#[derive(Debug, Clone, Copy)]
pub struct Log {
    /// Of a run with several ranks.
    pub rank: Option<u32>,
}

/// What the profiling found. Sizes in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Profiled {
    pub weights: u64,
    pub transient: u64,
    pub total: u64,
    pub free_b: u64,
    pub peak: u64,
    pub budget: u64,
    pub temporary: u64,
    pub fraction: f64,
    pub bytes_per_token: u64,
    pub max_tokens: Option<u64>,
}

impl Log {
    /// A line of the Python part, of level `I` or `W`.
    fn python(&self, level: char, text: &str) {
        println!("{}", python(&now(), self.rank, level, text));
    }

    fn cpp(&self, text: &str) {
        println!("[TensorRT-LLM][INFO] {text}");
    }

    /// Before the files are read.
    pub fn prefetching(&self, bytes: u64) {
        self.python('I', &format!("Prefetching {:.2}GB checkpoint files.", gib(bytes)));
    }

    /// After the weights are on the device.
    pub fn weights(&self, bytes: u64) {
        self.python('I', &format!("Use {:.2} GB for model weights.", gib(bytes)));
    }

    /// After a pool of the KV cache is allocated.
    pub fn pool(&self, bytes: u64, tokens: u64, tokens_per_block: u64) {
        self.cpp(&format!("Number of tokens per block: {tokens_per_block}."));
        let size = gib(bytes);
        self.cpp(&format!("[MemUsageChange] Allocated {size:.2} GiB for max tokens in paged KV cache ({tokens})."));
    }

    /// After query A.
    pub fn loaded(&self, weights: u64, used: u64) {
        let line = |side: &str, bytes: u64| {
            let place = format!("({side} torch) in memory usage profiling");
            self.python('I', &format!("Memory used after loading model weights {place}: {:.2} GiB", gib(bytes)));
        };
        line("inside", weights);
        line("outside", used.saturating_sub(weights));
    }

    /// After query B.
    pub fn profiled(&self, found: &Profiled) {
        let inside = "(inside torch) in memory usage profiling";
        let outside = (found.total - found.free_b).saturating_sub(found.weights);
        let of = gib(found.transient);
        self.python('I', &format!("Memory dynamically allocated during inference {inside}: {of:.2} GiB"));
        let of = "(e.g., NCCL and CUDA graphs) in memory usage profiling";
        self.python('I', &format!("Memory used outside torch {of}: {:.2} GiB", gib(outside)));
        self.python('I', &found.peak_line());
        let mut most = found.budget;
        if let Some(tokens) = found.max_tokens {
            most = most.min(tokens.saturating_mul(found.bytes_per_token));
            self.python('I', &format!("max_tokens={tokens} is provided, max_memory is set to {:.2} GiB", gib(most)));
        }
        self.python('I', &format!("Estimated max memory in KV cache : {:.2} GiB", gib(most)));
    }

    /// Before the final pool is allocated.
    pub fn target(&self, fraction: f64, pool: &Pool) {
        let tokens = pool.token_target;
        let values = format!("(to {fraction} and {tokens}, respectively)");
        let text =
            format!("Both free_gpu_memory_fraction and max_tokens are set {values}. The smaller value will be used.");
        self.python('W', &text);
    }

    /// Of the engine, before it asks.
    pub fn engine(&self, weights: u64) {
        self.cpp(&format!("Loaded engine size: {} MiB", weights >> 20));
    }

    /// Of the engine, after its one question.
    pub fn asked(&self, total: u64, available: u64) {
        self.cpp(&format!(
            "Memory usage when calculating max tokens in paged kv cache: total: {:.2} GiB, available: {:.2} GiB",
            gib(total),
            gib(available)
        ));
    }

    /// Of the engine, before it allocates.
    pub fn blocks(&self, blocks: u64) {
        self.cpp(&format!("Number of blocks in KV cache primary pool: {blocks}"));
    }

    /// Once everything is there.
    pub fn torch_limit(&self, bytes: u64, total: u64) {
        let ratio = bytes as f64 / total as f64;
        self.python('I', &format!("Setting PyTorch memory fraction to {ratio} ({} GiB)", gib(bytes)));
    }
}

impl Profiled {
    fn peak_line(&self) -> String {
        format!(
            "Peak memory during memory usage profiling (torch + non-torch): {:.2} GiB, \
             available KV cache memory when calculating max tokens: {:.2} GiB, fraction is set {}, kv size is {}. \
             device total memory {:.2} GiB, , tmp kv_mem {:.2} GiB",
            gib(self.peak),
            gib(self.budget),
            self.fraction,
            self.bytes_per_token,
            gib(self.total),
            gib(self.temporary),
        )
    }
}

fn python(now: &str, rank: Option<u32>, level: char, text: &str) -> String {
    let rank = rank.map(|rank| format!("[RANK {rank}] ")).unwrap_or_default();
    format!("[{now}] [TRT-LLM] {rank}[{level}] {text}")
}

/// Local time as the runtime prints it.
fn now() -> String {
    super::now(c"%m/%d/%Y-%H:%M:%S")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_public_log() {
        let bytes = |gib: f64| (gib * (1u64 << 30) as f64) as u64;
        let found = Profiled {
            weights: bytes(63.52),
            transient: bytes(0.85),
            total: bytes(119.70),
            free_b: bytes(6.9),
            peak: bytes(113.65),
            budget: bytes(5.95),
            temporary: 8224 * 73_728,
            fraction: f64::from(0.9f32),
            bytes_per_token: 73_728,
            max_tokens: None,
        };
        assert_eq!(
            found.peak_line(),
            "Peak memory during memory usage profiling (torch + non-torch): 113.65 GiB, available KV cache memory when calculating max tokens: 5.95 GiB, fraction is set 0.8999999761581421, kv size is 73728. device total memory 119.70 GiB, , tmp kv_mem 0.56 GiB"
        );
    }

    #[test]
    fn prefixes() {
        assert_eq!(python("T", None, 'I', "x"), "[T] [TRT-LLM] [I] x");
        assert_eq!(python("T", Some(3), 'W', "x"), "[T] [TRT-LLM] [RANK 3] [W] x");
        assert_eq!(now().len(), "12/20/2025-01:02:03".len());
    }
}
