//! What is held at one instant, kept up to date through the replay.

use crate::load::events::{MemoryKind, ProcessIndex};
use std::collections::BTreeMap;

/// Bytes of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ByKind([u64; MemoryKind::COUNT]);

impl ByKind {
    pub fn of(&self, kind: MemoryKind) -> u64 {
        self.0[kind as usize]
    }

    /// The kinds of which there is something, by name.
    pub fn named(&self) -> BTreeMap<&'static str, u64> {
        MemoryKind::all().map(|kind| (kind.name(), self.of(kind))).filter(|(_, bytes)| *bytes > 0).collect()
    }
}

/// The bytes of the kinds that are on the device.
pub fn on_device(held: &ByKind) -> u64 {
    MemoryKind::all().filter(|kind| kind.on_device()).fold(0, |sum, kind| sum.saturating_add(held.of(kind)))
}

/// What was held when a query was answered.
#[derive(Debug, Clone, Copy, Default)]
pub struct Held {
    /// By the process that asked.
    pub own: ByKind,
    /// On the device, by all processes of the trace.
    pub device: u64,
}

/// One process's part.
#[derive(Debug, Clone, Copy, Default)]
pub struct Part {
    now: ByKind,
    device: u64,
    pub device_peak: u64,
    /// As `now`, but of an ended process what it held last.
    pub at_end: ByKind,
}

#[derive(Debug, Default)]
pub struct Instant {
    pub by_process: Vec<Part>,
    /// On the device, all processes.
    pub device: u64,
}

impl Instant {
    pub fn of(processes: usize) -> Instant {
        Instant { by_process: vec![Part::default(); processes], device: 0 }
    }

    pub fn seen_by(&self, process: ProcessIndex) -> Held {
        let own = self.by_process.get(process as usize).map(|part| part.now).unwrap_or_default();
        Held { own, device: self.device }
    }

    pub fn add(&mut self, process: ProcessIndex, kind: MemoryKind, size: u64) {
        let Some(part) = self.by_process.get_mut(process as usize) else { return };
        for held in [&mut part.now, &mut part.at_end] {
            held.0[kind as usize] = held.0[kind as usize].saturating_add(size);
        }
        if kind.on_device() {
            self.device = self.device.saturating_add(size);
            part.device = part.device.saturating_add(size);
            part.device_peak = part.device_peak.max(part.device);
        }
    }

    pub fn remove(&mut self, process: ProcessIndex, kind: MemoryKind, size: u64) {
        let Some(part) = self.by_process.get_mut(process as usize) else { return };
        for held in [&mut part.now, &mut part.at_end] {
            held.0[kind as usize] = held.0[kind as usize].saturating_sub(size);
        }
        if kind.on_device() {
            self.device = self.device.saturating_sub(size);
            part.device = part.device.saturating_sub(size);
        }
    }

    /// The process holds nothing any more.
    pub fn end(&mut self, process: ProcessIndex) {
        if let Some(part) = self.by_process.get_mut(process as usize) {
            self.device = self.device.saturating_sub(part.device);
            part.now = ByKind::default();
            part.device = 0;
        }
    }
}
