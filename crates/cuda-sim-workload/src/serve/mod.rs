//! From the first question to the steady state, in the order of calls of one runtime.

mod llama_cpp;
mod sglang;
mod tensorrt_llm;
mod tensorrt_llm_log;
mod vllm;

use crate::checkpoint::{self, Checkpoint};
use crate::cli::{Runtime, Serve};
use crate::cudart::{Buffer, Cudart};
use crate::failure::{Failure, Result};
use crate::page_cache::meminfo;
use crate::rendezvous::{Figure, Rendezvous};
use std::mem::MaybeUninit;
use std::ptr;
use std::time::Duration;

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

/// A server that is starting.
struct Start<'a> {
    options: &'a Serve,
    place: Place<'a>,
    cuda: Cudart,
    checkpoint: Checkpoint,
    /// Ranks that share this rank's device.
    sharers: u32,
}

/// Serves as one rank, and returns when the time to hold is over. The KV cache lives until the process ends.
pub fn serve(options: &Serve, place: Place) -> Result<()> {
    if place.rendezvous.is_some() {
        crate::ranks::end_with_launcher();
    }
    let checkpoint = options.weights.as_deref().map(Checkpoint::open).transpose()?.unwrap_or_default();
    let cuda = Cudart::open(options.cudart)?;
    let sharers = cuda.use_device(place.rank, place.ranks)?;
    let start = Start { options, place, cuda, checkpoint, sharers };
    let figures = match options.runtime {
        Runtime::TensorrtLlm => tensorrt_llm::serve(&start)?,
        Runtime::TensorrtLlmCpp => tensorrt_llm::serve_engine(&start)?,
        Runtime::Vllm010 => vllm::serve(&start, vllm::Version::V010)?,
        Runtime::Vllm020 => vllm::serve(&start, vllm::Version::V020)?,
        Runtime::Vllm033 => vllm::serve(&start, vllm::Version::V033)?,
        Runtime::Sglang => sglang::serve(&start)?,
        Runtime::LlamaCpp => llama_cpp::serve(&start)?,
    };
    if options.json {
        let mut figures = figures;
        if place.rendezvous.is_some() {
            figures["rank"] = place.rank.into();
        }
        println!("{figures}");
    }
    std::thread::sleep(Duration::from_secs_f64(options.hold));
    Ok(())
}

impl Start<'_> {
    /// KV bytes of one token on this rank.
    fn bytes_per_token(&self) -> u64 {
        self.options.model.bytes_per_token(self.place.ranks.into())
    }

    /// Bytes of the files, if they are read whole before they are loaded.
    fn prefetched(&self) -> Option<u64> {
        let available = meminfo::through_libc("MemAvailable").unwrap_or(0);
        Some(self.checkpoint.bytes()).filter(|files| *files > 0 && *files < available / 10 * 9)
    }

    /// Reads this rank's share of the checkpoint and allocates its share of the weights. Returns the device bytes.
    fn load(&self) -> Result<u64> {
        let Start { options, place, cuda, checkpoint, .. } = self;
        let files = checkpoint.bytes();
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
    fn forward(&self) -> Result<()> {
        if self.options.transient > 0 {
            let activations = self.cuda.malloc(self.options.transient, "the dummy forward")?;
            self.cuda.synchronize()?;
            self.cuda.free(activations)?;
        }
        self.cuda.synchronize()
    }

    /// Free memory as runtimes take it that know of unified memory: MemAvailable, as psutil reads it, in place of the
    /// driver's answer.
    fn available(&self) -> Result<u64> {
        meminfo::through_libc("MemAvailable").ok_or_else(|| Failure::Input("/proc/meminfo has no MemAvailable".into()))
    }
}

/// Local time, as `strftime` writes it.
fn now(format: &std::ffi::CStr) -> String {
    let mut text = [0u8; 64];
    let mut parts = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: a `tm` of zeros is a valid one, the pointers are valid during the calls, and the buffer has its length.
    let length = unsafe {
        let seconds = libc::time(ptr::null_mut());
        libc::localtime_r(&seconds, parts.as_mut_ptr());
        libc::strftime(text.as_mut_ptr().cast(), text.len(), format.as_ptr(), parts.as_ptr())
    };
    String::from_utf8_lossy(&text[..length]).into_owned()
}
