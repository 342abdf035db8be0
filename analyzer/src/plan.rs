//! `kvtrace plan`: what a KV cache of some size holds for a model, and the settings that give it.

use crate::decision::Decision;
use crate::failure::Failure;
use crate::{decision, ledger, load};
use kvtrace_sizing::Refusal;
use kvtrace_sizing::element::Element;
use kvtrace_sizing::kv_bytes::HeadSplit;
use kvtrace_sizing::model::{KvSize, ModelConfig, Place, requests};
use kvtrace_sizing::units::parse_bytes;
use serde::Serialize;
use std::path::PathBuf;

/// Contexts that requests are counted for, tokens.
const CONTEXTS: [u64; 4] = [2048, 8192, 32_768, 131_072];
const HINT: &str = "give the config.json of a Hugging Face model";

/// Whose way to divide heads, whose blocks, whose flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Runtime {
    #[value(name = "tensorrt-llm")]
    TensorrtLlm,
    Vllm,
    Sglang,
}

/// The plan as the user asked for it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Options {
    /// config.json of the model, as Hugging Face has it
    #[arg(long, value_name = "FILE")]
    pub model: PathBuf,
    /// Size of the KV cache on each rank
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes, required_unless_present = "trace")]
    pub kv: Option<u64>,
    /// Take the size from the decision of this trace
    #[arg(long, value_name = "TRACE", conflicts_with = "kv")]
    pub trace: Option<PathBuf>,
    /// Type of the cache, such as bf16, fp8 or nvfp4 [default: what the model's configuration asks for]
    #[arg(long, value_name = "TYPE", value_parser = element)]
    pub kv_dtype: Option<Element>,
    /// Tensor-parallel ranks
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=4096))]
    pub tp: u64,
    /// Tokens of a block [default: 32 for TensorRT-LLM, 16 for vLLM, 1 for SGLang]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=65_536))]
    pub block: Option<u64>,
    /// Runtime whose blocks and flags count
    #[arg(long, value_enum, default_value_t = Runtime::TensorrtLlm)]
    pub runtime: Runtime,
}

const EXAMPLES: &str = "\
Examples:
  What 44.31 GiB hold for a model:
    kvtrace plan --model DeepSeek-R1-Distill-Qwen-7B/config.json --kv 44.31GiB
  What a traced server's cache would hold in fp8, divided over two ranks:
    kvtrace plan --model config.json --trace native --kv-dtype fp8 --tp 2 --runtime vllm";

fn element(text: &str) -> Result<Element, String> {
    Element::named(text).ok_or_else(|| format!("{text:?} is no type of a KV cache; write for example bf16, fp8, nvfp4"))
}

#[derive(Debug, Serialize)]
pub struct Plan {
    pub model: Option<String>,
    pub kv_dtype: String,
    /// On one rank, while every attention layer keeps the token.
    pub kv_bytes_per_token: u64,
    /// On one rank.
    pub kv_bytes: u64,
    /// Where the size comes from: `--kv`, or the events of a trace.
    pub kv_evidence: Vec<String>,
    pub tokens_per_block: u64,
    pub blocks: u64,
    pub tokens: u64,
    pub attention_layers: u64,
    /// Layers that keep a window only, where a runtime makes use of that.
    pub sliding_layers: u64,
    /// Layers with a fixed state for each request, which is not counted.
    pub recurrent_layers: u64,
    pub window: u64,
    pub capacity: Vec<Capacity>,
    /// What to set for this size, in the runtime's own words.
    pub settings: Vec<String>,
    pub notes: Vec<String>,
}

/// How many requests fit at once.
#[derive(Debug, Serialize)]
pub struct Capacity {
    /// Tokens of each.
    pub context: u64,
    pub requests: u64,
    /// Beyond what the model was made for.
    pub beyond_model: bool,
}

/// Works it out.
///
/// # Errors
/// Bad input if the configuration cannot be read or its cache is not known; those of a trace.
pub fn plan(options: &Options) -> Result<Plan, Failure> {
    let shown = options.model.display();
    let text =
        std::fs::read_to_string(&options.model).map_err(|error| Failure::input(format!("{shown}: {error}"), HINT))?;
    let refused = |refusal: Refusal| Failure::input(format!("{shown}: {refusal}"), HINT);
    let model = ModelConfig::parse(&text).map_err(refused)?;
    let element = options.kv_dtype.or(model.cache_dtype).or(model.dtype);
    let element = element.ok_or_else(|| {
        Failure::input(format!("{shown}: says no dtype"), "name the cache's type, for example --kv-dtype bf16")
    })?;
    let split = if options.runtime == Runtime::TensorrtLlm { HeadSplit::Ceil } else { HeadSplit::Floor };
    let place = Place { tensor_parallel: options.tp, split, layers: None, element };
    let size = model.kv(&place).map_err(refused)?;
    let (kv_bytes, kv_evidence) = pool(options)?;
    let tokens_per_block = options.block.unwrap_or(match options.runtime {
        Runtime::TensorrtLlm => 32,
        Runtime::Vllm => 16,
        Runtime::Sglang => 1,
    });
    let block = size.bytes_per_block(tokens_per_block).map_err(refused)?;
    let blocks = kv_bytes.checked_div(block).unwrap_or(0);
    let tokens = blocks.saturating_mul(tokens_per_block);
    Ok(Plan {
        kv_dtype: format!("{element:?}").to_lowercase(),
        kv_bytes_per_token: size.bytes_per_token,
        kv_bytes,
        kv_evidence,
        tokens_per_block,
        blocks,
        tokens,
        attention_layers: size.full_layers + size.sliding_layers,
        sliding_layers: size.sliding_layers,
        recurrent_layers: size.recurrent_layers,
        window: size.window,
        capacity: capacity(tokens, tokens_per_block, model.context),
        settings: settings(options.runtime, kv_bytes, tokens),
        notes: notes(&size, options),
        model: model.kind,
    })
}

/// `most`: tokens that the model was made for, if known.
fn capacity(tokens: u64, tokens_per_block: u64, most: Option<u64>) -> Vec<Capacity> {
    let of = |context| Capacity {
        context,
        requests: requests(tokens, context, tokens_per_block),
        beyond_model: most.is_some_and(|most| context > most),
    };
    CONTEXTS.map(of).into()
}

/// What the cache of a decision holds, as far as the run tells by itself.
#[derive(Debug, Serialize)]
pub struct Held {
    pub pid: u32,
    pub tokens: u64,
    /// 1 where it is not known, which counts no room at the end of a request's last block.
    pub tokens_per_block: u64,
    pub capacity: Vec<Capacity>,
}

/// `None` where nothing tells how many tokens it holds.
pub fn held(decision: &Decision) -> Option<Held> {
    let tokens = decision.tokens.as_ref()?.value;
    let tokens_per_block = decision.tokens_per_block.as_ref().map_or(1, |fact| fact.value.max(1));
    Some(Held { pid: decision.pid, tokens, tokens_per_block, capacity: capacity(tokens, tokens_per_block, None) })
}

/// Bytes of the cache on one rank, and where they come from.
fn pool(options: &Options) -> Result<(u64, Vec<String>), Failure> {
    let Some(path) = &options.trace else { return Ok((options.kv.unwrap_or(0), vec!["--kv".into()])) };
    let trace = load::trace(path)?;
    let ledger = ledger::replay(&trace)?;
    let decisions = decision::decide(&trace, &ledger);
    let Some(decision) = decisions.first() else { return Err(crate::show::no_decision(&trace)) };
    Ok((decision.final_pool_bytes.value, decision.final_pool_bytes.evidence.clone()))
}

fn settings(runtime: Runtime, bytes: u64, tokens: u64) -> Vec<String> {
    match runtime {
        Runtime::TensorrtLlm => vec![format!("kv_cache_config.max_tokens: {tokens}")],
        Runtime::Vllm => vec![format!("--kv-cache-memory-bytes {bytes}")],
        Runtime::Sglang => vec![format!("--max-total-tokens {tokens}")],
    }
}

fn notes(size: &KvSize, options: &Options) -> Vec<String> {
    let mut list = Vec::new();
    if size.sliding_layers > 0 {
        list.push(format!(
            "{} of {} attention layers need only the last {} tokens; counted here as if they kept all, as runtimes do that \
             make no use of it",
            size.sliding_layers,
            size.full_layers + size.sliding_layers,
            size.window
        ));
    }
    if size.recurrent_layers > 0 {
        let layers = size.recurrent_layers;
        list.push(format!("{layers} recurrent layers keep a state for each request, which is not counted"));
    }
    if options.tp > 1 {
        list.push(format!("all figures are those of one of {} ranks", options.tp));
    }
    list
}
