//! The order of calls of TensorRT-LLM's PyTorch backend, from the first question to the steady state.

use crate::checkpoint::{self, Checkpoint};
use crate::cli::Serve;
use crate::cudart::{Buffer, Cudart};
use crate::failure::{Failure, Result};
use crate::log::{Log, Profiled};
use crate::page_cache::meminfo;
use crate::rendezvous::{Figure, Rendezvous};
use crate::size;
use kvtrace_sizing::tensorrt_llm::{self as rule, Blocks, Budget, Pool};
use std::time::Duration;

const TOKENS_PER_BLOCK: u64 = 32;
/// 8192 tokens of dummy requests in one sequence, and one generated: 257 blocks.
const TEMPORARY_TOKENS: u64 = 8224;
/// What the runtime leaves free when it limits torch in the end.
const TORCH_MARGIN: u64 = 32 << 20;

/// Which rank this process is.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub rank: u32,
    pub ranks: u32,
    /// Where the ranks meet; none for a single process.
    pub rendezvous: Option<&'a Rendezvous>,
}

impl Place<'_> {
    /// A process that serves alone.
    pub const ALONE: Place<'static> = Place { rank: 0, ranks: 1, rendezvous: None };

    /// Ranks go on together: on a shared device, one's pools are in the other's answers.
    fn wait(&self) {
        if let Some(rendezvous) = self.rendezvous {
            rendezvous.wait();
        }
    }

    fn least(&self, figure: Figure, value: u64) -> u64 {
        self.rendezvous.map_or(value, |rendezvous| rendezvous.least(figure, value))
    }
}

/// Serves as one rank, and returns when the time to hold is over. The KV cache lives until the process ends.
pub fn serve(options: &Serve, place: Place) -> Result<()> {
    if place.rendezvous.is_some() {
        crate::ranks::end_with_launcher();
    }
    let log = Log { rank: place.rendezvous.map(|_| place.rank) };
    let checkpoint = options.weights.as_deref().map(Checkpoint::open).transpose()?.unwrap_or_default();
    let cuda = Cudart::open(options.cudart)?;
    let sharers = cuda.use_device(place.rank, place.ranks)?;
    cuda.memory()?;

    let weights = load(options, place, &cuda, &checkpoint, log)?;
    cuda.memory()?;
    log.weights(weights);

    let bytes_per_token = options.model.bytes_per_token(place.ranks.into());
    let temporary = TEMPORARY_TOKENS * bytes_per_token;
    cuda.memory()?;
    let temporary_pool = cuda.malloc(temporary, "the temporary KV pool")?;
    log.pool(temporary, TEMPORARY_TOKENS, TOKENS_PER_BLOCK);
    place.wait();

    let a = cuda.memory()?;
    log.loaded(weights, a.total - a.free);
    place.wait();
    forward(&cuda, options.transient)?;
    place.wait();
    let b = cuda.memory()?;

    // The runtime keeps its fraction as a 32-bit float.
    let fraction = f64::from(options.fraction as f32) / f64::from(sharers);
    let given = Budget {
        free_after_profile: b.free,
        temporary_pool: temporary,
        transient: options.transient.try_into().unwrap_or(i64::MAX),
        fraction,
    };
    let found = Profiled {
        weights,
        transient: options.transient,
        total: b.total,
        free_b: b.free,
        peak: given.peak(b.total).try_into().unwrap_or(0),
        budget: place.least(Figure::Budget, given.bytes()),
        temporary,
        fraction,
        bytes_per_token,
        max_tokens: options.max_tokens,
    };
    log.profiled(&found);
    cuda.free(temporary_pool)?;
    place.wait();

    let c = cuda.memory()?;
    let cut = Blocks { bytes_per_token, tokens_per_block: TOKENS_PER_BLOCK, round_up: true };
    let pool = rule::final_pool(found.budget, fraction, c.free, options.max_tokens, cut)
        .map(|pool| Pool { tokens: place.least(Figure::Tokens, pool.tokens), ..pool })
        .filter(|pool| pool.tokens > 0)
        .ok_or_else(|| nothing_left(&found))?;
    let pool_bytes = pool.tokens * bytes_per_token;
    log.target(fraction, &pool);
    cuda.malloc(pool_bytes, "the KV cache")?;
    log.pool(pool_bytes, pool.tokens, TOKENS_PER_BLOCK);

    let last = cuda.memory()?;
    log.torch_limit((last.free + weights).saturating_sub(TORCH_MARGIN), last.total);
    if options.json {
        let mut figures = serde_json::json!({
            "free_a": a.free, "free_b": b.free, "free_c": c.free, "total": b.total, "temporary_bytes": temporary,
            "pool_bytes": pool_bytes, "tokens": pool.tokens, "peak": found.peak,
        });
        if let Some(rank) = log.rank {
            figures["rank"] = rank.into();
        }
        println!("{figures}");
    }
    std::thread::sleep(Duration::from_secs_f64(options.hold));
    Ok(())
}

/// Reads this rank's share of the checkpoint and allocates its share of the weights. Returns the device bytes.
fn load(options: &Serve, place: Place, cuda: &Cudart, checkpoint: &Checkpoint, log: Log) -> Result<u64> {
    let available = meminfo::through_libc("MemAvailable").unwrap_or(0);
    let files = checkpoint.bytes();
    if files > 0 && files < available / 10 * 9 {
        log.prefetching(files);
    }
    let all = options.weights_bytes.unwrap_or(if files > 0 { files } else { options.model.weights() });
    let (from, to) = checkpoint::share(all, place.rank, place.ranks);
    let weights = to - from;
    let mut reader = checkpoint.reader(place.rank, place.ranks);
    let total = reader.left();
    let mut loaded = 0;
    for chunk in checkpoint::chunks(weights) {
        loaded += chunk;
        let due = (u128::from(total) * u128::from(loaded) / u128::from(weights)) as u64;
        reader.read(due - (total - reader.left()))?;
        let _lives_as_long_as_the_process: Buffer = cuda.malloc(chunk, "a chunk of the weights")?;
    }
    reader.read(u64::MAX)?;
    Ok(weights)
}

/// The dummy forward, as far as memory goes.
fn forward(cuda: &Cudart, transient: u64) -> Result<()> {
    if transient > 0 {
        let activations = cuda.malloc(transient, "the dummy forward")?;
        cuda.synchronize()?;
        cuda.free(activations)?;
    }
    cuda.synchronize()
}

fn nothing_left(found: &Profiled) -> Failure {
    Failure::Cuda(format!(
        "no memory is left for a KV cache: the peak is {} of {}; lower --weights-bytes or --transient, or drop page cache",
        size::show(found.peak),
        size::show(found.total)
    ))
}
