//! Pools: what a driver takes for stream-ordered memory and for graphs, beside what is allocated of it.
//!
//! A pool holds what the driver says that it holds, or what is allocated of it where that is more or nothing was said: of
//! a destroyed pool, of one beyond those that the preload watches, or between an allocation and the driver's word.

use super::replay::{Level, Replay};
use crate::load::events::{MemoryEvent, MemoryKind, ModuleIndex};

pub type BucketIndex = usize;

/// One pool from its first mention to its end, and beyond that for as long as something of it lives.
#[derive(Default)]
pub struct Bucket {
    reserved: u64,
    used: u64,
    /// Who allocated last: what is held in advance is held for them.
    module: ModuleIndex,
    spare: Level,
}

impl Replay {
    fn bucket(&mut self, event: &MemoryEvent, pool: u64) -> BucketIndex {
        *self.pools.entry((event.process, pool)).or_insert_with(|| {
            self.buckets.push(Bucket::default());
            self.buckets.len() - 1
        })
    }

    /// Something is allocated. Returns the pool that it came from.
    pub(super) fn take(&mut self, event: &MemoryEvent) -> BucketIndex {
        let bucket = self.bucket(event, event.handle);
        self.buckets[bucket].module = event.module;
        self.buckets[bucket].used = self.buckets[bucket].used.saturating_add(event.size);
        self.settle(bucket, event);
        bucket
    }

    pub(super) fn give_back(&mut self, bucket: BucketIndex, size: u64, event: &MemoryEvent) {
        self.buckets[bucket].used = self.buckets[bucket].used.saturating_sub(size);
        self.settle(bucket, event);
    }

    pub(super) fn pool(&mut self, event: &MemoryEvent) {
        if event.ptr == 0 {
            // What a device holds for graphs has no handle, and shows nothing of what is allocated of it.
            let key = (event.process, event.handle);
            let mut level = self.graphs.remove(&key).unwrap_or_default();
            self.set_level(&mut level, 0, MemoryKind::Graph, event.size, event);
            self.graphs.insert(key, level);
            return;
        }
        let bucket = self.bucket(event, event.ptr);
        self.buckets[bucket].reserved = event.size;
        self.settle(bucket, event);
    }

    /// The pool has no handle from here on; its allocations keep their bucket.
    pub(super) fn pool_gone(&mut self, event: &MemoryEvent) {
        if let Some(bucket) = self.pools.remove(&(event.process, event.ptr)) {
            self.buckets[bucket].reserved = 0;
            self.settle(bucket, event);
        }
    }

    fn settle(&mut self, bucket: BucketIndex, event: &MemoryEvent) {
        let Bucket { reserved, used, module, .. } = self.buckets[bucket];
        let mut spare = std::mem::take(&mut self.buckets[bucket].spare);
        self.set_level(&mut spare, module, MemoryKind::Reserve, reserved.saturating_sub(used), event);
        self.buckets[bucket].spare = spare;
    }
}
