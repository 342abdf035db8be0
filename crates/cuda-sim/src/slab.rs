//! Small allocations: several share one granule, as with a real driver.

use crate::GRANULE;
use std::collections::BTreeMap;

/// Largest allocation that shares a granule. From here on each has granules of its own.
pub const LARGEST: u64 = GRANULE / 2;
/// Alignment of a small allocation.
const ALIGN: u64 = 512;

/// The granules that small allocations share, by address.
#[derive(Debug, Default)]
pub struct Slabs {
    slabs: BTreeMap<u64, Slab>,
}

#[derive(Debug)]
struct Slab {
    offset: u64,
    used: u64,
    live: u32,
}

impl Slabs {
    /// An address for `size` bytes in a granule that has room; `None` if none has.
    pub fn place(&mut self, size: u64) -> Option<u64> {
        let size = size.next_multiple_of(ALIGN);
        let (base, slab) = self.slabs.iter_mut().find(|(_, slab)| slab.used + size <= GRANULE)?;
        let address = base + slab.used;
        slab.used += size;
        slab.live += 1;
        Some(address)
    }

    /// Adds an empty granule that lies at `base` and at `offset` in the arena.
    pub fn add(&mut self, base: u64, offset: u64) {
        self.slabs.insert(base, Slab { offset, used: 0, live: 0 });
    }

    /// How many granules are shared.
    pub fn granules(&self) -> u64 {
        self.slabs.len() as u64
    }

    /// Base and offset of the granule that holds `address`.
    pub fn granule_of(&self, address: u64) -> Option<(u64, u64)> {
        let base = address / GRANULE * GRANULE;
        self.slabs.get(&base).map(|slab| (base, slab.offset))
    }

    /// Forgets the allocation at `address`. The granule's base and offset, once nothing lives in it.
    pub fn forget(&mut self, address: u64) -> Option<(u64, u64)> {
        let base = address / GRANULE * GRANULE;
        let slab = self.slabs.get_mut(&base)?;
        slab.live -= 1;
        if slab.live > 0 {
            return None;
        }
        self.slabs.remove(&base).map(|slab| (base, slab.offset))
    }
}
