//! A set of addresses as disjoint ranges: which part of a managed allocation lies on the device.

use std::collections::BTreeMap;

/// Begin to end.
#[derive(Debug, Default)]
pub struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    pub fn add(&mut self, begin: u64, end: u64) {
        self.remove(begin, end);
        if begin < end {
            self.0.insert(begin, end);
        }
    }

    pub fn remove(&mut self, begin: u64, end: u64) {
        let from = self.0.range(..begin).next_back().map_or(begin, |(start, _)| *start);
        let hit: Vec<_> = self.0.range(from..end.max(from)).map(|(start, stop)| (*start, *stop)).collect();
        for (start, stop) in hit.into_iter().filter(|(_, stop)| *stop > begin) {
            self.0.remove(&start);
            if start < begin {
                self.0.insert(start, begin);
            }
            if stop > end {
                self.0.insert(end, stop);
            }
        }
    }

    pub fn len(&self) -> u64 {
        self.0.iter().map(|(start, stop)| stop - start).sum()
    }
}
