//! Physical memory by handle: it goes with the last holder of the handle and the last mapping.

use super::replay::{Replay, SpanIndex};
use crate::load::events::MemoryEvent;

pub struct Physical {
    span: SpanIndex,
    holders: u32,
    mappings: u32,
}

impl Replay {
    pub(super) fn create(&mut self, event: &MemoryEvent) {
        let key = (event.process, event.ptr);
        if let Some(known) = self.handles.get(&key).copied() {
            // Imported under the number that it has here already: one more holder of the same memory.
            if event.kind == crate::load::events::MemoryKind::VmmForeign {
                self.physical[known].holders += 1;
                return;
            }
            // The number was given out again, so its last release was missed.
            self.physical[known].holders = 0;
            self.end_physical(known, event);
        }
        let span = self.begin(event, event.module, event.kind, event.size);
        self.handles.insert(key, self.physical.len());
        self.physical.push(Physical { span, holders: 1, mappings: 0 });
    }

    /// Whether the handle was known.
    pub(super) fn release(&mut self, event: &MemoryEvent) -> bool {
        let Some(at) = self.handles.get(&(event.process, event.ptr)).copied() else { return false };
        let physical = &mut self.physical[at];
        physical.holders = physical.holders.saturating_sub(1);
        if physical.holders == 0 {
            self.handles.remove(&(event.process, event.ptr));
        }
        self.end_physical(at, event);
        true
    }

    pub(super) fn retain(&mut self, event: &MemoryEvent) {
        // By the address that the program asked with: the handle itself may have been released before.
        let below = self.mappings.range((event.process, 0)..=(event.process, event.handle)).next_back();
        let holds = |begin: u64, size: u64| event.handle - begin < size;
        let mapped = below.filter(|((_, begin), (size, _))| holds(*begin, *size)).map(|(_, (_, physical))| *physical);
        let known = mapped.or_else(|| self.handles.get(&(event.process, event.ptr)).copied());
        if let Some(physical) = known {
            self.physical[physical].holders += 1;
            self.handles.insert((event.process, event.ptr), physical);
        }
    }

    pub(super) fn map(&mut self, event: &MemoryEvent) {
        let Some(physical) = self.handles.get(&(event.process, event.handle)).copied() else { return };
        self.physical[physical].mappings += 1;
        // Something is mapped there still, so its unmapping was missed.
        if let Some((_, stale)) = self.mappings.insert((event.process, event.ptr), (event.size, physical)) {
            self.unmapped(stale, event);
        }
    }

    pub(super) fn unmap(&mut self, event: &MemoryEvent) {
        let end = event.ptr.saturating_add(event.size);
        let inside = self.mappings.range((event.process, event.ptr)..(event.process, end));
        let gone: Vec<u64> = inside.map(|((_, begin), _)| *begin).collect();
        for begin in gone {
            if let Some((_, physical)) = self.mappings.remove(&(event.process, begin)) {
                self.unmapped(physical, event);
            }
        }
    }

    fn unmapped(&mut self, at: usize, event: &MemoryEvent) {
        self.physical[at].mappings = self.physical[at].mappings.saturating_sub(1);
        self.end_physical(at, event);
    }

    fn end_physical(&mut self, at: usize, event: &MemoryEvent) {
        if let Physical { span, holders: 0, mappings: 0 } = self.physical[at] {
            self.end(span, event);
        }
    }
}
