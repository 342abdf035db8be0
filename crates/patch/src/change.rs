//! What becomes of a figure.

/// Parts of a factor: it has six decimals.
const WHOLE: u64 = 1_000_000;

/// What becomes of a figure. Sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// `80GiB`: this.
    Set(u64),
    /// `+20GiB`: more.
    Add(u64),
    /// `-5GiB`: less, down to 0.
    Subtract(u64),
    /// `x1.25`: so many millionths of it.
    Scale(u64),
    /// `available`: the kernel's MemAvailable.
    Available,
    /// `available-nvidia`: by NVIDIA's guidance for GPUs that share the CPU's memory: where pages of hugetlbfs are set
    /// up, the free ones of them alone; else MemAvailable and the free swap.
    AvailableNvidia,
    /// `max`: no limit.
    Unlimited,
}

/// What the kernel says that a program could have, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Available {
    /// MemAvailable.
    pub memory: u64,
    /// SwapFree.
    pub swap: u64,
    /// Pages of hugetlbfs that are set up, and free: `None` if there are none set up.
    pub huge: Option<u64>,
}

impl Change {
    /// What a figure that is really `real` becomes. `None` where it needs to know what is available and `available` does
    /// not say, or where "no limit" is no answer.
    pub fn apply(self, real: u64, available: Option<Available>) -> Option<u64> {
        Some(match self {
            Change::Set(value) => value,
            Change::Add(more) => real.saturating_add(more),
            Change::Subtract(less) => real.saturating_sub(less),
            Change::Scale(by) => scaled(real, by),
            Change::Available => available?.memory,
            Change::AvailableNvidia => {
                let available = available?;
                available.huge.unwrap_or(available.memory.saturating_add(available.swap))
            }
            Change::Unlimited => return None,
        })
    }

    /// Whether it needs to know what is available.
    pub fn asks_kernel(self) -> bool {
        matches!(self, Change::Available | Change::AvailableNvidia)
    }
}

/// `real` times `by` millionths, rounded down; at most `u64::MAX`.
///
/// In parts that fit 64 bits: a division of 128 bits is a call into compiler_builtins, which on Arm brings a need for
/// Rust's unwinder, and that the preload does not have.
fn scaled(real: u64, by: u64) -> u64 {
    let (millions, rest) = (real / WHOLE, real % WHOLE);
    let (times, millionths) = (by / WHOLE, by % WHOLE);
    let below_one = (millions * millionths).saturating_add(rest * millionths / WHOLE);
    real.saturating_mul(times).saturating_add(below_one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Protects: the parts are the whole.
        #[test]
        fn a_factor_is_exact(real: u64, by: u64, narrow in 0u32..64) {
            let by = by >> narrow;
            let exact = u128::from(real) * u128::from(by) / u128::from(WHOLE);
            prop_assert_eq!(scaled(real, by), u64::try_from(exact).unwrap_or(u64::MAX));
        }
    }

    #[test]
    fn figures_change() {
        let of = |change: Change| change.apply(1000, None);
        assert_eq!(
            (of(Change::Set(7)), of(Change::Add(1)), of(Change::Subtract(400))),
            (Some(7), Some(1001), Some(600))
        );
        assert_eq!((of(Change::Scale(1_250_000)), of(Change::Scale(1))), (Some(1250), Some(0)));
        assert_eq!((of(Change::Subtract(1001)), Change::Add(u64::MAX).apply(5, None)), (Some(0), Some(u64::MAX)));
        assert_eq!((of(Change::Available), of(Change::Unlimited)), (None, None));
    }

    #[test]
    fn huge_pages_stand_in_for_all_memory() {
        let plain = Available { memory: 60, swap: 5, huge: None };
        assert_eq!(Change::Available.apply(1, Some(plain)), Some(60));
        assert_eq!(Change::AvailableNvidia.apply(1, Some(plain)), Some(65));
        let huge = Available { huge: Some(2), ..plain };
        assert_eq!(Change::Available.apply(1, Some(huge)), Some(60));
        assert_eq!(Change::AvailableNvidia.apply(1, Some(huge)), Some(2));
    }
}
