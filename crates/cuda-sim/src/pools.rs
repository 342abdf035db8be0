//! Stream-ordered memory: pools that take device memory in chunks and keep it for later.
//!
//! Seen on an H100 with driver 580, and so here: a pool grows by chunks of 32 MiB or a multiple; "used" counts the bytes
//! asked for; a chunk in which nothing lives goes back when a stream, event or context is synchronised, as long as the
//! pool holds more than its release threshold (0 unless set); `cuMemFree` synchronises; destroying a pool gives back
//! what is not in use, and the rest with its last allocation.
//!
//! Simpler than there: a free takes effect when it is called, and an allocation lies within one chunk, where the real
//! driver lets it span neighbours.

use crate::arena::{self, Arena};
use crate::{Error, Result, whole_granules};
use std::collections::BTreeMap;

/// What a pool takes from the device at a time.
pub const CHUNK: u64 = 32 << 20;
/// The first device's default pool. It cannot be destroyed.
const DEFAULT_POOL: u64 = 0x6b76_7000;
/// Distance of the devices' default pools.
const DEVICE_STEP: u64 = 1 << 32;
/// Distance of handles. A handle is given out again once its pool is gone, as an address of a real one would be.
const HANDLE_STEP: u64 = 0x40;
const ALIGN: u64 = 512;

/// A figure of a pool, by the number that the driver API gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum PoolFigure {
    /// Bytes that stay when a stream is synchronised.
    Threshold = 4,
    /// Bytes taken from the device.
    Reserved = 5,
    /// Most of them so far.
    ReservedHigh = 6,
    /// Bytes allocated.
    Used = 7,
    /// Most of them so far.
    UsedHigh = 8,
}

#[derive(Debug)]
struct Chunk {
    base: u64,
    offset: u64,
    size: u64,
    /// Address and bytes of what lives in it.
    live: BTreeMap<u64, u64>,
}

#[derive(Debug, Default)]
struct Pool {
    chunks: Vec<Chunk>,
    threshold: u64,
    reserved_high: u64,
    used: u64,
    used_high: u64,
    destroyed: bool,
}

/// The pools of one process.
#[derive(Debug)]
pub(crate) struct Pools {
    pools: BTreeMap<u64, Pool>,
    /// Destroyed ones in which something lives; they have no handle.
    orphans: Vec<Pool>,
    current: u64,
    default: u64,
}

impl Pools {
    /// Of the machine's device `ordinal`.
    pub fn new(ordinal: u32) -> Self {
        let default = DEFAULT_POOL + u64::from(ordinal) * DEVICE_STEP;
        Self { pools: BTreeMap::from([(default, Pool::default())]), orphans: Vec::new(), current: default, default }
    }

    /// The device's default pool.
    pub fn default_pool(&self) -> u64 {
        self.default
    }

    pub fn create(&mut self) -> u64 {
        let mut handle = self.default;
        while self.pools.contains_key(&handle) {
            handle += HANDLE_STEP;
        }
        self.pools.insert(handle, Pool::default());
        handle
    }

    /// Ends a pool. Returns the bytes that the device gets back now.
    pub fn destroy(&mut self, arena: &Arena, handle: u64) -> Result<u64> {
        if handle == self.default {
            return Err(Error::InvalidValue);
        }
        let mut pool = self.pools.remove(&handle).ok_or(Error::InvalidValue)?;
        if self.current == handle {
            self.current = self.default;
        }
        pool.destroyed = true;
        let freed = pool.shrink(arena, 0);
        if !pool.chunks.is_empty() {
            self.orphans.push(pool);
        }
        Ok(freed)
    }

    /// The pool that allocations without one come from.
    pub fn current(&self) -> u64 {
        self.current
    }

    pub fn set_current(&mut self, handle: u64) -> Result<()> {
        if !self.pools.contains_key(&handle) {
            return Err(Error::InvalidValue);
        }
        self.current = handle;
        Ok(())
    }

    /// Allocates from a pool. `admit` is asked before the pool takes more from the device, and may refuse.
    pub fn alloc(
        &mut self,
        arena: &Arena,
        handle: u64,
        size: u64,
        mut admit: impl FnMut(u64) -> Result<()>,
    ) -> Result<u64> {
        let pool = self.pools.get_mut(&handle).ok_or(Error::InvalidValue)?;
        let room = size.checked_next_multiple_of(ALIGN).filter(|room| *room > 0).ok_or(Error::OutOfMemory)?;
        let fits = pool.chunks.iter().enumerate().find_map(|(index, chunk)| Some((index, chunk.gap(room)?)));
        let (index, address) = match fits {
            Some(found) => found,
            None => {
                let (least, wanted) = (whole_granules(room), room.checked_next_multiple_of(CHUNK));
                let (least, wanted) = (least.ok_or(Error::OutOfMemory)?, wanted.ok_or(Error::OutOfMemory)?);
                // Where a whole chunk is no longer there, the allocation itself may be.
                let size = admit(wanted).map(|()| wanted).or_else(|_| admit(least).map(|()| least))?;
                let offset = arena.take(size)?;
                let base = arena.map(offset, size)?;
                pool.chunks.push(Chunk { base, offset, size, live: BTreeMap::new() });
                pool.reserved_high = pool.reserved_high.max(pool.reserved());
                (pool.chunks.len() - 1, base)
            }
        };
        pool.chunks[index].live.insert(address, size);
        pool.used += size;
        pool.used_high = pool.used_high.max(pool.used);
        Ok(address)
    }

    /// Forgets the allocation at `address`. Returns the bytes that the device gets back now.
    pub fn free(&mut self, arena: &Arena, address: u64) -> u64 {
        let holder = |pool: &&mut Pool| pool.chunks.iter().any(|chunk| chunk.live.contains_key(&address));
        let Some(pool) = self.pools.values_mut().chain(&mut self.orphans).find(holder) else { return 0 };
        for chunk in &mut pool.chunks {
            pool.used -= chunk.live.remove(&address).unwrap_or(0);
        }
        let freed = if pool.destroyed { pool.shrink(arena, 0) } else { 0 };
        self.orphans.retain(|pool| !pool.chunks.is_empty());
        freed
    }

    /// What synchronising does. Returns the bytes that the device gets back.
    pub fn settle(&mut self, arena: &Arena) -> u64 {
        self.pools.values_mut().map(|pool| pool.shrink(arena, pool.threshold)).sum()
    }

    /// Gives back what is not in use, down to `keep` bytes.
    pub fn trim(&mut self, arena: &Arena, handle: u64, keep: u64) -> Result<u64> {
        let pool = self.pools.get_mut(&handle).ok_or(Error::InvalidValue)?;
        let mut freed = 0;
        loop {
            let spared = pool.unused().find(|at| pool.reserved() - pool.chunks[*at].size >= keep);
            let Some(at) = spared else { return Ok(freed) };
            freed += pool.give_back(arena, at);
        }
    }

    pub fn figure(&self, handle: u64, figure: PoolFigure) -> Result<u64> {
        let pool = self.pools.get(&handle).ok_or(Error::InvalidValue)?;
        Ok(match figure {
            PoolFigure::Threshold => pool.threshold,
            PoolFigure::Reserved => pool.reserved(),
            PoolFigure::ReservedHigh => pool.reserved_high,
            PoolFigure::Used => pool.used,
            PoolFigure::UsedHigh => pool.used_high,
        })
    }

    /// Sets the threshold; the highest figures can only be set back, by 0, to what is there now.
    pub fn set_figure(&mut self, handle: u64, figure: PoolFigure, value: u64) -> Result<()> {
        let pool = self.pools.get_mut(&handle).ok_or(Error::InvalidValue)?;
        match figure {
            PoolFigure::Threshold => pool.threshold = value,
            PoolFigure::ReservedHigh if value == 0 => pool.reserved_high = pool.reserved(),
            PoolFigure::UsedHigh if value == 0 => pool.used_high = pool.used,
            _ => return Err(Error::InvalidValue),
        }
        Ok(())
    }

    /// Whether there is a pool of this handle.
    pub fn knows(&self, handle: u64) -> bool {
        self.pools.contains_key(&handle)
    }

    /// Bytes taken from the device by pools that have a handle.
    pub fn reserved(&self) -> u64 {
        self.pools.values().map(Pool::reserved).sum()
    }

    /// Bytes taken from the device, and bytes asked for, of destroyed pools.
    pub fn orphaned(&self) -> (u64, u64) {
        self.orphans.iter().fold((0, 0), |(reserved, used), pool| (reserved + pool.reserved(), used + pool.used))
    }
}

impl Pool {
    fn reserved(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.size).sum()
    }

    fn unused(&self) -> impl Iterator<Item = usize> {
        (0..self.chunks.len()).filter(|at| self.chunks[*at].live.is_empty())
    }

    /// Gives chunks back in which nothing lives, as long as more than `threshold` is held.
    fn shrink(&mut self, arena: &Arena, threshold: u64) -> u64 {
        let mut freed = 0;
        while self.reserved() > threshold {
            let Some(at) = self.unused().next() else { break };
            freed += self.give_back(arena, at);
        }
        freed
    }

    fn give_back(&mut self, arena: &Arena, at: usize) -> u64 {
        let chunk = self.chunks.remove(at);
        arena::release(chunk.base, chunk.size);
        arena.give_back(chunk.offset, chunk.size);
        chunk.size
    }
}

impl Chunk {
    /// The first address with `room` free bytes behind it.
    fn gap(&self, room: u64) -> Option<u64> {
        let mut at = self.base;
        for (address, size) in &self.live {
            if address - at >= room {
                return Some(at);
            }
            at = address + size.next_multiple_of(ALIGN);
        }
        (self.base + self.size - at >= room).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn allow(_: u64) -> Result<()> {
        Ok(())
    }

    #[test]
    fn a_pool_keeps_what_is_freed_until_it_is_synchronised() {
        let (arena, mut pools) = (Arena::new().unwrap(), Pools::new(0));
        let pool = pools.create();
        let small = pools.alloc(&arena, pool, 1, allow).unwrap();
        let large = pools.alloc(&arena, pool, 40 * MIB, allow).unwrap();
        assert_eq!(pools.figure(pool, PoolFigure::Reserved), Ok(96 * MIB));
        assert_eq!(pools.figure(pool, PoolFigure::Used), Ok(40 * MIB + 1));
        assert_eq!(pools.free(&arena, large), 0);
        assert_eq!(pools.alloc(&arena, pool, 30 * MIB, allow), Ok(small + 512));
        assert_eq!(pools.figure(pool, PoolFigure::Reserved), Ok(96 * MIB));
        assert_eq!(pools.settle(&arena), 64 * MIB);
        assert_eq!(pools.figure(pool, PoolFigure::ReservedHigh), Ok(96 * MIB));
    }

    #[test]
    fn the_threshold_holds_back_and_a_trim_does_not_ask_it() {
        let (arena, mut pools) = (Arena::new().unwrap(), Pools::new(0));
        pools.set_figure(DEFAULT_POOL, PoolFigure::Threshold, u64::MAX).unwrap();
        let at = pools.alloc(&arena, DEFAULT_POOL, MIB, allow).unwrap();
        pools.free(&arena, at);
        assert_eq!(pools.settle(&arena), 0);
        assert_eq!(pools.trim(&arena, DEFAULT_POOL, 1), Ok(0));
        assert_eq!(pools.trim(&arena, DEFAULT_POOL, 0), Ok(CHUNK));
        assert_eq!(pools.destroy(&arena, DEFAULT_POOL), Err(Error::InvalidValue));
    }

    #[test]
    fn a_destroyed_pool_goes_with_its_last_allocation() {
        let (arena, mut pools) = (Arena::new().unwrap(), Pools::new(0));
        let pool = pools.create();
        pools.set_current(pool).unwrap();
        let (small, large) =
            (pools.alloc(&arena, pool, MIB, allow).unwrap(), pools.alloc(&arena, pool, 60 * MIB, allow).unwrap());
        pools.free(&arena, large);
        assert_eq!(pools.destroy(&arena, pool), Ok(64 * MIB));
        assert_eq!((pools.current(), pools.orphaned()), (DEFAULT_POOL, (CHUNK, MIB)));
        assert_eq!(pools.alloc(&arena, pool, MIB, allow), Err(Error::InvalidValue));
        assert_eq!(pools.free(&arena, small), CHUNK);
        assert_eq!(pools.orphaned(), (0, 0));
    }

    #[test]
    fn what_the_device_refuses_changes_nothing() {
        let (arena, mut pools) = (Arena::new().unwrap(), Pools::new(0));
        let tight = |bytes| if bytes > 4 * MIB { Err(Error::OutOfMemory) } else { Ok(()) };
        assert_eq!(pools.alloc(&arena, DEFAULT_POOL, 5 * MIB, tight), Err(Error::OutOfMemory));
        assert_eq!(pools.reserved(), 0);
        assert!(pools.alloc(&arena, DEFAULT_POOL, 3 * MIB, tight).is_ok());
        assert_eq!(pools.reserved(), 4 * MIB);
    }
}
