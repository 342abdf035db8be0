//! Where ranks meet: a small file that every rank of a communicator maps, gone from the file system once all are there.
//!
//! Ranks of one process meet there too. Nothing waits but the meeting itself: a collective operation is compared with
//! what the rank that came first wrote down, and whoever comes first goes on.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::ffi::CString;
use std::time::{Duration, Instant};

/// Ranks of one communicator, at most.
pub const MOST: usize = 256;
/// Operations that are remembered; a rank that is further behind is not compared.
const REMEMBERED: usize = 1024;
/// How long a rank waits for the others. The real library waits for ever.
const PATIENCE: Duration = Duration::from_secs(600);

/// The file. Zeros are a meeting to which nobody has come.
#[derive(Debug)]
#[repr(C)]
struct Board {
    ranks: AtomicU32,
    broken: AtomicU32,
    /// What each rank brought, plus 1.
    brought: [AtomicU64; MOST],
    /// Number of an operation in the upper half, what it was in the lower.
    operations: [AtomicU64; REMEMBERED],
}

/// Why ranks do not come together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The file cannot be used.
    System,
    /// Another rank says that there are more or fewer ranks, or there are too many.
    Ranks,
    /// Another rank came under the same number.
    Twice,
    /// Not all came in time.
    Alone,
    /// The ranks do different things.
    Disagreement,
}

/// One rank's view. The mapping stays until the process ends: communicators are few.
#[derive(Debug, Clone, Copy)]
pub struct Meeting {
    board: &'static Board,
    ranks: usize,
    id: u64,
}

fn path(id: u64) -> Option<CString> {
    // SAFETY: always succeeds and touches no memory.
    let user = unsafe { libc::geteuid() };
    CString::new(format!("/dev/shm/kvtrace-sim-nccl-{user}-{id:016x}")).ok()
}

fn map(id: u64) -> Option<&'static Board> {
    let name = path(id)?;
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_CLOEXEC | libc::O_NOFOLLOW;
    let length = size_of::<Board>();
    // SAFETY: system calls on a path of ours and on the descriptor that it gives, past a preloaded library. The mapping
    // is page-aligned and as long as a board, which is made of atomics only.
    unsafe {
        let fd = libc::syscall(libc::SYS_openat, libc::AT_FDCWD, name.as_ptr(), flags, 0o600) as i32;
        if fd < 0 {
            return None;
        }
        let sized = libc::ftruncate(fd, length as libc::off_t) == 0;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let start = libc::mmap(core::ptr::null_mut(), length, protection, libc::MAP_SHARED, fd, 0);
        libc::syscall(libc::SYS_close, fd);
        (sized && start != libc::MAP_FAILED).then(|| &*start.cast::<Board>())
    }
}

impl Meeting {
    /// Comes to the meeting `id` as one of `ranks`, with a number below 2^63 to show. Waits for nobody.
    pub fn come(id: u64, ranks: usize, rank: usize, brings: u64) -> Result<Self, Trouble> {
        if ranks == 0 || ranks > MOST || rank >= ranks {
            return Err(Trouble::Ranks);
        }
        let board = map(id).ok_or(Trouble::System)?;
        let said = board.ranks.compare_exchange(0, ranks as u32, Ordering::AcqRel, Ordering::Acquire);
        if said.is_err_and(|said| said != ranks as u32) {
            return Err(Trouble::Ranks);
        }
        let place = &board.brought[rank];
        if place.compare_exchange(0, brings + 1, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return Err(Trouble::Twice);
        }
        let meeting = Self { board, ranks, id };
        if meeting.all_here()
            && let Some(name) = path(id)
        {
            // SAFETY: a path of ours. Every rank has mapped the file before it wrote its number.
            unsafe { libc::unlink(name.as_ptr()) };
        }
        Ok(meeting)
    }

    fn all_here(&self) -> bool {
        self.board.brought[..self.ranks].iter().all(|place| place.load(Ordering::Acquire) != 0)
    }

    /// Waits until all are there, and returns what each brought.
    pub fn wait(&self) -> Result<Vec<u64>, Trouble> {
        let since = Instant::now();
        while !self.all_here() {
            if since.elapsed() > PATIENCE {
                return Err(Trouble::Alone);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(self.board.brought[..self.ranks].iter().map(|place| place.load(Ordering::Acquire) - 1).collect())
    }

    /// Compares what this rank does as its operation `number` with what the others do.
    pub fn agree(&self, number: u32, what: u32) -> Result<(), Trouble> {
        let place = &self.board.operations[number as usize % REMEMBERED];
        // Counted from 1: an empty place is nobody's.
        let mine = u64::from(number.wrapping_add(1)) << 32 | u64::from(what);
        loop {
            let seen = place.load(Ordering::Acquire);
            let later = (seen >> 32) as u32;
            if seen != 0 && later == number.wrapping_add(1) {
                return if seen == mine { Ok(()) } else { Err(self.break_up()) };
            }
            // Others are a whole round ahead: what they did here is forgotten.
            if seen != 0 && later.wrapping_sub(number.wrapping_add(1)) < 1 << 31 {
                return Ok(());
            }
            if place.compare_exchange(seen, mine, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return Ok(());
            }
        }
    }

    fn break_up(&self) -> Trouble {
        self.board.broken.store(1, Ordering::Release);
        Trouble::Disagreement
    }

    /// Whether ranks have disagreed.
    pub fn is_broken(&self) -> bool {
        self.board.broken.load(Ordering::Acquire) != 0
    }

    /// The number of another meeting of these ranks, or of some of them.
    pub fn next(&self, count: u64, part: u64) -> u64 {
        mix(mix(self.id, count + 1), part + 1)
    }
}

/// A number out of two, as good as random.
pub fn mix(a: u64, b: u64) -> u64 {
    let mut x = a ^ b.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> u64 {
        mix(std::process::id().into(), std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64)
    }

    #[test]
    fn ranks_meet_and_show_what_they_brought() {
        let id = mix(id(), 1);
        let other = std::thread::spawn(move || Meeting::come(id, 2, 1, 70).unwrap().wait().unwrap());
        assert_eq!(Meeting::come(id, 2, 0, 60).unwrap().wait(), Ok(vec![60, 70]));
        assert_eq!(other.join().unwrap(), [60, 70]);
        assert!(!std::path::Path::new(path(id).unwrap().to_str().unwrap()).exists());
    }

    #[test]
    fn who_counts_otherwise_or_comes_twice_is_refused() {
        let id = mix(id(), 2);
        Meeting::come(id, 3, 0, 0).unwrap();
        assert_eq!(Meeting::come(id, 2, 1, 0).unwrap_err(), Trouble::Ranks);
        assert_eq!(Meeting::come(id, 3, 0, 0).unwrap_err(), Trouble::Twice);
        Meeting::come(id, 3, 1, 0).unwrap();
        Meeting::come(id, 3, 2, 0).unwrap();
    }

    #[test]
    fn operations_are_compared_by_number() {
        let id = mix(id(), 3);
        let a = Meeting::come(id, 2, 0, 0).unwrap();
        let b = Meeting::come(id, 2, 1, 0).unwrap();
        for number in 0..3 * REMEMBERED as u32 {
            assert_eq!(a.agree(number, number ^ 5), Ok(()));
        }
        assert_eq!(b.agree(0, 77), Ok(()), "forgotten");
        let last = 3 * REMEMBERED as u32 - 1;
        assert_eq!(b.agree(last, last ^ 5), Ok(()));
        assert!(!a.is_broken());
        assert_eq!(b.agree(last - 1, 77), Err(Trouble::Disagreement));
        assert!(a.is_broken());
    }
}
