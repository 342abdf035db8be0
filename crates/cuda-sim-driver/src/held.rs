//! What no real driver tells: what this process holds, by family. For tests of tracers.

use crate::gpu;
use kvtrace_cuda_sim::abi::Out;
use kvtrace_cuda_sim::{Error, Held};

/// Fills in a structure of 64-bit numbers, in the order of [`Held`].
#[unsafe(no_mangle)]
pub extern "C" fn kvtrace_sim_held(held: Out<Held>) -> i32 {
    gpu().map_or_else(Error::code, |gpu| held.set(gpu.held()))
}
