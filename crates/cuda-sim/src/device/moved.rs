use super::Device;
use crate::arrays::Shape;
use crate::graphs::Node;
use crate::ledger::Kind;
use crate::vmm::Place;
use crate::{Error, Result};

/// Handles of arrays without memory, far from every address.
const DEFERRED: u64 = 0x6b76_a000_0000;

impl Device {
    /// Moves a range of managed memory to the device or back. [`Error::OutOfMemory`] where a real driver would make room
    /// by moving something else out.
    pub fn prefetch(&self, address: u64, size: u64, to_device: bool) -> Result<()> {
        let mut ledger = self.ledger();
        let managed = ledger.find(address).filter(|block| block.kind == Kind::Managed);
        let inside = |end: &u64| managed.is_some_and(|block| *end <= block.base + block.size);
        let end = address.checked_add(size).filter(inside).filter(|_| size > 0).ok_or(Error::InvalidValue)?;
        // One memory for both: its pages are taken when they are touched, wherever they were asked to be.
        let charged = !self.profile.unified;
        let here = ledger.prefetched.within(address, end);
        if to_device {
            if charged {
                self.charge(Place::Device, size - here)?;
            }
            ledger.prefetched.add(address, end);
        } else {
            ledger.prefetched.remove(address, end);
            if charged {
                self.refund(Place::Device, here);
            }
        }
        Ok(())
    }

    /// Creates an array and returns its handle. A deferred one gets no memory.
    pub fn create_array(&self, shape: Shape, levels: u32, deferred: bool) -> Result<u64> {
        let bytes = shape.bytes(levels)?;
        if !deferred {
            return self.alloc(Kind::Array, bytes);
        }
        let mut ledger = self.ledger();
        let first = DEFERRED + (u64::from(self.ordinal) << 32);
        let handle = ledger.deferred.last_key_value().map_or(first, |(last, _)| last + 0x10);
        ledger.deferred.insert(handle, bytes);
        Ok(handle)
    }

    /// Whether a handle is that of an array without memory.
    pub fn is_deferred_array(&self, handle: u64) -> bool {
        self.ledger().deferred.contains_key(&handle)
    }

    /// Destroys an array.
    pub fn destroy_array(&self, handle: u64) -> Result<()> {
        if self.ledger().deferred.remove(&handle).is_some() {
            return Ok(());
        }
        self.free_of(handle, &[Kind::Array]).map(drop)
    }

    /// What a deferred array would take. Of one that has its memory a real driver does not tell it either.
    pub fn array_requirement(&self, handle: u64) -> Result<u64> {
        self.ledger().deferred.get(&handle).copied().ok_or(Error::InvalidValue)
    }

    /// An address for an allocation node of a graph.
    pub fn graph_address(&self, size: u64) -> Result<u64> {
        self.ledger().graphs.address(size)
    }

    /// Whether an address was given to a node.
    pub fn is_graph_address(&self, address: u64) -> bool {
        self.ledger().graphs.knows(address)
    }

    /// Runs a graph's memory nodes in order. If the device has too little, the graph takes nothing.
    pub fn launch(&self, nodes: &[Node]) -> Result<()> {
        let mut guard = self.ledger();
        let ledger = &mut *guard;
        self.publish_resident(ledger);
        ledger.graphs.check(nodes)?;
        let mut taken = Vec::new();
        for node in nodes {
            match *node {
                Node::Alloc { address, size } => {
                    let took = ledger.graphs.take(&ledger.arena, address, |bytes| self.charge(Place::Device, bytes));
                    if let Err(error) = took {
                        // What this launch took goes back; what it freed of earlier launches stays freed.
                        for address in taken {
                            ledger.free(address, &[Kind::Graph])?;
                        }
                        return Err(error);
                    }
                    ledger.enter(Kind::Graph, address, size);
                    taken.push(address);
                }
                Node::Free { address } => {
                    ledger.free(address, &[Kind::Graph])?;
                    taken.retain(|other| *other != address);
                }
            }
        }
        Ok(())
    }

    /// Gives back what graphs do not use.
    pub fn trim_graphs(&self) {
        let mut guard = self.ledger();
        let ledger = &mut *guard;
        let freed = ledger.graphs.trim(&ledger.arena);
        self.refund(Place::Device, freed);
    }

    /// Bytes that the device holds for graphs, the most so far, and what of them is in use.
    pub fn graph_memory(&self) -> (u64, u64, u64) {
        let graphs = &self.ledger().graphs;
        (graphs.reserved(), graphs.reserved_high(), graphs.used())
    }

    /// Sets the highest figure back to what is there now.
    pub fn reset_graph_high(&self) {
        self.ledger().graphs.reset_high();
    }
}
