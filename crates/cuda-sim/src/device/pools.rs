use super::Device;
use crate::ledger::Kind;
use crate::pools::PoolFigure;
use crate::vmm::Place;
use crate::{Error, Result};

impl Device {
    /// Creates a pool and returns its handle.
    pub fn create_pool(&self) -> u64 {
        self.ledger().pools.create()
    }

    /// Destroys a pool; what of it is in use stays until it is freed.
    pub fn destroy_pool(&self, pool: u64) -> Result<()> {
        let mut guard = self.ledger();
        let ledger = &mut *guard;
        let freed = ledger.pools.destroy(&ledger.arena, pool)?;
        self.refund(Place::Device, freed);
        Ok(())
    }

    /// The device's default pool.
    pub fn default_pool(&self) -> u64 {
        self.ledger().pools.default_pool()
    }

    /// The pool that allocations come from which name none.
    pub fn pool(&self) -> u64 {
        self.ledger().pools.current()
    }

    /// Makes a pool that one.
    pub fn set_pool(&self, pool: u64) -> Result<()> {
        self.ledger().pools.set_current(pool)
    }

    /// Whether there is such a pool.
    pub fn has_pool(&self, pool: u64) -> bool {
        self.ledger().pools.knows(pool)
    }

    /// Allocates from a pool. [`Error::InvalidValue`] for 0 bytes and for a pool that is not there.
    pub fn alloc_from(&self, pool: u64, size: u64) -> Result<u64> {
        if size == 0 {
            return Err(Error::InvalidValue);
        }
        let mut guard = self.ledger();
        let ledger = &mut *guard;
        self.publish_resident(ledger);
        let address = ledger.pools.alloc(&ledger.arena, pool, size, |bytes| self.charge(Place::Device, bytes))?;
        ledger.enter(Kind::Async, address, size);
        Ok(address)
    }

    /// What a stream, event or context synchronisation does to memory.
    pub fn synchronize(&self) {
        let mut guard = self.ledger();
        let ledger = &mut *guard;
        let freed = ledger.pools.settle(&ledger.arena);
        self.refund(Place::Device, freed);
    }

    /// Gives back what a pool does not use, down to `keep` bytes.
    pub fn trim_pool(&self, pool: u64, keep: u64) -> Result<()> {
        let mut guard = self.ledger();
        let ledger = &mut *guard;
        let freed = ledger.pools.trim(&ledger.arena, pool, keep)?;
        self.refund(Place::Device, freed);
        Ok(())
    }

    /// A figure of a pool.
    pub fn pool_figure(&self, pool: u64, figure: PoolFigure) -> Result<u64> {
        self.ledger().pools.figure(pool, figure)
    }

    /// Sets one that can be set.
    pub fn set_pool_figure(&self, pool: u64, figure: PoolFigure, value: u64) -> Result<()> {
        self.ledger().pools.set_figure(pool, figure, value)
    }
}
