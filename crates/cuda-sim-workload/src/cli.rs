//! Arguments.

use crate::model::Model;
use crate::size;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// A serving workload for the simulated GPU. It sizes its KV cache in the order of calls of a runtime of your choice.
#[derive(Debug, Parser)]
#[command(name = "kvtrace-workload", version, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  A small server on the simulated GPU:
    LD_LIBRARY_PATH=target/kvtrace/lib/sim kvtrace-workload serve --model tiny

  The effect of page cache on a unified-memory device: serve, fill the cache, serve again.
    kvtrace-workload serve --model deepseek-7b --json
    kvtrace-workload fill-page-cache /tmp/cache.bin --bytes 8GiB
    kvtrace-workload serve --model deepseek-7b --json
    kvtrace-workload drop-page-cache /tmp/cache.bin

Sizes are bytes, or a number with KiB, MiB, GiB, KB, MB or GB.
Exit codes: 0 done, 1 the device refused, 2 bad arguments or files.";

/// What the program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Load weights, profile, size the KV cache and allocate it.
    Serve(Serve),
    /// Write safetensors files to serve from.
    MakeWeights(MakeWeights),
    /// Bring bytes of a file into the page cache, writing the file first where it is missing or shorter.
    FillPageCache(FillPageCache),
    /// Write files out and drop them from the page cache.
    DropPageCache(DropPageCache),
}

/// Options of `serve`.
#[derive(Debug, Clone, Args)]
#[command(after_help = ORDER)]
pub struct Serve {
    /// Runtime whose order of calls, rule and log lines are followed.
    #[arg(long, value_enum, default_value_t = Runtime::TensorrtLlm)]
    pub runtime: Runtime,
    /// Model whose KV bytes per token and weights count.
    #[arg(long, value_enum, default_value_t = Model::Deepseek7b)]
    pub model: Model,
    /// Directory of safetensors files to read, as a checkpoint is: their bytes enter the page cache.
    #[arg(long, value_name = "DIR")]
    pub weights: Option<PathBuf>,
    /// Device bytes for the weights [default: the size of the files in --weights, else the model's].
    #[arg(long, value_name = "N", value_parser = size::parse)]
    pub weights_bytes: Option<u64>,
    /// free_gpu_memory_fraction, gpu_memory_utilization or mem_fraction_static, above 0 and at most 1. TensorRT-LLM's ranks
    /// on the one simulated device divide it evenly.
    #[arg(long, value_name = "F", default_value_t = 0.9, value_parser = fraction)]
    pub fraction: f64,
    /// Upper bound for the tokens of the KV cache.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_tokens: Option<u64>,
    /// Activations of the dummy forward, in bytes.
    #[arg(long, value_name = "BYTES", default_value = "256MiB", value_parser = size::parse)]
    pub transient: u64,
    /// What captured graphs take, in bytes, for vLLM's estimate from 0.20 on.
    #[arg(long, value_name = "BYTES", default_value = "64MiB", value_parser = size::parse)]
    pub graphs: u64,
    /// How the CUDA runtime is reached: linked into the program, or libcudart.so.12 or .13 found at run time.
    #[arg(long, value_enum, default_value_t = Linkage::Static)]
    pub cudart: Linkage,
    /// Worker processes under a launcher, each with its share of the weights; 0 serves in this process.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=64))]
    pub workers: u32,
    /// How the launcher starts its workers.
    #[arg(long, value_enum, default_value_t = Start::Spawn)]
    pub start: Start,
    /// Stay up for this long once the KV cache is there.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, value_parser = seconds)]
    pub hold: f64,
    /// End with a line of JSON: what the device answered and what was allocated.
    #[arg(long)]
    pub json: bool,
    /// Rank of a worker that the launcher started.
    #[arg(long, hide = true)]
    pub rank: Option<u32>,
    /// Descriptor of the memory that the ranks share.
    #[arg(long, hide = true, default_value_t = -1)]
    pub rendezvous: i32,
}

const ORDER: &str = "\
Order of calls of tensorrt-llm: set the device, ask for free memory, read the weights and allocate them in chunks, allocate the \
temporary KV pool, query A, dummy forward, query B, free the temporary pool, query C, allocate the final pool. \
The budget is F x (free at B + temporary pool - transient), capped by F x free at C.";

/// Whose order of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Runtime {
    /// TensorRT-LLM, PyTorch backend.
    TensorrtLlm,
    /// TensorRT-LLM, C++ engine.
    TensorrtLlmCpp,
    /// vLLM 0.10: the driver's free memory everywhere.
    #[value(name = "vllm-0.10")]
    Vllm010,
    /// vLLM 0.20: MemAvailable on integrated GPUs, an estimate for graphs.
    #[value(name = "vllm-0.20")]
    Vllm020,
    /// vLLM 0.33: one tensor for the KV cache.
    #[value(name = "vllm-0.33")]
    Vllm033,
    /// SGLang 0.5: a share of what was free before the weights.
    Sglang,
    /// llama.cpp: a size from the context.
    #[value(name = "llama.cpp")]
    LlamaCpp,
}

/// How the CUDA runtime is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Linkage {
    /// Linked into this program: no symbol of it can be interposed.
    Static,
    /// dlopen of libcudart.so.12.
    #[value(name = "12")]
    V12,
    /// dlopen of libcudart.so.13.
    #[value(name = "13")]
    V13,
}

/// How workers start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Start {
    /// fork without exec.
    Fork,
    /// fork and exec of this program.
    Spawn,
}

/// Options of `make-weights`.
#[derive(Debug, Args)]
pub struct MakeWeights {
    /// Directory to write to; created if missing.
    pub dir: PathBuf,
    /// Size of all safetensors files together.
    #[arg(long, value_name = "N", value_parser = size::parse)]
    pub bytes: u64,
    /// Number of files [default: one per 4 GiB].
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..=99_999))]
    pub shards: Option<u32>,
}

/// Options of `fill-page-cache`.
#[derive(Debug, Args)]
pub struct FillPageCache {
    /// File on a real disk; tmpfs is no page cache that could be dropped.
    pub file: PathBuf,
    /// Bytes to have in the page cache.
    #[arg(long, value_name = "N", value_parser = size::parse)]
    pub bytes: u64,
}

/// Options of `drop-page-cache`.
#[derive(Debug, Args)]
pub struct DropPageCache {
    /// Files to drop; of a directory, the files in it.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

fn fraction(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 1.0 => Ok(value),
        _ => Err("must be above 0 and at most 1".into()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1e6).contains(&value) => Ok(value),
        _ => Err("must be a number of seconds, 0 to 1000000".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn serve(arguments: &[&str]) -> Result<Serve, clap::Error> {
        let line = ["kvtrace-workload", "serve"].iter().chain(arguments);
        Cli::try_parse_from(line).map(|cli| match cli.command {
            Command::Serve(serve) => serve,
            other => unreachable!("{other:?}"),
        })
    }

    #[test]
    fn the_command_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults() {
        let serve = serve(&[]).unwrap();
        assert_eq!((serve.model, serve.fraction, serve.transient), (Model::Deepseek7b, 0.9, 256 << 20));
        assert_eq!((serve.cudart, serve.start, serve.workers), (Linkage::Static, Start::Spawn, 0));
        assert_eq!((serve.weights_bytes, serve.max_tokens, serve.rank), (None, None, None));
    }

    #[test]
    fn values() {
        let serve =
            serve(&["--model", "qwen2.5-72b", "--weights-bytes", "2GiB", "--cudart", "13", "--start", "fork"]).unwrap();
        assert_eq!((serve.model, serve.weights_bytes), (Model::Qwen25_72b, Some(2 << 30)));
        assert_eq!((serve.cudart, serve.start), (Linkage::V13, Start::Fork));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for bad in [
            ["--fraction", "0"],
            ["--fraction", "1.1"],
            ["--fraction", "NaN"],
            ["--max-tokens", "0"],
            ["--workers", "65"],
            ["--cudart", "11"],
            ["--hold", "-1"],
            ["--transient", "much"],
        ] {
            assert_eq!(serve(&bad).unwrap_err().exit_code(), 2, "{bad:?}");
        }
        assert!(Cli::try_parse_from(["kvtrace-workload", "drop-page-cache"]).is_err());
        assert!(
            Cli::try_parse_from(["kvtrace-workload", "make-weights", "x", "--bytes", "1", "--shards", "0"]).is_err()
        );
    }
}
