//! In which order the runs are made.

use super::spec::{Order, Spec};
use serde::Serialize;

/// One run of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// Position of the arm.
    pub arm: usize,
    /// From 1.
    pub repetition: usize,
}

/// The runs in their order: always the same for the same experiment.
pub fn plan(spec: &Spec) -> Vec<Planned> {
    let arms = spec.arms.len();
    let all = |arm: usize| (1..=spec.repetitions).map(move |repetition| Planned { arm, repetition });
    if spec.order == Order::ByArm {
        return (0..arms).flat_map(all).collect();
    }
    let mut state = spec.seed;
    let mut below = |count: usize| {
        // splitmix64, as elsewhere: any generator does, as long as it is the same everywhere.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(word ^ (word >> 31)) * count as u128) >> 64) as usize
    };
    let mut plan = Vec::new();
    for repetition in 1..=spec.repetitions {
        let mut round: Vec<usize> = (0..arms).collect();
        for at in (1..arms).rev() {
            round.swap(at, below(at + 1));
        }
        plan.extend(round.into_iter().map(|arm| Planned { arm, repetition }));
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(order: &str, seed: u64) -> Spec {
        let arms = "[[arm]]\nname='a'\n[[arm]]\nname='b'\n[[arm]]\nname='c'\n";
        toml::from_str(&format!("command=['x']\nrepetitions=20\norder='{order}'\nseed={seed}\n{arms}")).unwrap()
    }

    #[test]
    fn each_round_has_every_arm_once() {
        let plan = plan(&spec("mixed", 1));
        for (at, round) in plan.chunks(3).enumerate() {
            let mut arms: Vec<usize> = round.iter().map(|run| run.arm).collect();
            assert!(round.iter().all(|run| run.repetition == at + 1));
            arms.sort_unstable();
            assert_eq!(arms, [0, 1, 2]);
        }
        // Every arm comes first now and then.
        assert!((0..3).all(|arm| plan.chunks(3).any(|round| round[0].arm == arm)));
    }

    #[test]
    fn the_seed_decides() {
        assert_eq!(plan(&spec("mixed", 1)), plan(&spec("mixed", 1)));
        assert_ne!(plan(&spec("mixed", 1)), plan(&spec("mixed", 2)));
        let by_arm = plan(&spec("by-arm", 1));
        assert!(by_arm.is_sorted_by_key(|run| (run.arm, run.repetition)));
    }
}
