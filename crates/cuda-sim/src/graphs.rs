//! Memory nodes of graphs: addresses that are given when a graph is built, and device memory that is taken when it is
//! launched.
//!
//! Seen on an H100 with driver 580, and so here: memory is taken at the launch, in chunks of 32 MiB, and stays with the
//! device's graphs when it is freed, until it is trimmed; a graph whose memory lives cannot be launched again; both
//! `cuMemFree` and `cuMemFreeAsync` free it.

use crate::arena::{self, Arena};
use crate::pools::CHUNK;
use crate::{Error, GRANULE, Result};
use std::collections::BTreeMap;

/// One step of a graph that is about memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// Takes memory for the address that the node was given.
    Alloc {
        /// The address.
        address: u64,
        /// Bytes asked for.
        size: u64,
    },
    /// Frees it.
    Free {
        /// The address.
        address: u64,
    },
}

/// What the device holds for graphs of this process.
#[derive(Debug, Default)]
pub(crate) struct Graphs {
    /// Size of the device memory behind each address that was given.
    given: BTreeMap<u64, u64>,
    /// Device memory that nothing uses: offset and size.
    spare: Vec<(u64, u64)>,
    /// Device memory in use, by address.
    live: BTreeMap<u64, (u64, u64)>,
    reserved_high: u64,
}

impl Graphs {
    /// An address for an allocation node.
    pub fn address(&mut self, size: u64) -> Result<u64> {
        let size = size.checked_next_multiple_of(CHUNK).filter(|size| *size > 0).ok_or(Error::InvalidValue)?;
        let address = arena::reserve(size, GRANULE)?;
        self.given.insert(address, size);
        Ok(address)
    }

    pub fn knows(&self, address: u64) -> bool {
        self.given.contains_key(&address)
    }

    /// Whether the nodes can run as things stand.
    pub fn check(&self, nodes: &[Node]) -> Result<()> {
        let mut live: Vec<u64> = self.live.keys().copied().collect();
        for node in nodes {
            match *node {
                Node::Alloc { address, .. } if live.contains(&address) => return Err(Error::InvalidValue),
                Node::Alloc { address, .. } => live.push(address),
                Node::Free { address } => {
                    let at = live.iter().position(|other| *other == address).ok_or(Error::InvalidValue)?;
                    live.swap_remove(at);
                }
            }
        }
        Ok(())
    }

    /// Puts device memory behind an address. `admit` is asked for what is not spare, and may refuse.
    pub fn take(&mut self, arena: &Arena, address: u64, admit: impl FnOnce(u64) -> Result<()>) -> Result<()> {
        let size = *self.given.get(&address).ok_or(Error::InvalidValue)?;
        let spare = self.spare.iter().position(|(_, spare)| *spare == size);
        let offset = match spare {
            Some(at) => self.spare.swap_remove(at).0,
            None => {
                admit(size)?;
                arena.take(size)?
            }
        };
        arena.map_at(address, offset, size)?;
        self.live.insert(address, (offset, size));
        self.reserved_high = self.reserved_high.max(self.reserved());
        Ok(())
    }

    /// Takes the memory from an address; it stays spare.
    pub fn free(&mut self, address: u64) {
        if let Some((offset, size)) = self.live.remove(&address) {
            arena::withdraw(address, size);
            self.spare.push((offset, size));
        }
    }

    /// Gives back what is spare. Returns how much that is.
    pub fn trim(&mut self, arena: &Arena) -> u64 {
        self.spare.drain(..).fold(0, |sum, (offset, size)| {
            arena.give_back(offset, size);
            sum + size
        })
    }

    /// Bytes taken from the device.
    pub fn reserved(&self) -> u64 {
        self.used() + self.spare.iter().map(|(_, size)| size).sum::<u64>()
    }

    /// Most of them so far.
    pub fn reserved_high(&self) -> u64 {
        self.reserved_high
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.live.values().map(|(_, size)| size).sum()
    }

    pub fn reset_high(&mut self) {
        self.reserved_high = self.reserved();
    }
}
