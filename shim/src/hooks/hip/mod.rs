//! HIP, AMD's runtime. It has no driver library below it, so bytes are counted here. Each of its symbols carries the
//! version node of the release that brought it; ours carry none, which the loader takes for any.

/// Arrays and mipmapped arrays.
mod arrays;
/// Linear device memory.
mod device;
/// Memory of other processes and of other APIs.
mod foreign;
/// Memory nodes of graphs.
mod graphs;
/// Calls by which the runtime takes memory of its own.
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

use super::layouts::{self, Location};
use super::{Hook, Layer, hooks, out};
use core::ffi::c_void;

type Stream = *mut c_void;
type Handle = usize;
type Pool = usize;
type Device = i32;
type Pointer = usize;

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
