//! The budget of the PyTorch backend without torch's counters.
//!
//! In the runtime's own terms the budget is `f (T - peak + M1)` with
//! `peak = torch peak + max((T - F_B) - torch allocated, 0)`. Wherever the second operand is above zero, which a CUDA
//! context alone ensures, torch's counters fall out: `f (F_B + M1 - transient)`.

use crate::float::{share, share_bytes};

/// What the budget is made of. All sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// Free memory that query B answered.
    pub free_after_profile: u64,
    /// The temporary pool, allocated at query B.
    pub temporary_pool: u64,
    /// How far the dummy forward rose above what stays allocated. Negative only where a witness is wrong.
    pub transient: i64,
    /// `free_gpu_memory_fraction`, 0 to 1. The runtime passes it through a 32-bit float.
    pub fraction: f64,
}

impl Budget {
    /// What the fraction is taken of: `F_B + M1 - transient`.
    pub fn base(&self) -> i128 {
        i128::from(self.free_after_profile) + i128::from(self.temporary_pool) - i128::from(self.transient)
    }

    /// Bytes that the KV cache may have, 0 if nothing is left.
    pub fn bytes(&self) -> u64 {
        share(self.fraction, self.base()).try_into().unwrap_or(0)
    }

    /// The peak that the runtime logs, for a device of `total` bytes.
    pub fn peak(&self, total: u64) -> i64 {
        clamp(i128::from(total) - i128::from(self.free_after_profile) + i128::from(self.transient))
    }
}

/// The budget in the runtime's own terms: `f (total - peak + temporary_pool)`, 0 if nothing is left.
pub fn budget_from_peak(total: u64, peak: u64, temporary_pool: u64, fraction: f64) -> u64 {
    share_bytes(fraction, i128::from(total) - i128::from(peak) + i128::from(temporary_pool))
}

/// The transient that makes the rule give `budget` bytes; `None` unless `fraction` is above 0 and at most 1.
pub fn solve_transient(budget: u64, free_after_profile: u64, temporary_pool: u64, fraction: f64) -> Option<i64> {
    let usable = fraction > 0.0 && fraction <= 1.0;
    let base = (budget as f64 / fraction).round().min(2f64.powi(100)) as i128;
    usable.then(|| clamp(i128::from(free_after_profile) + i128::from(temporary_pool) - base))
}

/// The transient behind a logged peak.
pub fn transient_from_peak(peak: u64, total: u64, free_after_profile: u64) -> i64 {
    clamp(i128::from(peak) - i128::from(total) + i128::from(free_after_profile))
}

fn clamp(value: i128) -> i64 {
    value.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GIB;

    fn gib(value: f64) -> u64 {
        (value * GIB as f64).round() as u64
    }

    #[test]
    fn both_forms_agree_and_solve_back() {
        let total = gib(119.7);
        let given =
            Budget { free_after_profile: gib(48.0), temporary_pool: gib(0.25), transient: 900 << 20, fraction: 0.9 };
        let peak = given.peak(total);
        assert_eq!(given.bytes(), budget_from_peak(total, peak as u64, given.temporary_pool, 0.9));
        let solved = solve_transient(given.bytes(), given.free_after_profile, given.temporary_pool, 0.9).unwrap();
        assert!((solved - given.transient).abs() <= 1, "{solved}");
        assert_eq!(transient_from_peak(peak as u64, total, given.free_after_profile), given.transient);
        assert_eq!(solve_transient(1, 1, 1, 0.0), None);
        assert_eq!(solve_transient(u64::MAX, 0, 0, f64::MIN_POSITIVE), Some(i64::MIN));
    }

    #[test]
    fn nothing_left_is_no_budget() {
        let none = Budget { free_after_profile: 0, temporary_pool: 0, transient: 5, fraction: 0.9 };
        assert_eq!(none.bytes(), 0);
        assert_eq!(budget_from_peak(5, 9, 0, 0.9), 0);
    }
}
