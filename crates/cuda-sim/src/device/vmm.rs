use super::Device;
use crate::arena;
use crate::ipc::{Address, IpcHandle};
use crate::ledger::Kind;
use crate::shared::Key;
use crate::vmm::{Ended, Place, reserve, reserved, unreserve};
use crate::{Error, GRANULE, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

impl Device {
    /// Reserves address space: `size` is whole granules, `align` 0 or a power of two.
    pub fn reserve(&self, size: u64, align: u64) -> Result<u64> {
        reserve(size, align)
    }

    /// Ends a reservation in which nothing is mapped.
    pub fn unreserve(&self, address: u64, size: u64) -> Result<()> {
        unreserve(address, size)
    }

    /// Creates a physical allocation of whole granules and returns its handle.
    pub fn create(&self, size: u64, place: Place) -> Result<u64> {
        if size == 0 || !size.is_multiple_of(GRANULE) {
            return Err(Error::InvalidValue);
        }
        let mut guard = self.ledger();
        let ledger = &mut *guard;
        self.publish_resident(ledger);
        self.charge(place, size)?;
        ledger.vmm.create(&ledger.arena, size, place).inspect_err(|_| self.refund(place, size))
    }

    /// The handle of the physical allocation that is mapped at `address`, held once more.
    pub fn retain(&self, address: u64) -> Result<u64> {
        self.ledger().vmm.retain(address)
    }

    /// Whether a handle is one of this device.
    pub fn has_handle(&self, handle: u64) -> bool {
        self.ledger().vmm.has(handle)
    }

    /// Lets a handle go. The memory goes with the last handle and the last mapping.
    pub fn release(&self, handle: u64) -> Result<()> {
        let mut ledger = self.ledger();
        let ended = ledger.vmm.release(handle)?;
        self.settle(&ledger, ended);
        Ok(())
    }

    /// Maps `size` bytes of `handle` from `offset` on into a reservation.
    pub fn map(&self, address: u64, size: u64, offset: u64, handle: u64) -> Result<()> {
        let mut guard = self.ledger();
        let ledger = &mut *guard;
        ledger.vmm.map(&ledger.arena, address, size, offset, handle)
    }

    /// Unmaps the whole mappings in a range.
    pub fn unmap(&self, address: u64, size: u64) -> Result<()> {
        let mut ledger = self.ledger();
        let ended = ledger.vmm.unmap(address, size)?;
        self.settle(&ledger, ended);
        Ok(())
    }

    /// Whether the range lies in one reservation.
    pub fn reserved(&self, address: u64, size: u64) -> bool {
        reserved(address, size)
    }

    /// A descriptor of a physical allocation: the memory file, opened once more, with its position at the allocation.
    /// From then on the device charges the memory for as long as any process holds it.
    pub fn export(&self, handle: u64) -> Result<OwnedFd> {
        let mut guard = self.ledger();
        let ledger = &mut *guard;
        let exported = ledger.vmm.export(&ledger.arena, handle)?;
        let descriptor = arena::reopen(&format!("/proc/self/fd/{}", exported.file.as_raw_fd()))?;
        // SAFETY: moves the position of our own descriptor.
        if unsafe { libc::lseek(descriptor.as_raw_fd(), exported.offset as libc::off_t, libc::SEEK_SET) } < 0 {
            return Err(Error::NotSupported);
        }
        if !exported.known {
            let (size, key) = (exported.size, Key { file: arena::inode(exported.file)?, offset: exported.offset });
            // Charged twice for a moment rather than not at all.
            if !self.state.share(key, size) {
                return Err(Error::OutOfMemory);
            }
            self.refund(Place::Device, size);
            ledger.vmm.mark_shared(handle, key);
        }
        Ok(descriptor)
    }

    /// A handle for what such a descriptor names, as long as some process holds it.
    pub fn import(&self, descriptor: BorrowedFd<'_>) -> Result<u64> {
        // SAFETY: asks for the position of the program's descriptor.
        let offset = unsafe { libc::lseek(descriptor.as_raw_fd(), 0, libc::SEEK_CUR) };
        let offset = u64::try_from(offset).map_err(|_| Error::InvalidValue)?;
        let key = Key { file: arena::inode(descriptor)?, offset };
        let file = descriptor.try_clone_to_owned().map_err(|_| Error::OutOfMemory)?;
        let mut ledger = self.ledger();
        let size = ledger.vmm.holds(key).or_else(|| self.state.join(key)).ok_or(Error::InvalidValue)?;
        Ok(ledger.vmm.import(file, key, size))
    }

    /// Names the allocation that starts at `address` for other processes. Device memory only.
    pub fn ipc_handle(&self, address: u64) -> Result<IpcHandle> {
        let ledger = self.ledger();
        let block = ledger.find(address).filter(|block| block.kind == Kind::Device).ok_or(Error::InvalidValue)?;
        let (base, offset, span) = ledger.granules_of(&block).ok_or(Error::InvalidValue)?;
        let file = ledger.arena.file();
        let named = Address {
            pid: std::process::id(),
            fd: file.as_raw_fd().unsigned_abs(),
            inode: arena::inode(file)?,
            offset,
            span,
            lead: block.base - base,
            size: block.size,
        };
        Ok(named.to_handle())
    }

    /// Opens what another process named.
    pub fn ipc_open(&self, handle: &IpcHandle) -> Result<u64> {
        let onto = Address::of_handle(handle)?;
        let mut ledger = self.ledger();
        let address = ledger.windows.open(onto)?;
        ledger.enter(Kind::Foreign, address, onto.size);
        Ok(address)
    }

    /// Closes it; the address is gone with the last of several openings.
    pub fn ipc_close(&self, address: u64) -> Result<()> {
        let mut ledger = self.ledger();
        if ledger.windows.close(address)? {
            ledger.free(address, &[Kind::Foreign])?;
        }
        Ok(())
    }

    fn settle(&self, ledger: &super::Ledger, ended: impl IntoIterator<Item = Ended>) {
        for Ended { size, offset, place, shared, file } in ended {
            let last = match shared {
                // Another handle of this process may name the same memory.
                Some(key) if ledger.vmm.holds(key).is_some() => false,
                Some(key) => self.state.leave(key),
                None => {
                    self.refund(place, size);
                    true
                }
            };
            if last {
                arena::empty(file.as_ref().map_or_else(|| ledger.arena.file(), AsFd::as_fd), offset, size);
            }
        }
    }
}
