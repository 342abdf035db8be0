//! Managed memory: where its pages are is the driver's and the kernel's affair. What the program asked to move to the
//! device counts as there until it is moved back or freed; pages that move because they are touched are seen by nobody.

use super::ranges::Ranges;
use super::replay::{Level, Replay};
use crate::load::events::{MemoryEvent, MemoryKind, ModuleIndex};

/// One managed allocation.
pub struct Managed {
    end: u64,
    module: ModuleIndex,
    on_device: Ranges,
    level: Level,
}

impl Managed {
    pub fn new(event: &MemoryEvent) -> Managed {
        let end = event.ptr.saturating_add(event.size);
        Managed { end, module: event.module, on_device: Ranges::default(), level: Level::default() }
    }
}

impl Replay {
    pub(super) fn prefetch(&mut self, event: &MemoryEvent) {
        let below = self.managed.range((event.process, 0)..=(event.process, event.ptr)).next_back();
        let Some(key) = below.filter(|(_, managed)| event.ptr < managed.end).map(|(key, _)| *key) else { return };
        let Some(mut managed) = self.managed.remove(&key) else { return };
        let end = event.ptr.saturating_add(event.size).min(managed.end);
        match event.handle as i32 {
            ..0 => managed.on_device.remove(event.ptr, end),
            _ => managed.on_device.add(event.ptr, end),
        }
        let (module, size) = (managed.module, managed.on_device.len());
        self.set_level(&mut managed.level, module, MemoryKind::Prefetched, size, event);
        self.managed.insert(key, managed);
    }

    pub(super) fn end_managed(&mut self, address: u64, event: &MemoryEvent) {
        if let Some(mut managed) = self.managed.remove(&(event.process, address)) {
            let module = managed.module;
            self.set_level(&mut managed.level, module, MemoryKind::Prefetched, 0, event);
        }
    }
}
