//! The device as one process sees it.

/// What this process holds, by family.
mod held;
/// Managed memory that moves, arrays and graphs.
mod moved;
/// Stream-ordered memory.
mod pools;
/// Physical memory by handle, and what of it other processes see.
mod vmm;

pub use held::Held;

use crate::ledger::{Block, Kind, Ledger};
use crate::meminfo::MemInfo;
use crate::pool_file::PoolFile;
use crate::state::{Slot, State, Tenant};
use crate::vmm::Place;
use crate::{Error, Profile, Result};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Free and total memory in bytes, as `cuMemGetInfo` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Bytes that an allocation could have.
    pub free: u64,
    /// Bytes of the device, or of the pool that it shares with the CPU.
    pub total: u64,
}

/// A simulated device, opened by this process.
#[derive(Debug)]
pub struct Device {
    profile: Profile,
    state: State,
    /// Of unified memory.
    pool: Option<PoolFile>,
    ledger: Mutex<Ledger>,
    has_context: AtomicBool,
    has_communicator: AtomicBool,
    ordinal: u32,
    opened_by: u32,
}

impl Device {
    /// Opens the device whose state file is `path`. [`Error::NotReady`] where that file cannot be used.
    pub fn open(profile: Profile, path: &Path) -> Result<Self> {
        Self::open_as(profile, path, 0)
    }

    /// As [`Self::open`], as the machine's device `ordinal`: devices of one process give different handles.
    pub fn open_as(profile: Profile, path: &Path, ordinal: u32) -> Result<Self> {
        let state = State::open(path).map_err(|_| Error::NotReady)?;
        let pool = if profile.unified { PoolFile::beside(path, profile.total) } else { None };
        let device = Self {
            profile,
            state,
            pool,
            ledger: Mutex::new(Ledger::new(ordinal)?),
            has_context: AtomicBool::new(false),
            has_communicator: AtomicBool::new(false),
            ordinal,
            opened_by: std::process::id(),
        };
        // What a process held that was killed is free again.
        device.publish_held();
        Ok(device)
    }

    /// Which of the machine's devices this is, from 0.
    pub fn ordinal(&self) -> u32 {
        self.ordinal
    }

    /// Whether this process opened the device. A fork child has its parent's memory but not its contexts: a real driver
    /// refuses it every call.
    pub fn is_ours(&self) -> bool {
        self.opened_by == std::process::id()
    }

    /// What is simulated.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Free and total memory at this instant. On a unified device everything that the machine itself uses is used:
    /// other programs, the kernel, page cache.
    pub fn memory(&self) -> Memory {
        self.publish_resident(&self.ledger());
        self.publish_held();
        self.survey()
    }

    /// Every process that holds memory of this device.
    pub fn tenants(&self) -> impl Iterator<Item = Tenant> {
        self.state.tenants()
    }

    /// Takes the memory of this process's context, once. [`Error::OutOfMemory`] if it is not there.
    pub fn make_context(&self) -> Result<()> {
        if self.has_context.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let charged = self.charge(Place::Device, self.profile.context);
        charged.inspect_err(|_| self.has_context.store(false, Ordering::Release))
    }

    /// Gives the memory of this process's context back.
    pub fn drop_context(&self) {
        if self.has_context.swap(false, Ordering::AcqRel) {
            self.refund(Place::Device, self.profile.context);
        }
        if self.has_communicator.swap(false, Ordering::AcqRel) {
            self.refund(Place::Device, self.profile.communicator);
        }
    }

    /// Takes what this process's first communicator of several ranks takes, once, if it is there.
    pub fn make_communicator(&self) {
        if !self.has_communicator.swap(true, Ordering::AcqRel)
            && self.charge(Place::Device, self.profile.communicator).is_err()
        {
            self.has_communicator.store(false, Ordering::Release);
        }
    }

    /// Allocates `size` bytes. [`Error::OutOfMemory`] beyond what is free, [`Error::InvalidValue`] for 0 bytes.
    pub fn alloc(&self, kind: Kind, size: u64) -> Result<u64> {
        let mut ledger = self.ledger();
        self.publish_resident(&ledger);
        let place = place_of(kind);
        let mut charged = 0;
        let address = ledger.alloc(kind, size, |bytes| {
            self.charge(place, bytes)?;
            charged = bytes;
            Ok(())
        });
        address.inspect_err(|_| self.refund(place, charged))
    }

    /// Frees device, stream-ordered, graph or managed memory, which must start at `address`, and synchronises.
    pub fn free(&self, address: u64) -> Result<Block> {
        let block = self.free_ordered(address)?;
        self.synchronize();
        Ok(block)
    }

    /// As [`Self::free`], in the order of a stream: a pool keeps what it has until the next synchronisation.
    pub fn free_ordered(&self, address: u64) -> Result<Block> {
        self.free_of(address, &[Kind::Device, Kind::Async, Kind::Graph, Kind::Managed])
    }

    /// Frees pinned host memory, which must start at `address`.
    pub fn free_host(&self, address: u64) -> Result<Block> {
        self.free_of(address, &[Kind::Host])
    }

    /// Remembers `size` bytes of the program's own memory as pinned.
    pub fn register(&self, address: u64, size: u64) -> Result<()> {
        self.ledger().register(address, size)
    }

    /// Forgets registered memory.
    pub fn unregister(&self, address: u64) -> Result<Block> {
        self.free_of(address, &[Kind::Registered])
    }

    /// The allocation that holds `address`; a mapping of physical memory counts as one.
    pub fn find(&self, address: u64) -> Option<(u64, u64, Kind)> {
        let ledger = self.ledger();
        if let Some(block) = ledger.find(address) {
            return Some((block.base, block.size, block.kind));
        }
        let (base, size, place) = ledger.vmm.find(address)?;
        Some((base, size, if place == Place::Host { Kind::Host } else { Kind::Device }))
    }

    fn free_of(&self, address: u64, kinds: &[Kind]) -> Result<Block> {
        let mut ledger = self.ledger();
        let (block, charge) = ledger.free(address, kinds)?;
        match block.kind {
            // Where there is one memory only, it did not move: see `prefetch`.
            Kind::Managed if self.profile.unified => {}
            kind => self.refund(place_of(kind), charge),
        }
        Ok(block)
    }

    /// Charges first and looks then: two processes that race may both be refused, never both admitted.
    fn charge(&self, place: Place, bytes: u64) -> Result<()> {
        if place == Place::Host && !self.profile.unified {
            return Ok(());
        }
        let slot = self.state.own().ok_or(Error::OutOfMemory)?;
        if self.lasting() + u128::from(bytes) > u128::from(self.profile.total) {
            return Err(Error::OutOfMemory);
        }
        counter(slot, place).fetch_add(bytes, Ordering::AcqRel);
        if self.lasting() > u128::from(self.profile.total) {
            counter(slot, place).fetch_sub(bytes, Ordering::AcqRel);
            return Err(Error::OutOfMemory);
        }
        self.publish_held();
        Ok(())
    }

    fn refund(&self, place: Place, bytes: u64) {
        if bytes == 0 || (place == Place::Host && !self.profile.unified) {
            return;
        }
        if let Some(slot) = self.state.own() {
            let less = |held: u64| Some(held.saturating_sub(bytes));
            // A forked child frees what its parent holds: its own slot starts at nothing.
            let _ = counter(slot, place).fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
            self.publish_held();
        }
    }

    fn survey(&self) -> Memory {
        let total = self.profile.total;
        Memory { free: u128::from(total).saturating_sub(self.used()) as u64, total }
    }

    /// What living processes are charged, and what of it is in this machine's memory.
    fn charged(&self) -> (u128, u128) {
        let unified = self.profile.unified;
        self.state.tenants().fold((0, 0), |(charged, resident), tenant| {
            let more = u128::from(tenant.device) + if unified { u128::from(tenant.host) } else { 0 };
            (charged + more, resident + u128::from(tenant.resident))
        })
    }

    fn publish_held(&self) {
        if let Some(pool) = &self.pool {
            let (charged, resident) = self.charged();
            pool.tell(u64::try_from(charged.saturating_sub(resident)).unwrap_or(u64::MAX));
        }
    }

    /// What is used and would not be given up: to make room for a GPU that shares its memory, the kernel drops page cache.
    fn lasting(&self) -> u128 {
        let reclaimable = match self.profile.unified {
            true => MemInfo::read().map_or(0, |info| u128::from(info.available.saturating_sub(info.free))),
            false => 0,
        };
        self.used().saturating_sub(reclaimable)
    }

    fn used(&self) -> u128 {
        let (charged, resident) = self.charged();
        if !self.profile.unified {
            return charged;
        }
        let machine = MemInfo::read().map_or(0, |info| u128::from(info.total - info.free.min(info.total)));
        charged + machine.saturating_sub(resident)
    }

    fn publish_resident(&self, ledger: &Ledger) {
        if let Some(slot) = self.state.own() {
            slot.resident.store(ledger.arena.resident(), Ordering::Relaxed);
        }
    }

    /// A panic while the lock was held leaves the ledger whole: every step of it is an insertion or a removal.
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place_of(kind: Kind) -> Place {
    if kind == Kind::Host { Place::Host } else { Place::Device }
}

fn counter(slot: &Slot, place: Place) -> &AtomicU64 {
    match place {
        Place::Device => &slot.device,
        Place::Host => &slot.host,
    }
}
