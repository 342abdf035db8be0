//! The CUDA driver API: where memory is really taken and given back. Versions are those of `cuGetProcAddress`: each
//! ABI of a name is asked for by the CUDA version that introduced it or by any later one below the next ABI's.

/// Arrays and mipmapped arrays.
mod arrays;
/// Linear device memory.
mod device;
/// Memory of other processes and of other APIs.
mod foreign;
/// Memory nodes of graphs.
mod graphs;
/// Calls by which the driver takes memory of its own.
mod implicit;
/// Managed memory, and where its pages are wanted.
mod managed;
/// Pinned host memory.
mod pinned;
/// Stream-ordered memory and its pools.
mod pools;
/// Questions about memory, and the lookup of functions.
mod queries;
/// Physical memory by handle, and its mappings.
mod vmm;

use super::layouts::Location;
use super::{Hook, Layer, hooks, out};
use core::ffi::c_void;

type Stream = *mut c_void;
type Handle = u64;
type Device = i32;
type Pointer = u64;

/// The rows, family by family.
pub static TABLES: [&[&Hook]; 10] = [
    queries::TABLE,
    device::TABLE,
    arrays::TABLE,
    pools::TABLE,
    vmm::TABLE,
    managed::TABLE,
    pinned::TABLE,
    foreign::TABLE,
    graphs::TABLE,
    implicit::TABLE,
];
