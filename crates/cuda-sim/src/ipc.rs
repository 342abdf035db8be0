//! Device memory of another process by name: `cuIpcGetMemHandle` and its kin. What is opened is a window onto the memory
//! file of the process that allocated; it holds nothing and is charged to nobody. Freeing what another process has open
//! is an error of the program, here as there.

use crate::arena;
use crate::{Error, GRANULE, Result};
use std::collections::BTreeMap;
use std::os::fd::AsFd;

const MAGIC: u64 = u64::from_le_bytes(*b"kvt-ipc1");

/// A `CUipcMemHandle`.
pub type IpcHandle = [u8; 64];

/// Where the memory is, as the handle carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address {
    pub pid: u32,
    /// Descriptor of the memory file in that process.
    pub fd: u32,
    pub inode: u64,
    /// Of the granules in the file.
    pub offset: u64,
    pub span: u64,
    /// From the granules' begin to the allocation.
    pub lead: u64,
    pub size: u64,
}

impl Address {
    pub fn to_handle(self) -> IpcHandle {
        let mut handle = [0; 64];
        let pid_and_fd = u64::from(self.pid) << 32 | u64::from(self.fd);
        let words = [MAGIC, pid_and_fd, self.inode, self.offset, self.span, self.lead, self.size];
        for (place, word) in handle.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        handle
    }

    pub fn of_handle(handle: &IpcHandle) -> Result<Self> {
        let mut words = [0; 8];
        for (word, bytes) in words.iter_mut().zip(handle.chunks_exact(8)) {
            *word = u64::from_ne_bytes(bytes.try_into().unwrap_or_default());
        }
        let [magic, pid_and_fd, inode, offset, span, lead, size, _] = words;
        if magic != MAGIC || !span.is_multiple_of(GRANULE) || span == 0 || lead >= span {
            return Err(Error::InvalidValue);
        }
        Ok(Self { pid: (pid_and_fd >> 32) as u32, fd: pid_and_fd as u32, inode, offset, span, lead, size })
    }
}

#[derive(Debug)]
struct Window {
    onto: Address,
    mapping: u64,
    opened: u32,
}

/// The windows of one process, by the address that the program has.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    windows: BTreeMap<u64, Window>,
}

impl Windows {
    /// Opens a window, or the same one once more. Returns the allocation's address.
    pub fn open(&mut self, onto: Address) -> Result<u64> {
        if onto.pid == std::process::id() {
            return Err(Error::InvalidContext);
        }
        if let Some((address, window)) = self.windows.iter_mut().find(|(_, window)| window.onto == onto) {
            window.opened += 1;
            return Ok(*address);
        }
        let file = arena::reopen(&format!("/proc/{}/fd/{}", onto.pid, onto.fd)).map_err(|_| Error::InvalidValue)?;
        if arena::inode(file.as_fd())? != onto.inode {
            return Err(Error::InvalidValue);
        }
        let mapping = arena::reserve(onto.span, GRANULE)?;
        arena::map_file(file.as_fd(), mapping, onto.offset, onto.span)
            .inspect_err(|_| arena::release(mapping, onto.span))?;
        self.windows.insert(mapping + onto.lead, Window { onto, mapping, opened: 1 });
        Ok(mapping + onto.lead)
    }

    /// Closes a window once. Returns whether it is gone.
    pub fn close(&mut self, address: u64) -> Result<bool> {
        let window = self.windows.get_mut(&address).ok_or(Error::InvalidValue)?;
        window.opened -= 1;
        if window.opened > 0 {
            return Ok(false);
        }
        arena::release(window.mapping, window.onto.span);
        self.windows.remove(&address);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_reads_back_and_any_other_is_refused() {
        let address = Address { pid: 7, fd: 9, inode: 1 << 40, offset: GRANULE, span: GRANULE, lead: 512, size: 5 };
        assert_eq!(Address::of_handle(&address.to_handle()), Ok(address));
        assert_eq!(Address::of_handle(&[0; 64]), Err(Error::InvalidValue));
    }
}
