//! The simulated GPU: what a device has, who holds how much of it, and where its addresses lie.
//!
//! The libraries that programs load (`libcuda.so.1`, `libcudart.so.N`, `libnvidia-ml.so.1`) are thin translations to
//! this crate. A device is one state file ([`state`]) that all its processes map; its memory is a sparse file of each
//! process ([`arena`]), so an allocation costs nothing until it is touched. No kernel ever runs.
//!
//! What is charged, in bytes:
//! * `cuMemAlloc` and arrays: rounded up to 2 MiB; below 1 MiB several share one 2 MiB granule. What an array takes
//!   before that is told by [`arrays`].
//! * Stream-ordered memory: the chunks of its pools, and of graphs theirs: see [`pools`] and [`graphs`].
//! * `cuMemCreate`: its size, when created, until the last reference and the last mapping are gone, in any process that
//!   it was exported to.
//! * Pinned host memory: its size, on the unified profile only.
//! * Managed memory: on the discrete profile what was prefetched to the device, until it is prefetched back or freed;
//!   touching it moves nothing. On the unified profile nothing: it is ordinary memory of the process, and once touched
//!   it shows in the machine's free memory.
//! * Memory of another process: nothing.
//! * A context: [`Profile::context`] for each process, since a real driver takes memory of its own too.

pub mod abi;
pub mod arena;
pub mod arrays;
pub mod device;
pub mod error;
pub mod graphs;
pub mod ipc;
mod ledger;
pub mod meminfo;
mod pool_file;
pub mod pools;
pub mod profile;
pub mod profile_file;
mod ranges;
mod shared;
mod slab;
pub mod state;
mod vmm;

pub use arrays::Shape;
pub use device::{Device, Held};
pub use error::{Error, Result};
pub use graphs::Node;
pub use ipc::IpcHandle;
pub use ledger::{Block, Kind};
pub use pools::PoolFigure;
pub use profile::Profile;
pub use vmm::Place;

/// Size of the pieces that device memory is handed out in: 2 MiB, the allocation granularity of real devices.
pub const GRANULE: u64 = 2 << 20;

/// `size` rounded up to whole granules; `None` beyond the range of the type.
pub fn whole_granules(size: u64) -> Option<u64> {
    size.checked_next_multiple_of(GRANULE)
}
