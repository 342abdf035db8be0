//! The allocations of this process. Charging them against the device is [`crate::Device`]'s part.

use crate::arena::{self, Arena};
use crate::graphs::Graphs;
use crate::ipc::Windows;
use crate::pools::Pools;
use crate::ranges::Ranges;
use crate::slab::{self, Slabs};
use crate::vmm::Vmm;
use crate::{Error, GRANULE, Result, whole_granules};
use std::collections::BTreeMap;

/// What an allocation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Device memory.
    Device,
    /// Device memory ordered on a stream.
    Async,
    /// Pinned host memory.
    Host,
    /// Managed memory.
    Managed,
    /// The program's own memory, pinned by registration.
    Registered,
    /// An array, mipmapped or not. Its address is its handle.
    Array,
    /// Memory of a graph.
    Graph,
    /// A window onto another process's memory.
    Foreign,
}

/// A live allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Address of the first byte.
    pub base: u64,
    /// Bytes asked for.
    pub size: u64,
    /// What it is.
    pub kind: Kind,
    /// Bytes charged for this block alone: 0 if it shares a granule.
    pub charged: u64,
    offset: u64,
}

#[derive(Debug)]
pub(crate) struct Ledger {
    pub arena: Arena,
    pub vmm: Vmm,
    pub pools: Pools,
    pub graphs: Graphs,
    pub windows: Windows,
    /// Managed memory that was moved to the device.
    pub prefetched: Ranges,
    /// Requirements of arrays without memory of their own.
    pub deferred: BTreeMap<u64, u64>,
    blocks: BTreeMap<u64, Block>,
    slabs: Slabs,
}

/// Bytes by which the device's charge changes with an operation on the ledger.
pub(crate) type Charge = u64;

impl Ledger {
    /// For the machine's device `ordinal`.
    pub fn new(ordinal: u32) -> Result<Self> {
        Ok(Self {
            arena: Arena::new()?,
            vmm: Vmm::new(ordinal),
            pools: Pools::new(ordinal),
            graphs: Graphs::default(),
            windows: Windows::default(),
            prefetched: Ranges::default(),
            deferred: BTreeMap::new(),
            blocks: BTreeMap::new(),
            slabs: Slabs::default(),
        })
    }

    /// Allocates. `admit` is asked for the bytes to charge before anything changes, and may refuse.
    pub fn alloc(&mut self, kind: Kind, size: u64, admit: impl FnOnce(Charge) -> Result<()>) -> Result<u64> {
        if size == 0 {
            return Err(Error::InvalidValue);
        }
        let small = size < slab::LARGEST && matches!(kind, Kind::Device | Kind::Array);
        let block = match kind {
            _ if small => self.alloc_small(kind, size, admit)?,
            Kind::Managed => {
                let base = arena::anonymous(size, libc::PROT_READ | libc::PROT_WRITE)?;
                Block { base, size, kind, charged: 0, offset: 0 }
            }
            _ => {
                let charged = whole_granules(size).ok_or(Error::OutOfMemory)?;
                admit(charged)?;
                let offset = self.arena.take(charged)?;
                Block { base: self.arena.map(offset, charged)?, size, kind, charged, offset }
            }
        };
        self.blocks.insert(block.base, block);
        Ok(block.base)
    }

    fn alloc_small(&mut self, kind: Kind, size: u64, admit: impl FnOnce(Charge) -> Result<()>) -> Result<Block> {
        let block = |base| Block { base, size, kind, charged: 0, offset: 0 };
        if let Some(base) = self.slabs.place(size) {
            return Ok(block(base));
        }
        admit(GRANULE)?;
        let offset = self.arena.take(GRANULE)?;
        self.slabs.add(self.arena.map(offset, GRANULE)?, offset);
        self.slabs.place(size).map(block).ok_or(Error::OutOfMemory)
    }

    /// Remembers memory of the program that it registered.
    pub fn register(&mut self, base: u64, size: u64) -> Result<()> {
        if base == 0 || size == 0 || self.find(base).is_some() {
            return Err(Error::InvalidValue);
        }
        self.enter(Kind::Registered, base, size);
        Ok(())
    }

    /// Enters an allocation whose memory another part keeps.
    pub fn enter(&mut self, kind: Kind, base: u64, size: u64) {
        self.blocks.insert(base, Block { base, size, kind, charged: 0, offset: 0 });
    }

    /// Frees the block that starts at `base` and is one of `kinds`. Returns it with the charge that ends with it.
    pub fn free(&mut self, base: u64, kinds: &[Kind]) -> Result<(Block, Charge)> {
        let found = self.blocks.get(&base).filter(|block| kinds.contains(&block.kind));
        let block = *found.ok_or(Error::InvalidValue)?;
        self.blocks.remove(&base);
        let charge = match block.kind {
            Kind::Registered | Kind::Foreign => 0,
            Kind::Managed => {
                arena::release(base, block.size);
                self.prefetched.remove(base, base + block.size)
            }
            Kind::Async => self.pools.free(&self.arena, base),
            Kind::Graph => {
                self.graphs.free(base);
                0
            }
            _ if block.charged > 0 => {
                arena::release(base, block.charged);
                self.arena.give_back(block.offset, block.charged);
                block.charged
            }
            _ => self.slabs.forget(base).map_or(0, |(granule, offset)| {
                arena::release(granule, GRANULE);
                self.arena.give_back(offset, GRANULE);
                GRANULE
            }),
        };
        Ok((block, charge))
    }

    /// The block that holds `address`.
    pub fn find(&self, address: u64) -> Option<Block> {
        let (_, block) = self.blocks.range(..=address).next_back()?;
        (address - block.base < block.size).then_some(*block)
    }

    /// The granules of a device allocation: address and offset in the arena of the first byte, and length.
    pub fn granules_of(&self, block: &Block) -> Option<(u64, u64, u64)> {
        match block.charged {
            0 => self.slabs.granule_of(block.base).map(|(base, offset)| (base, offset, GRANULE)),
            charged => Some((block.base, block.offset, charged)),
        }
    }

    /// Bytes that the device holds for allocations beyond what was asked for.
    pub fn rounding(&self) -> u64 {
        let on_device = self.blocks.values().filter(|block| matches!(block.kind, Kind::Device | Kind::Array));
        let (charged, asked) =
            on_device.fold((0, 0), |(charged, asked), block| (charged + block.charged, asked + block.size));
        self.slabs.granules() * GRANULE + charged - asked
    }

    /// Bytes asked for and live, of one kind.
    pub fn live(&self, kind: Kind) -> u64 {
        self.blocks.values().filter(|block| block.kind == kind).map(|block| block.size).sum()
    }
}
