//! What becomes of a figure.

/// Parts of a factor: it has six decimals.
const WHOLE: u128 = 1_000_000;

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
            Change::Scale(by) => u64::try_from(u128::from(real).saturating_mul(by.into()) / WHOLE).unwrap_or(u64::MAX),
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

#[cfg(test)]
mod tests {
    use super::*;

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
