//! Who holds how much: a small file that every process of one simulated device maps.
//!
//! One slot per process. A process owns its slot through a record lock on it, which the kernel drops when the process
//! dies, however it dies; an unlocked slot is free. That needs no look at process numbers, so it also holds between
//! containers that share the file, and survives their reuse.

use crate::shared::{self, Entry, Key, Table};
use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Names the state file. Two paths are two devices.
pub const ENV_STATE: &str = "KVTRACE_SIM_STATE";

pub(crate) const SLOTS: usize = 512;
const NOT_CLAIMED: u64 = u64::MAX;
/// The file: slots, then the number of table entries that were in use, then the table of shared memory.
const TABLE: usize = size_of::<Slot>() * SLOTS;
const ENTRIES: usize = TABLE + size_of::<AtomicU64>();
const LENGTH: usize = ENTRIES + size_of::<Entry>() * shared::MOST;

/// One process's share. All sizes in bytes.
#[derive(Debug)]
#[repr(C)]
pub struct Slot {
    pid: AtomicU64,
    /// Tells one program image of a process from the next, after exec.
    image: AtomicU64,
    /// Charged device memory, without what is shared with other processes: see [`shared`].
    pub device: AtomicU64,
    /// Charged pinned host memory.
    pub host: AtomicU64,
    /// How much of the above is really in this machine's memory.
    pub resident: AtomicU64,
    reserved: [AtomicU64; 3],
}

/// What a living process holds. All sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tenant {
    /// Process number, as the process itself sees it.
    pub pid: u32,
    /// Charged device memory, with what it shares with other processes and is shown for.
    pub device: u64,
    /// Charged pinned host memory.
    pub host: u64,
    /// How much of the above is really in this machine's memory.
    pub resident: u64,
}

/// The mapped state file. Never unmapped or closed: closing any descriptor of the file would drop the record locks of
/// every user of it in the process.
#[derive(Debug)]
pub struct State {
    fd: i32,
    slots: &'static [Slot],
    table: Table,
    /// Our pid in the upper half and our slot's index in the lower.
    claimed: AtomicU64,
}

/// The state file that the environment names, or this user's default.
pub fn default_path() -> PathBuf {
    // SAFETY: always succeeds and touches no memory.
    let user = unsafe { libc::geteuid() };
    let fallback = || PathBuf::from(format!("/dev/shm/kvtrace-sim-{user}.state"));
    std::env::var_os(ENV_STATE).filter(|path| !path.is_empty()).map_or_else(fallback, PathBuf::from)
}

/// The state file of the machine's device `ordinal`: the first one's is [`default_path`].
pub fn path_of(ordinal: u32) -> PathBuf {
    let mut path = default_path().into_os_string();
    if ordinal > 0 {
        path.push(format!(".{ordinal}"));
    }
    path.into()
}

impl State {
    /// Opens or creates the state file at `path`, readable by this user only.
    pub fn open(path: &Path) -> io::Result<Self> {
        let name = CString::new(path.as_os_str().as_bytes())?;
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_CLOEXEC | libc::O_NOFOLLOW;
        // SAFETY: a NUL-terminated path. A system call, so that a preloaded library does not take it for the program's.
        let fd = unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, name.as_ptr(), flags, 0o600) } as i32;
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let length = LENGTH;
        // SAFETY: the descriptor is ours; zeros are a valid `stat`.
        let sized = unsafe {
            let mut stat: libc::stat = core::mem::zeroed();
            libc::fstat(fd, &mut stat) == 0
                && (stat.st_size >= length as libc::off_t || libc::ftruncate(fd, length as libc::off_t) == 0)
        };
        if !sized {
            return Err(io::Error::last_os_error());
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new shared mapping of our own descriptor.
        let start = unsafe { libc::mmap(core::ptr::null_mut(), length, protection, libc::MAP_SHARED, fd, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the mapping is page-aligned, `length` long and lives until exit; a slot is made of atomics only, for
        // which every byte pattern is valid and which other processes may change.
        let slots = unsafe { core::slice::from_raw_parts(start as *const Slot, SLOTS) };
        // SAFETY: as above; both lie behind the slots, aligned as atomics are, and inside the mapping.
        let table = unsafe {
            Table {
                used: &*start.byte_add(TABLE).cast::<AtomicU64>(),
                entries: core::slice::from_raw_parts(start.byte_add(ENTRIES).cast::<Entry>(), shared::MOST),
            }
        };
        Ok(Self { fd, slots, table, claimed: AtomicU64::new(NOT_CLAIMED) })
    }

    /// This process's slot, claimed at the first call. A forked child gets one of its own. `None` when all are taken.
    pub fn own(&self) -> Option<&'static Slot> {
        self.slots.get(self.own_index()?)
    }

    fn own_index(&self) -> Option<usize> {
        let pid = u64::from(std::process::id());
        let claimed = self.claimed.load(Ordering::Acquire);
        if claimed != NOT_CLAIMED && claimed >> 32 == pid {
            return Some(claimed as u32 as usize);
        }
        let index = (0..SLOTS).find(|index| self.claim(*index))?;
        self.claimed.store(pid << 32 | index as u64, Ordering::Release);
        self.with_table(|table| table.forget(index));
        Some(index)
    }

    /// From now on other processes may hold this memory too, and the table charges it. `false` if the table is full.
    pub(crate) fn share(&self, key: Key, size: u64) -> bool {
        let Some(slot) = self.own_index() else { return false };
        self.with_table(|table| table.enter(key, size, slot, |index| self.is_alive(index)))
    }

    /// Makes this process a holder of what another one shares. Returns its size; `None` if nobody holds it.
    pub(crate) fn join(&self, key: Key) -> Option<u64> {
        let slot = self.own_index()?;
        self.with_table(|table| table.join(key, slot, |index| self.is_alive(index)))
    }

    /// This process lets go of shared memory. Returns whether it was the last holder.
    pub(crate) fn leave(&self, key: Key) -> bool {
        let Some(slot) = self.own_index() else { return false };
        self.with_table(|table| table.leave(key, slot, |index| self.is_alive(index)))
    }

    /// Changes the table with its lock held. Threads of this process keep each other out by the device's ledger.
    fn with_table<T>(&self, act: impl FnOnce(&Table) -> T) -> T {
        let mut lock = range(TABLE, size_of::<AtomicU64>());
        // SAFETY: the descriptor is open for life and the lock structure is ours. Waits for another process's change; if
        // that fails, two changes may meet, which costs the figures their exactness and no more.
        unsafe { libc::fcntl(self.fd, libc::F_SETLKW, &mut lock) };
        let result = act(&self.table);
        lock.l_type = libc::F_UNLCK as libc::c_short;
        // SAFETY: as above.
        unsafe { libc::fcntl(self.fd, libc::F_SETLK, &mut lock) };
        result
    }

    fn is_alive(&self, index: usize) -> bool {
        self.slots.get(index).is_some_and(|slot| self.alive(index, slot))
    }

    /// Every process that holds a slot and lives.
    pub fn tenants(&self) -> impl Iterator<Item = Tenant> {
        let shared: Vec<(usize, u64)> = self.table.shown(|index| self.is_alive(index)).collect();
        let shared = move |index| shared.iter().filter(|(slot, _)| *slot == index).map(|(_, size)| size).sum::<u64>();
        let living = self.slots.iter().enumerate().filter(|(index, slot)| self.alive(*index, slot));
        living.map(move |(index, slot)| Tenant {
            pid: slot.pid.load(Ordering::Relaxed) as u32,
            device: slot.device.load(Ordering::Acquire).saturating_add(shared(index)),
            host: slot.host.load(Ordering::Acquire),
            resident: slot.resident.load(Ordering::Relaxed),
        })
    }

    fn claim(&self, index: usize) -> bool {
        let slot = &self.slots[index];
        let mut lock = record(index);
        // SAFETY: the descriptor is open for life and the lock structure is ours.
        let locked = unsafe { libc::fcntl(self.fd, libc::F_SETLK, &mut lock) } == 0;
        // Our own locks never conflict: another user of the file in this process is known by its marks.
        if !locked || slot.is_of_this_image() {
            return false;
        }
        for field in [&slot.device, &slot.host, &slot.resident] {
            field.store(0, Ordering::Relaxed);
        }
        slot.image.store(image(), Ordering::Relaxed);
        slot.pid.store(std::process::id().into(), Ordering::Release);
        true
    }

    fn alive(&self, index: usize, slot: &Slot) -> bool {
        if slot.pid.load(Ordering::Acquire) == 0 {
            return false;
        }
        let mut lock = record(index);
        // SAFETY: as in `claim`.
        let asked = unsafe { libc::fcntl(self.fd, libc::F_GETLK, &mut lock) } == 0;
        slot.is_of_this_image() || (asked && i32::from(lock.l_type) != libc::F_UNLCK)
    }
}

impl Slot {
    fn is_of_this_image(&self) -> bool {
        self.pid.load(Ordering::Relaxed) == u64::from(std::process::id())
            && self.image.load(Ordering::Relaxed) == image()
    }
}

fn record(index: usize) -> libc::flock {
    range(index * size_of::<Slot>(), size_of::<Slot>())
}

fn range(start: usize, length: usize) -> libc::flock {
    // SAFETY: zeros are a valid `flock`.
    let mut lock: libc::flock = unsafe { core::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = start as libc::off_t;
    lock.l_len = length as libc::off_t;
    lock
}

/// A number that differs for each program image: the kernel hands every exec 16 random bytes.
fn image() -> u64 {
    // SAFETY: AT_RANDOM is the address of 16 readable bytes, or 0.
    unsafe {
        let random = libc::getauxval(libc::AT_RANDOM) as *const [u8; 8];
        if random.is_null() { 1 } else { u64::from_ne_bytes(random.read()) | 1 }
    }
}
