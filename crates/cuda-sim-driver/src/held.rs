//! What no real driver tells: what this process holds of the current device, by family, for tests of
//! tracers; and what libraries take for themselves.

use crate::gpu;
use kvtrace_cuda_sim::abi::Out;
use kvtrace_cuda_sim::{Error, Held};

/// What a library takes for itself on the current device, by its number in `kvtrace-cuda-sim-quiet`: bytes to allocate
/// for a cuBLAS handle; a communicator's are charged here, once in a process, since no allocation shows them.
#[unsafe(no_mangle)]
pub extern "C" fn kvtrace_sim_overhead(of: i32) -> usize {
    const BLAS_HANDLE: i32 = 1;
    const COMMUNICATOR: i32 = 2;
    let Ok(gpu) = gpu() else { return 0 };
    match of {
        BLAS_HANDLE => gpu.profile().blas_handle as usize,
        COMMUNICATOR => {
            gpu.make_communicator();
            0
        }
        _ => 0,
    }
}

/// Fills in a structure of 64-bit numbers, in the order of [`Held`].
#[unsafe(no_mangle)]
pub extern "C" fn kvtrace_sim_held(held: Out<Held>) -> i32 {
    gpu().map_or_else(Error::code, |gpu| held.set(gpu.held()))
}
