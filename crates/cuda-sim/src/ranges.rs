//! Sets of addresses, kept as ranges that neither touch nor overlap.

use std::collections::BTreeMap;

/// A set of addresses.
#[derive(Debug, Default, Clone)]
pub(crate) struct Ranges {
    /// Begin to end.
    ranges: BTreeMap<u64, u64>,
}

impl Ranges {
    /// Adds `begin..end`. Returns how many addresses are new.
    pub fn add(&mut self, begin: u64, end: u64) -> u64 {
        let before = self.remove(begin, end);
        let left = self.ranges.range(..=begin).next_back().filter(|(_, stop)| **stop == begin).map(|(start, _)| *start);
        let stop = self.ranges.remove(&end).unwrap_or(end);
        self.ranges.insert(left.unwrap_or(begin), stop);
        end - begin - before
    }

    /// Removes `begin..end`. Returns how many addresses of it were there.
    pub fn remove(&mut self, begin: u64, end: u64) -> u64 {
        let mut removed = 0;
        while let Some((start, stop)) = self.last_before(end).filter(|(_, stop)| *stop > begin) {
            self.ranges.remove(&start);
            if stop > end {
                self.ranges.insert(end, stop);
            }
            if start < begin {
                self.ranges.insert(start, begin);
            }
            removed += stop.min(end) - start.max(begin);
        }
        removed
    }

    /// How many addresses of `begin..end` are in the set.
    pub fn within(&self, begin: u64, end: u64) -> u64 {
        let from = self.last_before(begin).map_or(begin, |(start, _)| start);
        let overlaps = self.ranges.range(from..end);
        overlaps.map(|(start, stop)| (*stop).min(end).saturating_sub((*start).max(begin))).sum()
    }

    /// How many addresses are in the set.
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|(start, stop)| stop - start).sum()
    }

    fn last_before(&self, end: u64) -> Option<(u64, u64)> {
        self.ranges.range(..end).next_back().map(|(start, stop)| (*start, *stop))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn behaves_as_a_set(steps in prop::collection::vec((any::<bool>(), 0u64..60, 1u64..30), 0..40), ask in 0u64..60) {
            let (mut ranges, mut model) = (Ranges::default(), std::collections::BTreeSet::new());
            for (adds, begin, size) in steps {
                let wanted = begin..begin + size;
                if adds {
                    let new = wanted.filter(|address| model.insert(*address)).count() as u64;
                    prop_assert_eq!(ranges.add(begin, begin + size), new);
                } else {
                    let gone = wanted.filter(|address| model.remove(address)).count() as u64;
                    prop_assert_eq!(ranges.remove(begin, begin + size), gone);
                }
                prop_assert_eq!(ranges.len(), model.len() as u64);
                prop_assert_eq!(ranges.within(ask, ask + 20), model.range(ask..ask + 20).count() as u64);
                let kept: Vec<_> = ranges.ranges.iter().collect();
                prop_assert!(kept.windows(2).all(|pair| pair[0].1 < pair[1].0), "{kept:?}");
            }
        }
    }
}
