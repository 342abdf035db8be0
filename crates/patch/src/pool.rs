//! The memory of a simulated machine whose GPU shares it with the CPU, told by the simulated GPU in a small file.
//!
//! Everything that really runs here takes its memory here, and everything that the simulated GPU holds takes none, but
//! for what was written to. So the figures of the simulated machine are this machine's, moved by the same number of
//! bytes: its size less this one's, and less what is held without being here.

/// What the file says: how large the simulated machine's memory is, and how much of it is held without being here, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// MemTotal of the simulated machine.
    pub total: u64,
    /// Held by programs on the simulated GPU, less what of it is in this machine's memory.
    pub held: u64,
}

const MARK: [u8; 8] = *b"kvtpool1";

impl Pool {
    /// Bytes of the file.
    pub const SIZE: usize = 24;

    /// The file's content.
    pub fn to_bytes(self) -> [u8; Self::SIZE] {
        let mut bytes = [0u8; Self::SIZE];
        let words = MARK.into_iter().chain(self.total.to_le_bytes()).chain(self.held.to_le_bytes());
        for (to, from) in bytes.iter_mut().zip(words) {
            *to = from;
        }
        bytes
    }

    /// From the file's content; `None` if it is another file.
    pub fn from_bytes(bytes: &[u8]) -> Option<Pool> {
        let (mark, rest) = bytes.split_first_chunk::<8>()?;
        let (total, rest) = rest.split_first_chunk::<8>()?;
        let held = rest.first_chunk::<8>()?;
        (*mark == MARK).then_some(Pool { total: u64::from_le_bytes(*total), held: u64::from_le_bytes(*held) })
    }

    /// How much page cache the simulated machine has given up for what is held: what is missing below nothing free.
    pub fn given_up(self, real_free: u64, real_total: u64) -> u64 {
        u64::try_from(-self.moved(real_free, real_total).min(0)).unwrap_or(0)
    }

    fn moved(self, real: u64, real_total: u64) -> i128 {
        i128::from(real) + i128::from(self.total) - i128::from(real_total) - i128::from(self.held)
    }

    /// A figure of free memory of the simulated machine, from this machine's and its size.
    pub fn free(self, real: u64, real_total: u64) -> u64 {
        u64::try_from(self.moved(real, real_total).clamp(0, self.total.into())).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_comes_back() {
        let pool = Pool { total: 128 << 30, held: 5 };
        assert_eq!(Pool::from_bytes(&pool.to_bytes()), Some(pool));
        assert_eq!(Pool::from_bytes(b"kvtpool2 and more and more"), None);
        assert_eq!(Pool::from_bytes(&pool.to_bytes()[..23]), None);
    }

    #[test]
    fn free_moves_by_size_and_by_what_is_held() {
        let pool = Pool { total: 120, held: 50 };
        assert_eq!(pool.free(20, 24), 66);
        assert_eq!(Pool { held: 117, ..pool }.free(20, 24), 0);
        assert_eq!(Pool { total: 10, held: 0 }.free(20, 24), 6);
        assert_eq!((pool.given_up(20, 24), Pool { held: 130, ..pool }.given_up(20, 24)), (0, 14));
    }
}
