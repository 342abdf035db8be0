//! Tests of an order of runs, and intervals by drawing runs again. All deterministic.

use statrs::distribution::{ContinuousCDF, Normal};

/// Fewer runs show no trend that chance could not.
pub const LEAST_RUNS: usize = 8;
/// What happens by chance this rarely stands out.
pub const SIGNIFICANT: f64 = 0.05;
/// How often runs are drawn again for an interval.
const DRAWS: usize = 2000;

/// How a figure moves from run to run.
#[derive(Debug, Clone, Copy)]
pub struct Trend {
    /// The median of all slopes (Theil and Sen).
    pub per_run: f64,
    /// Two-sided, by Mann and Kendall, ties counted.
    pub p: f64,
}

/// `None` for fewer than [`LEAST_RUNS`].
pub fn trend(values: &[f64]) -> Option<Trend> {
    let n = values.len();
    if n < LEAST_RUNS {
        return None;
    }
    let mut slopes = Vec::with_capacity(n * (n - 1) / 2);
    let mut score = 0.0;
    for (i, first) in values.iter().enumerate() {
        for (j, second) in values.iter().enumerate().skip(i + 1) {
            score += sign(second - first);
            slopes.push((second - first) / (j - i) as f64);
        }
    }
    let count = n as f64;
    let tied: f64 = ties(values).map(|t| t * (t - 1.0) * (2.0 * t + 5.0)).sum();
    let variance = (count * (count - 1.0) * (2.0 * count + 5.0) - tied) / 18.0;
    let z = (score.abs() - 1.0).max(0.0) / variance.sqrt().max(f64::MIN_POSITIVE);
    Some(Trend { per_run: median(&slopes), p: 2.0 * (1.0 - Normal::standard().cdf(z)) })
}

/// One change of level.
#[derive(Debug, Clone, Copy)]
pub struct Jump {
    /// Runs before it.
    pub after: usize,
    /// Median behind less median before.
    pub by: f64,
    /// By Pettitt.
    pub p: f64,
}

/// `None` for fewer than [`LEAST_RUNS`].
pub fn jump(values: &[f64]) -> Option<Jump> {
    let n = values.len();
    let score = |at: usize| -> f64 {
        let (before, after) = values.split_at(at);
        before.iter().map(|a| after.iter().map(|b| sign(b - a)).sum::<f64>()).sum()
    };
    let after = (1..n).max_by(|a, b| score(*a).abs().total_cmp(&score(*b).abs())).filter(|_| n >= LEAST_RUNS)?;
    let count = n as f64;
    let p = (2.0 * (-6.0 * score(after).powi(2) / (count.powi(3) + count.powi(2))).exp()).min(1.0);
    let (left, right) = values.split_at(after);
    Some(Jump { after, by: median(right) - median(left), p })
}

/// The middle value, the upper one of two; 0 for none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

/// Draws of runs with replacement from two sides: for each draw, how often each run of A and of B is in it.
pub fn draws(a: usize, b: usize) -> Vec<(Vec<u32>, Vec<u32>)> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut draw = |count: usize| {
        let mut times = vec![0u32; count];
        for _ in 0..count {
            // splitmix64: any generator does, as long as it is the same everywhere.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let at = (u128::from(word ^ (word >> 31)) * count as u128) >> 64;
            times[at as usize] += 1;
        }
        times
    };
    (0..DRAWS).map(|_| (draw(a), draw(b))).collect()
}

/// The middle 95 % of the values.
pub fn middle(mut values: Vec<f64>) -> Option<[f64; 2]> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let at = |share: f64| values.get((share * last as f64).round() as usize).copied();
    Some([at(0.025)?, at(0.975)?])
}

/// `p = 0.034`
pub fn shown(p: f64) -> String {
    if p < 0.001 { "p < 0.001".into() } else { format!("p = {p:.3}") }
}

fn sign(by: f64) -> f64 {
    if by == 0.0 { 0.0 } else { by.signum() }
}

fn ties(values: &[f64]) -> impl Iterator<Item = f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let lengths: Vec<f64> = sorted.chunk_by(|a, b| a == b).map(|group| group.len() as f64).collect();
    lengths.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOISE: [f64; 10] = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0, 5.0, 3.0];

    #[test]
    fn a_trend_and_none() {
        let falling: Vec<f64> = (0..10).map(|n| 100.0 - 2.0 * f64::from(n)).collect();
        let found = trend(&falling).unwrap();
        assert!(found.p < 0.001 && found.per_run == -2.0, "{found:?}");
        assert!(trend(&NOISE).unwrap().p > SIGNIFICANT);
        assert!(trend(&falling[..7]).is_none());
        assert!(trend(&[1.0; 12]).unwrap().p > 0.9);
    }

    #[test]
    fn a_jump_is_found_where_it_is() {
        let values = [10.0, 10.1, 9.9, 10.0, 10.2, 9.8, 14.0, 14.1, 13.9, 14.2, 14.0, 14.1];
        let found = jump(&values).unwrap();
        assert!(found.after == 6 && found.p < SIGNIFICANT && (found.by - 4.1).abs() < 0.2, "{found:?}");
        assert!(jump(&NOISE).unwrap().p > SIGNIFICANT);
    }

    #[test]
    fn draws_are_of_the_runs_there_are() {
        let draws = draws(3, 5);
        assert!(draws.iter().all(|(a, b)| a.iter().sum::<u32>() == 3 && b.iter().sum::<u32>() == 5));
        let first: u32 = draws.iter().map(|(a, _)| a[0]).sum();
        assert!((1800..2200).contains(&first), "{first}");
        assert_eq!(middle((0..=1000).map(f64::from).collect()), Some([25.0, 975.0]));
        assert_eq!(middle(Vec::new()), None);
    }
}
