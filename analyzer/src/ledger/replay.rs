//! Memory events in time order -> spans.
//!
//! Most memory is one allocation and one free of the same address. Two kinds are not: physical memory by handle lives
//! as long as someone holds the handle or a mapping of it, and stream-ordered memory comes out of pools that hold more
//! than they have given out.

use super::{Ledger, Span};
use crate::load::Trace;
use crate::load::events::{MemoryEvent, MemoryKind, ModuleIndex, Operation, ProcessIndex};
use std::collections::{BTreeMap, HashMap};

/// The columns of the owners' frame, one row per allocation.
#[derive(Default)]
pub struct Rows {
    pub owner: Vec<u32>,
    pub size: Vec<u64>,
    pub running: Vec<u64>,
}

#[derive(Default)]
pub struct Replay {
    pub ledger: Ledger,
    /// Live bytes of each owner.
    pub owners: Vec<(ModuleIndex, MemoryKind, u64)>,
    pub rows: Rows,
    index: HashMap<(ModuleIndex, MemoryKind), u32>,
    /// What a free of an address or handle ends.
    open: HashMap<(ProcessIndex, Space, u64), usize>,
    physical: Vec<Physical>,
    handles: HashMap<(ProcessIndex, u64), usize>,
    mappings: BTreeMap<(ProcessIndex, u64), usize>,
    pools: HashMap<ProcessIndex, Pools>,
}

/// Numbers that may coincide though they name different things.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Space {
    Address,
    Array,
    Registered,
}

struct Physical {
    span: usize,
    holders: u32,
    mappings: u32,
}

/// The stream-ordered memory of one process.
#[derive(Default)]
struct Pools {
    reserved: HashMap<u64, u64>,
    used: u64,
    /// Who allocated last.
    module: ModuleIndex,
    /// The open span of what is reserved and not used.
    spare: Option<usize>,
}

impl Replay {
    pub fn all(trace: &Trace) -> Replay {
        let mut replay = Replay::default();
        for event in &trace.memory {
            replay.apply(event);
        }
        replay
    }

    fn apply(&mut self, event: &MemoryEvent) {
        match event.operation {
            Operation::Alloc => self.alloc(event),
            Operation::Free => self.free(event),
            Operation::Retain => self.retain(event),
            Operation::Map => {
                if let Some(physical) = self.handles.get(&(event.process, event.handle)) {
                    self.physical[*physical].mappings += 1;
                    self.mappings.insert((event.process, event.ptr), *physical);
                }
            }
            Operation::Unmap => self.unmap(event),
            Operation::Pool => {
                // What a device holds for graphs has no handle; there is one such pool a device.
                let pool = if event.ptr == 0 { event.handle } else { event.ptr };
                self.pools.entry(event.process).or_default().reserved.insert(pool, event.size);
                self.settle_pools(event);
            }
        }
    }

    fn alloc(&mut self, event: &MemoryEvent) {
        let span = self.begin(event, event.module, event.kind, event.size);
        if matches!(event.kind, MemoryKind::Vmm | MemoryKind::VmmHost) {
            self.handles.insert((event.process, event.ptr), self.physical.len());
            self.physical.push(Physical { span, holders: 1, mappings: 0 });
            return;
        }
        // The address was given out again, so its free was missed.
        if let Some(stale) = self.open.insert((event.process, space(event.kind), event.ptr), span) {
            self.end(stale, event);
        }
        if event.kind == MemoryKind::Async {
            let pools = self.pools.entry(event.process).or_default();
            pools.used = pools.used.saturating_add(event.size);
            pools.module = event.module;
            self.settle_pools(event);
        }
    }

    fn free(&mut self, event: &MemoryEvent) {
        if event.kind == MemoryKind::Vmm
            && let Some(at) = self.handles.get(&(event.process, event.ptr)).copied()
        {
            let physical = &mut self.physical[at];
            physical.holders = physical.holders.saturating_sub(1);
            if physical.holders == 0 {
                self.handles.remove(&(event.process, event.ptr));
            }
            self.end_physical(at, event);
            return;
        }
        match self.open.remove(&(event.process, space(event.kind), event.ptr)) {
            Some(span) => {
                let Span { kind, size, .. } = self.ledger.spans[span];
                self.end(span, event);
                if kind == MemoryKind::Async {
                    let pools = self.pools.entry(event.process).or_default();
                    pools.used = pools.used.saturating_sub(size);
                    self.settle_pools(event);
                }
            }
            None if event.ptr == 0 => {}
            None => self.ledger.unmatched_frees += 1,
        }
    }

    fn retain(&mut self, event: &MemoryEvent) {
        let known = self.handles.get(&(event.process, event.ptr)).copied();
        // By the address that the program asked with, where the driver gave out another number for the same memory.
        let mapped = || {
            let below = self.mappings.range(..=(event.process, event.handle)).next_back();
            below.filter(|((process, _), _)| *process == event.process).map(|(_, physical)| *physical)
        };
        if let Some(physical) = known.or_else(mapped) {
            self.physical[physical].holders += 1;
            self.handles.insert((event.process, event.ptr), physical);
        }
    }

    fn unmap(&mut self, event: &MemoryEvent) {
        let end = event.ptr.saturating_add(event.size);
        let gone: Vec<u64> =
            self.mappings.range((event.process, event.ptr)..(event.process, end)).map(|((_, at), _)| *at).collect();
        for address in gone {
            if let Some(at) = self.mappings.remove(&(event.process, address)) {
                self.physical[at].mappings = self.physical[at].mappings.saturating_sub(1);
                self.end_physical(at, event);
            }
        }
    }

    fn end_physical(&mut self, at: usize, event: &MemoryEvent) {
        let Physical { span, holders: 0, mappings: 0 } = self.physical[at] else { return };
        self.end(span, event);
    }

    /// Keeps a span for what the driver holds for a process beyond what that has allocated.
    fn settle_pools(&mut self, event: &MemoryEvent) {
        let Some(pools) = self.pools.get(&event.process) else { return };
        let reserved = pools.reserved.values().fold(0u64, |sum, bytes| sum.saturating_add(*bytes));
        let spare = reserved.saturating_sub(pools.used);
        let (open, module) = (pools.spare, pools.module);
        if open.map_or(0, |span| self.ledger.spans[span].size) == spare {
            return;
        }
        if let Some(span) = open {
            self.end(span, event);
        }
        let next = (spare > 0).then(|| self.begin(event, module, MemoryKind::Reserve, spare));
        if let Some(pools) = self.pools.get_mut(&event.process) {
            pools.spare = next;
        }
    }

    fn begin(&mut self, event: &MemoryEvent, module: ModuleIndex, kind: MemoryKind, size: u64) -> usize {
        let owner = *self.index.entry((module, kind)).or_insert_with(|| {
            self.owners.push((module, kind, 0));
            (self.owners.len() - 1) as u32
        });
        let running = &mut self.owners[owner as usize].2;
        *running = running.saturating_add(size);
        self.rows.owner.push(owner);
        self.rows.size.push(size);
        self.rows.running.push(*running);
        if kind.on_device() {
            self.ledger.device_live = self.ledger.device_live.saturating_add(size);
            self.ledger.device_peak = self.ledger.device_peak.max(self.ledger.device_live);
        }
        let (process, begin, n) = (event.process, event.at, event.n);
        self.ledger.spans.push(Span { process, module, kind, size, begin, n, end: None });
        self.ledger.spans.len() - 1
    }

    fn end(&mut self, span: usize, event: &MemoryEvent) {
        let span = &mut self.ledger.spans[span];
        span.end = Some((event.at, event.n));
        let owner = self.index[&(span.module, span.kind)];
        let running = &mut self.owners[owner as usize].2;
        *running = running.saturating_sub(span.size);
        if span.kind.on_device() {
            self.ledger.device_live = self.ledger.device_live.saturating_sub(span.size);
        }
    }
}

fn space(kind: MemoryKind) -> Space {
    match kind {
        MemoryKind::Array => Space::Array,
        MemoryKind::Registered => Space::Registered,
        _ => Space::Address,
    }
}
