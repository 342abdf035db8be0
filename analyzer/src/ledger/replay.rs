//! Memory events in time order -> spans.
//!
//! Most memory is one allocation and one free of the same address. The rest is in files of its own: physical memory by
//! handle lives as long as someone holds the handle or a mapping of it, pools hold more than they have given out, and
//! managed memory moves. Those that rise and fall without allocations of their own are levels.

use super::managed::Managed;
use super::physical::Physical;
use super::pools::{Bucket, BucketIndex};
use super::{Instant, Ledger, Span};
use crate::load::Trace;
use crate::load::events::{MemoryEvent, MemoryKind, ModuleIndex, Operation, ProcessIndex};
use std::collections::{BTreeMap, HashMap, HashSet};

pub type SpanIndex = usize;

/// The columns of the owners' frame, one row per allocation or rise of a level.
#[derive(Default)]
pub struct Rows {
    pub owner: Vec<u32>,
    pub size: Vec<u64>,
    pub running: Vec<u64>,
}

/// What is held of one module and kind.
pub struct Holder {
    pub module: ModuleIndex,
    pub kind: MemoryKind,
    /// At this instant, by processes that live.
    pub now: u64,
    /// The same, with what ended processes held at their end.
    pub at_end: u64,
}

#[derive(Default)]
pub struct Replay {
    pub ledger: Ledger,
    pub holders: Vec<Holder>,
    pub rows: Rows,
    index: HashMap<(ModuleIndex, MemoryKind), u32>,
    /// What is held at this instant, and by whom.
    now: Instant,
    open: HashMap<(ProcessIndex, Space, u64), Open>,
    /// Addresses of graph nodes, whose memory is counted by what the device holds for graphs.
    nodes: HashSet<(ProcessIndex, u64)>,
    pub(super) physical: Vec<Physical>,
    pub(super) handles: HashMap<(ProcessIndex, u64), usize>,
    /// Begin of a mapping -> its length and the physical allocation.
    pub(super) mappings: BTreeMap<(ProcessIndex, u64), (u64, usize)>,
    pub(super) pools: HashMap<(ProcessIndex, u64), BucketIndex>,
    pub(super) buckets: Vec<Bucket>,
    pub(super) graphs: HashMap<(ProcessIndex, u64), Level>,
    pub(super) managed: BTreeMap<(ProcessIndex, u64), Managed>,
}

/// What a free ends.
struct Open {
    span: SpanIndex,
    /// How many frees it takes: a window onto another process's memory is opened several times under one address.
    openings: u32,
    bucket: Option<BucketIndex>,
}

/// Numbers that may coincide though they name different things.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Space {
    Address,
    Array,
    Registered,
    Foreign,
}

fn space(kind: MemoryKind) -> Space {
    match kind {
        MemoryKind::Array => Space::Array,
        MemoryKind::Registered => Space::Registered,
        MemoryKind::Foreign => Space::Foreign,
        _ => Space::Address,
    }
}

/// Bytes that rise and fall: the spans that they are made of, the latest last.
#[derive(Default)]
pub struct Level {
    spans: Vec<SpanIndex>,
    size: u64,
}

impl Replay {
    /// Replays all of a trace, and notes what is held at each query.
    pub fn all(trace: &Trace) -> Replay {
        let mut replay = Replay { now: Instant::of(trace.processes.len()), ..Replay::default() };
        let mut queries: Vec<usize> = (0..trace.queries.len()).collect();
        queries.sort_by_key(|at| trace.queries[*at].end);
        replay.ledger.at_queries = vec![Default::default(); trace.queries.len()];
        let mut events = trace.memory.iter().peekable();
        for at in queries {
            let query = &trace.queries[at];
            while let Some(event) = events.next_if(|event| event.at <= query.end) {
                replay.apply(event);
            }
            replay.ledger.at_queries[at] = replay.now.seen_by(query.process);
        }
        for event in events {
            replay.apply(event);
        }
        replay.ledger.ends = replay.now.by_process.iter().map(|process| process.at_end).collect();
        replay.ledger.peaks = replay.now.by_process.iter().map(|process| process.device_peak).collect();
        replay.ledger.device_live =
            replay.ledger.ends.iter().map(super::on_device).fold(0, |sum, bytes| sum.saturating_add(bytes));
        replay
    }

    fn apply(&mut self, event: &MemoryEvent) {
        match event.operation {
            Operation::Alloc => self.alloc(event),
            Operation::Free => self.free(event),
            Operation::Retain => self.retain(event),
            Operation::Map => self.map(event),
            Operation::Unmap => self.unmap(event),
            Operation::Pool => self.pool(event),
            Operation::PoolGone => self.pool_gone(event),
            Operation::Prefetch => self.prefetch(event),
            Operation::End => self.end_process(event),
        }
    }

    fn alloc(&mut self, event: &MemoryEvent) {
        let key = (event.process, space(event.kind), event.ptr);
        match event.kind {
            MemoryKind::Vmm | MemoryKind::VmmHost | MemoryKind::VmmForeign => return self.create(event),
            MemoryKind::Graph => {
                self.nodes.insert((event.process, event.ptr));
                return;
            }
            MemoryKind::Foreign => {
                if let Some(open) = self.open.get_mut(&key) {
                    open.openings += 1;
                    return;
                }
            }
            _ => {}
        }
        // The address was given out again, so its free was missed.
        if let Some(stale) = self.open.remove(&key) {
            self.close(event.ptr, &stale, event);
        }
        // What a pool held in advance is less before the allocation is more: the sum never shows both.
        let bucket = (event.kind == MemoryKind::Async).then(|| self.take(event));
        let span = self.begin(event, event.module, event.kind, event.size);
        self.open.insert(key, Open { span, openings: 1, bucket });
        if event.kind == MemoryKind::Managed {
            self.managed.insert((event.process, event.ptr), Managed::new(event));
        }
    }

    fn free(&mut self, event: &MemoryEvent) {
        if event.ptr == 0 || event.kind == MemoryKind::Vmm && self.release(event) {
            return;
        }
        let key = (event.process, space(event.kind), event.ptr);
        match self.open.get_mut(&key) {
            Some(open) if open.openings > 1 => open.openings -= 1,
            Some(_) => {
                if let Some(open) = self.open.remove(&key) {
                    self.close(event.ptr, &open, event);
                }
            }
            None if self.nodes.contains(&(event.process, event.ptr)) => {}
            None => self.ledger.unmatched_frees += 1,
        }
    }

    fn close(&mut self, address: u64, open: &Open, event: &MemoryEvent) {
        let Span { kind, size, .. } = self.ledger.spans[open.span];
        self.end(open.span, event);
        if let Some(bucket) = open.bucket {
            self.give_back(bucket, size, event);
        }
        if kind == MemoryKind::Managed {
            self.end_managed(address, event);
        }
    }

    /// A process that has ended holds nothing; what it held is remembered as its last state.
    fn end_process(&mut self, event: &MemoryEvent) {
        let process = event.process;
        for span in &mut self.ledger.spans {
            if span.process == process && span.end.is_none() {
                span.end = Some((event.at, event.n));
                let holder = &mut self.holders[self.index[&(span.module, span.kind)] as usize];
                holder.now = holder.now.saturating_sub(span.size);
            }
        }
        self.now.end(process);
        self.open.retain(|(of, ..), _| *of != process);
        self.handles.retain(|(of, _), _| *of != process);
        self.mappings.retain(|(of, _), _| *of != process);
        self.pools.retain(|(of, _), _| *of != process);
        self.graphs.retain(|(of, _), _| *of != process);
        self.managed.retain(|(of, _), _| *of != process);
    }

    /// Brings a level to `size`.
    pub(super) fn set_level(
        &mut self,
        level: &mut Level,
        module: ModuleIndex,
        kind: MemoryKind,
        size: u64,
        event: &MemoryEvent,
    ) {
        while level.size > size {
            let Some(top) = level.spans.pop() else { break };
            let Span { size: bytes, module, .. } = self.ledger.spans[top];
            self.end(top, event);
            level.size -= bytes;
            if level.size < size {
                let rest = self.begin_silently(event, module, kind, size - level.size);
                level.spans.push(rest);
                level.size = size;
            }
        }
        if level.size < size {
            let rise = self.begin(event, module, kind, size - level.size);
            level.spans.push(rise);
            level.size = size;
        }
    }

    pub(super) fn begin(&mut self, event: &MemoryEvent, module: ModuleIndex, kind: MemoryKind, size: u64) -> SpanIndex {
        let span = self.begin_silently(event, module, kind, size);
        let owner = self.index[&(module, kind)];
        self.rows.owner.push(owner);
        self.rows.size.push(size);
        self.rows.running.push(self.holders[owner as usize].now);
        span
    }

    /// As [`Self::begin`], without a row: what begins here is the rest of something that was there.
    fn begin_silently(&mut self, event: &MemoryEvent, module: ModuleIndex, kind: MemoryKind, size: u64) -> SpanIndex {
        let owner = *self.index.entry((module, kind)).or_insert_with(|| {
            self.holders.push(Holder { module, kind, now: 0, at_end: 0 });
            (self.holders.len() - 1) as u32
        });
        let holder = &mut self.holders[owner as usize];
        holder.now = holder.now.saturating_add(size);
        holder.at_end = holder.at_end.saturating_add(size);
        self.now.add(event.process, kind, size);
        self.ledger.device_peak = self.ledger.device_peak.max(self.now.device);
        let (process, begin, n) = (event.process, event.at, event.n);
        self.ledger.spans.push(Span { process, module, kind, size, begin, n, end: None });
        self.ledger.spans.len() - 1
    }

    pub(super) fn end(&mut self, span: SpanIndex, event: &MemoryEvent) {
        let span = &mut self.ledger.spans[span];
        if span.end.is_some() {
            return;
        }
        span.end = Some((event.at, event.n));
        let holder = &mut self.holders[self.index[&(span.module, span.kind)] as usize];
        holder.now = holder.now.saturating_sub(span.size);
        holder.at_end = holder.at_end.saturating_sub(span.size);
        self.now.remove(span.process, span.kind, span.size);
    }
}
