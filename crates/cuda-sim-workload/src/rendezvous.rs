//! Where ranks wait for each other and agree on the smallest figure: memory that the launcher shares with them.

use crate::failure::{Failure, Result};
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

/// Figures on which ranks agree.
#[derive(Debug, Clone, Copy)]
pub enum Figure {
    /// Bytes that the KV cache may have.
    Budget,
    /// Tokens of the final pool.
    Tokens,
}

#[repr(C)]
struct Shared {
    barrier: libc::pthread_barrier_t,
    least: [AtomicU64; 2],
}

/// The shared memory, mapped until the process ends.
pub struct Rendezvous {
    shared: *mut Shared,
    fd: i32,
}

impl Rendezvous {
    /// Makes the memory for `ranks` ranks. Its descriptor is inherited by fork and by exec.
    pub fn new(ranks: u32) -> Result<Self> {
        // SAFETY: a NUL-terminated name.
        let fd = unsafe { libc::memfd_create(c"kvtrace-workload-ranks".as_ptr(), 0) };
        // SAFETY: a descriptor of ours, or -1, which is refused.
        if fd < 0 || unsafe { libc::ftruncate(fd, size_of::<Shared>() as libc::off_t) } < 0 {
            return Err(unusable(&io::Error::last_os_error()));
        }
        let this = Self::map(fd)?;
        let mut attributes = MaybeUninit::<libc::pthread_barrierattr_t>::uninit();
        // SAFETY: no other process knows the mapping yet, it is large and aligned enough for a `Shared`, and the
        // attributes are initialised before they are used.
        let rc = unsafe {
            libc::pthread_barrierattr_init(attributes.as_mut_ptr());
            libc::pthread_barrierattr_setpshared(attributes.as_mut_ptr(), libc::PTHREAD_PROCESS_SHARED);
            for least in &(*this.shared).least {
                least.store(u64::MAX, Ordering::Relaxed);
            }
            libc::pthread_barrier_init(&raw mut (*this.shared).barrier, attributes.as_ptr(), ranks)
        };
        if rc == 0 { Ok(this) } else { Err(unusable(&io::Error::from_raw_os_error(rc))) }
    }

    /// Maps what a launcher made.
    pub fn join(fd: i32) -> Result<Self> {
        Self::map(fd)
    }

    /// The descriptor to hand to workers.
    pub fn fd(&self) -> i32 {
        self.fd
    }

    fn map(fd: i32) -> Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping of the whole object.
        let address = unsafe { libc::mmap(ptr::null_mut(), size_of::<Shared>(), access, libc::MAP_SHARED, fd, 0) };
        if address == libc::MAP_FAILED {
            return Err(unusable(&io::Error::last_os_error()));
        }
        Ok(Self { shared: address.cast(), fd })
    }

    /// Returns once every rank has come here.
    pub fn wait(&self) {
        // SAFETY: the launcher initialised the barrier before it started any rank.
        unsafe { libc::pthread_barrier_wait(&raw mut (*self.shared).barrier) };
    }

    /// The smallest `value` of all ranks. Each figure can be agreed on once.
    pub fn least(&self, figure: Figure, value: u64) -> u64 {
        // SAFETY: the mapping lives as long as the process, and atomics may be shared.
        let least = unsafe { &(&(*self.shared).least)[figure as usize] };
        least.fetch_min(value, Ordering::AcqRel);
        self.wait();
        least.load(Ordering::Acquire)
    }
}

fn unusable(error: &io::Error) -> Failure {
    Failure::Input(format!("cannot share memory between ranks: {error}; start workers with --workers, not with --rank"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_agree_on_the_least() {
        let fd = Rendezvous::new(2).unwrap().fd();
        let of = |value| {
            let ranks = Rendezvous::join(fd).unwrap();
            ranks.wait();
            (ranks.least(Figure::Budget, value), ranks.least(Figure::Tokens, value * 2))
        };
        let (a, b) = std::thread::scope(|scope| {
            let other = scope.spawn(move || of(7));
            (of(5), other.join().unwrap())
        });
        assert_eq!((a, b), ((5, 10), (5, 10)));
    }

    #[test]
    fn no_descriptor_is_an_error() {
        assert!(Rendezvous::join(-1).is_err());
    }
}
