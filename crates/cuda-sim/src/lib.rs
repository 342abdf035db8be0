//! The simulated GPU: what a device has, who holds how much of it, and where its addresses lie.
//!
//! The libraries that programs load (`libcuda.so.1`, `libcudart.so.N`, `libnvidia-ml.so.1`) are thin translations to
//! this crate. A device is one state file ([`state`]) that all its processes map; its memory is a sparse file of each
//! process ([`arena`]), so an allocation costs nothing until it is touched. No kernel ever runs.
//!
//! What is charged, in bytes:
//! * `cuMemAlloc`, `cuMemAllocAsync`: rounded up to 2 MiB; below 1 MiB several share one 2 MiB chunk.
//! * `cuMemCreate`: its size, when created, until the last reference and the last mapping are gone.
//! * Pinned host memory: its size, on the unified profile only.
//! * Managed memory: nothing. It is ordinary memory of the process until touched, and from then on the unified profile
//!   sees it in the machine's free memory; the discrete profile leaves it on the host.
//! * A context: [`Profile::context`] for each process, since a real driver takes memory of its own too.

pub mod abi;
pub mod arena;
pub mod device;
pub mod error;
mod ledger;
pub mod meminfo;
pub mod profile;
mod slab;
pub mod state;
mod vmm;

pub use device::Device;
pub use error::{Error, Result};
pub use ledger::{Block, Kind};
pub use profile::Profile;
pub use vmm::Place;

/// Size of the pieces that device memory is handed out in: 2 MiB, the allocation granularity of real devices.
pub const GRANULE: u64 = 2 << 20;

/// `size` rounded up to whole granules; `None` beyond the range of the type.
pub fn whole_granules(size: u64) -> Option<u64> {
    size.checked_next_multiple_of(GRANULE)
}
