//! Virtual memory management: address reservations, physical allocations, and mappings of one onto the other.

use crate::arena::{self, Arena};
use crate::shared::Key;
use crate::{Error, GRANULE, Result};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Far from small integers, so that a program that mixes handles up is told so.
const FIRST_HANDLE: u64 = 0x6b76_0000_0000;
/// Distance of the devices' first handles.
const DEVICE_STEP: u64 = 1 << 36;

/// Where a physical allocation lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On the device.
    Device,
    /// In the host's memory.
    Host,
}

/// A physical allocation that has ended for this process.
#[derive(Debug)]
pub(crate) struct Ended {
    pub size: u64,
    pub offset: u64,
    pub place: Place,
    /// Where other processes may hold it too.
    pub shared: Option<Key>,
    /// The memory file, where that is another process's.
    pub file: Option<OwnedFd>,
}

#[derive(Debug)]
struct Physical {
    size: u64,
    offset: u64,
    place: Place,
    shared: Option<Key>,
    file: Option<OwnedFd>,
    /// Times that the program holds the handle.
    handles: u32,
    mappings: u32,
}

/// What is told of a handle that becomes a descriptor.
pub(crate) struct Exported<'a> {
    pub file: BorrowedFd<'a>,
    pub offset: u64,
    pub size: u64,
    /// Whether it was exported before.
    pub known: bool,
}

#[derive(Debug, Clone, Copy)]
struct Mapping {
    size: u64,
    handle: u64,
}

/// A reservation of address space. It belongs to no device: memory of any may be mapped into it.
#[derive(Debug, Clone, Copy)]
struct Reservation {
    size: u64,
    mappings: u32,
}

/// The reservations of this process, by address.
static RESERVATIONS: Mutex<BTreeMap<u64, Reservation>> = Mutex::new(BTreeMap::new());

fn reservations() -> MutexGuard<'static, BTreeMap<u64, Reservation>> {
    RESERVATIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The reservation that holds `address` to `end`.
fn around(reservations: &mut BTreeMap<u64, Reservation>, address: u64, end: u64) -> Option<&mut Reservation> {
    let (start, found) = reservations.range_mut(..=address).next_back()?;
    (end <= start + found.size).then_some(found)
}

pub(crate) fn reserve(size: u64, align: u64) -> Result<u64> {
    if size == 0 || !size.is_multiple_of(GRANULE) || (align != 0 && !align.is_power_of_two()) {
        return Err(Error::InvalidValue);
    }
    let address = arena::reserve(size, align)?;
    reservations().insert(address, Reservation { size, mappings: 0 });
    Ok(address)
}

pub(crate) fn unreserve(address: u64, size: u64) -> Result<()> {
    let mut reservations = reservations();
    let known = reservations.get(&address).is_some_and(|found| found.size == size && found.mappings == 0);
    if !known {
        return Err(Error::InvalidValue);
    }
    reservations.remove(&address);
    arena::release(address, size);
    Ok(())
}

/// Whether `address` to `address + size` lies in one reservation.
pub(crate) fn reserved(address: u64, size: u64) -> bool {
    address.checked_add(size).is_some_and(|end| around(&mut reservations(), address, end).is_some())
}

/// Physical allocations and mappings of one process on one device.
#[derive(Debug)]
pub(crate) struct Vmm {
    physical: BTreeMap<u64, Physical>,
    mappings: BTreeMap<u64, Mapping>,
    first: u64,
    handles_given: u64,
}

impl Vmm {
    /// Of the machine's device `ordinal`.
    pub fn new(ordinal: u32) -> Self {
        let first = FIRST_HANDLE + u64::from(ordinal) * DEVICE_STEP;
        Self { physical: BTreeMap::new(), mappings: BTreeMap::new(), first, handles_given: 0 }
    }

    /// Whether the program holds this handle.
    pub fn has(&self, handle: u64) -> bool {
        self.physical.get(&handle).is_some_and(|one| one.handles > 0)
    }

    /// Creates a physical allocation; the caller has charged it.
    pub fn create(&mut self, arena: &Arena, size: u64, place: Place) -> Result<u64> {
        let offset = arena.take(size)?;
        self.handles_given += 1;
        let handle = self.first + self.handles_given;
        let physical = Physical { size, offset, place, shared: None, file: None, handles: 1, mappings: 0 };
        self.physical.insert(handle, physical);
        Ok(handle)
    }

    /// A handle for memory of another process. Memory that this process shares itself gets a second handle too, as seen
    /// on a real driver.
    pub fn import(&mut self, file: OwnedFd, key: Key, size: u64) -> u64 {
        self.handles_given += 1;
        let handle = self.first + self.handles_given;
        let physical = Physical {
            size,
            offset: key.offset,
            place: Place::Device,
            shared: Some(key),
            file: Some(file),
            handles: 1,
            mappings: 0,
        };
        self.physical.insert(handle, physical);
        handle
    }

    /// What a descriptor of this handle has to name. Memory of the host cannot be shared.
    pub fn export<'a>(&'a self, arena: &'a Arena, handle: u64) -> Result<Exported<'a>> {
        let physical = self.physical.get(&handle).filter(|one| one.handles > 0).ok_or(Error::InvalidValue)?;
        if physical.place == Place::Host {
            return Err(Error::NotSupported);
        }
        let file = physical.file.as_ref().map_or_else(|| arena.file(), AsFd::as_fd);
        Ok(Exported { file, offset: physical.offset, size: physical.size, known: physical.shared.is_some() })
    }

    /// From now on the allocation may be held by other processes.
    pub fn mark_shared(&mut self, handle: u64, key: Key) {
        if let Some(physical) = self.physical.get_mut(&handle) {
            physical.shared = Some(key);
        }
    }

    /// Whether this process holds shared memory.
    pub fn holds(&self, key: Key) -> Option<u64> {
        self.physical.values().find(|physical| physical.shared == Some(key)).map(|physical| physical.size)
    }

    pub fn retain(&mut self, address: u64) -> Result<u64> {
        let (_, mapping) = self.mapping_at(address).ok_or(Error::InvalidValue)?;
        self.physical.get_mut(&mapping.handle).ok_or(Error::InvalidValue)?.handles += 1;
        Ok(mapping.handle)
    }

    pub fn release(&mut self, handle: u64) -> Result<Option<Ended>> {
        let physical = self.physical.get_mut(&handle).filter(|one| one.handles > 0).ok_or(Error::InvalidValue)?;
        physical.handles -= 1;
        Ok(self.end_if_unused(handle))
    }

    pub fn map(&mut self, arena: &Arena, address: u64, size: u64, offset: u64, handle: u64) -> Result<()> {
        let physical = self.physical.get_mut(&handle).filter(|one| one.handles > 0).ok_or(Error::InvalidValue)?;
        let aligned = size > 0 && [address, size, offset].iter().all(|value| value.is_multiple_of(GRANULE));
        let inside = offset.checked_add(size).is_some_and(|end| end <= physical.size);
        let end = address.checked_add(size).ok_or(Error::InvalidValue)?;
        let mut reservations = reservations();
        let reservation = around(&mut reservations, address, end);
        let before = self.mappings.range(..end).next_back();
        let taken = before.is_some_and(|(start, mapping)| start + mapping.size > address);
        let Some(reservation) = reservation.filter(|_| aligned && inside && !taken) else {
            return Err(Error::InvalidValue);
        };
        let file = physical.file.as_ref().map_or_else(|| arena.file(), AsFd::as_fd);
        arena::map_file(file, address, physical.offset + offset, size)?;
        physical.mappings += 1;
        reservation.mappings += 1;
        self.mappings.insert(address, Mapping { size, handle });
        Ok(())
    }

    /// Unmaps all mappings in the range, which must hold whole mappings only, and at least one.
    pub fn unmap(&mut self, address: u64, size: u64) -> Result<Vec<Ended>> {
        let end = address.checked_add(size).ok_or(Error::InvalidValue)?;
        let inside: Vec<_> = self.mappings.range(address..end).map(|(start, mapping)| (*start, *mapping)).collect();
        let whole = inside.last().is_some_and(|(start, mapping)| start + mapping.size <= end)
            && inside.first().is_some_and(|(start, _)| *start == address);
        if !whole {
            return Err(Error::InvalidValue);
        }
        let mut ended = Vec::new();
        for (start, mapping) in inside {
            self.mappings.remove(&start);
            arena::withdraw(start, mapping.size);
            if let Some(reservation) = around(&mut reservations(), start, start + mapping.size) {
                reservation.mappings = reservation.mappings.saturating_sub(1);
            }
            if let Some(physical) = self.physical.get_mut(&mapping.handle) {
                physical.mappings -= 1;
            }
            ended.extend(self.end_if_unused(mapping.handle));
        }
        Ok(ended)
    }

    /// Address and size of the mapping that holds `address`, in bytes, and where its memory lies.
    pub fn find(&self, address: u64) -> Option<(u64, u64, Place)> {
        let (start, mapping) = self.mapping_at(address)?;
        Some((start, mapping.size, self.physical.get(&mapping.handle)?.place))
    }

    /// Bytes that live of what this process created.
    pub fn live(&self, place: Place) -> u64 {
        let own = self.physical.values().filter(|physical| physical.file.is_none() && physical.place == place);
        own.map(|physical| physical.size).sum()
    }

    /// Bytes that live of what it created and shares with other processes.
    pub fn live_shared(&self) -> u64 {
        let own = self.physical.values().filter(|physical| physical.file.is_none() && physical.shared.is_some());
        own.map(|physical| physical.size).sum()
    }

    /// Bytes that it imported.
    pub fn imported(&self) -> u64 {
        self.physical.values().filter(|physical| physical.file.is_some()).map(|physical| physical.size).sum()
    }

    fn mapping_at(&self, address: u64) -> Option<(u64, Mapping)> {
        let (start, mapping) = self.mappings.range(..=address).next_back()?;
        (address - start < mapping.size).then_some((*start, *mapping))
    }

    fn end_if_unused(&mut self, handle: u64) -> Option<Ended> {
        self.physical.get(&handle).filter(|one| one.handles == 0 && one.mappings == 0)?;
        let Physical { size, offset, place, shared, file, .. } = self.physical.remove(&handle)?;
        Some(Ended { size, offset, place, shared, file })
    }
}
