//! One process's questions and allocations, as the detectors look for them.

use super::{Bound, Confidence, Decision, Fact, Rule, Source, Weight};
use crate::ledger::{Ledger, Span};
use crate::load::Trace;
use crate::load::events::{AVAILABLE, Layer, ProcessIndex, Query};

/// Allocations smaller than this, all together, are no KV cache.
const LEAST_POOL: u64 = 1 << 20;
/// Only the largest are tried.
const CANDIDATES: usize = 16;

/// What a detector asks of one process.
pub struct Calls<'t> {
    pub trace: &'t Trace,
    pub ledger: &'t Ledger,
    pub process: ProcessIndex,
    /// Position and query: about a device, answered with free memory, in time order.
    pub queries: Vec<(usize, &'t Query)>,
    /// When it took device memory, in order.
    taken: Vec<u64>,
}

/// A KV cache as it may have been allocated: one tensor, or several of one size in a row.
pub struct Pool<'t> {
    pub first: &'t Span,
    pub tensors: u64,
    pub bytes: u64,
    /// When the last of them was there.
    pub end: u64,
}

impl<'t> Calls<'t> {
    pub fn of(trace: &'t Trace, ledger: &'t Ledger, process: ProcessIndex) -> Self {
        let asks = |query: &Query| {
            query.process == process
                && query.dev >= 0
                && query.rc == 0
                && query.free.is_some()
                && query.total.is_some()
                && matches!(query.layer, Layer::Driver | Layer::Runtime | Layer::Hip)
        };
        let queries = trace.queries.iter().enumerate().filter(|(_, query)| asks(query)).collect();
        let mine = ledger.spans.iter().filter(|span| span.process == process && span.kind.on_device());
        Calls { trace, ledger, process, queries, taken: mine.map(|span| span.begin).collect() }
    }

    /// `pid:n`
    pub fn seen(&self, n: u64) -> String {
        self.trace.evidence(self.process, n)
    }

    /// Device memory of the process, in order of its allocation.
    fn spans(&self) -> impl Iterator<Item = &'t Span> {
        self.ledger.spans.iter().filter(|span| span.process == self.process && span.kind.on_device())
    }

    /// What may be the KV cache, the largest first.
    pub fn pools(&self) -> Vec<Pool<'t>> {
        let mut pools = self.all_pools();
        pools.truncate(CANDIDATES);
        pools
    }

    /// What was allocated without a question in between and outlived the last of its tensors, the largest first.
    pub fn all_pools(&self) -> Vec<Pool<'t>> {
        let mut pools: Vec<Pool> = Vec::new();
        for span in self.spans() {
            let asked = |from: u64| {
                let next = self.queries.partition_point(|(_, query)| query.begin <= from);
                self.queries.get(next).is_some_and(|(_, query)| query.end <= span.begin)
            };
            match pools.last_mut() {
                Some(pool)
                    if pool.first.size == span.size
                        && pool.first.module == span.module
                        && pool.first.kind == span.kind
                        && pool.first.live_at(span.begin)
                        && !asked(pool.end) =>
                {
                    pool.tensors += 1;
                    pool.bytes = pool.bytes.saturating_add(span.size);
                    pool.end = span.begin;
                }
                _ => pools.push(Pool { first: span, tensors: 1, bytes: span.size, end: span.begin }),
            }
        }
        pools.retain(|pool| pool.bytes >= LEAST_POOL);
        pools.sort_by_key(|pool| std::cmp::Reverse(pool.bytes));
        pools
    }

    /// The queries that ended before `time`.
    pub fn before(&self, time: u64) -> &[(usize, &'t Query)] {
        let count = self.queries.partition_point(|(_, query)| query.end <= time);
        self.queries.get(..count).unwrap_or_default()
    }

    /// Whether the process took device memory between two instants.
    pub fn took_memory(&self, from: u64, to: u64) -> bool {
        let next = self.taken.partition_point(|begin| *begin <= from);
        self.taken.get(next).is_some_and(|begin| *begin <= to)
    }

    /// MemAvailable as the process was told it, where it opened /proc/meminfo between this query and its next.
    pub fn available_after(&self, at: usize) -> Option<u64> {
        let place = self.queries.iter().position(|(position, _)| *position == at)?;
        let from = self.queries.get(place)?.1.end;
        let to = self.queries.get(place + 1).map_or(u64::MAX, |(_, query)| query.begin);
        let opened = |read: &&crate::load::events::FileRead| {
            read.process == self.process && read.path == "/proc/meminfo" && read.at >= from && read.at <= to
        };
        let read = self.trace.reads.iter().find(opened)?;
        let took = self.took_memory(from, read.at);
        let view = self.trace.views.get(read.view?)?;
        let told = self.trace.patch(self.process, read.n, AVAILABLE).map(|patch| patch.reported);
        told.or_else(|| view.meminfo.get(AVAILABLE).copied()).filter(|_| !took)
    }

    /// Whether the process names itself by one of `words`, which are lower case: in its command, in a variable that is
    /// set for it, in a library that it has loaded, in a module that asked or allocated, or in a Python file on a stack.
    pub fn named(&self, words: &[&str], pool: &Pool) -> bool {
        let module = self.trace.module(pool.first.module).to_ascii_lowercase();
        words.iter().any(|word| module.contains(word)) || self.names(words)
    }

    /// As [`Self::named`], whatever the pool.
    pub fn names(&self, words: &[&str]) -> bool {
        let has = |text: &str| {
            let text = text.to_ascii_lowercase();
            words.iter().any(|word| text.contains(word))
        };
        let trace = self.trace;
        let process = trace.processes.get(self.process as usize);
        let command = process.is_some_and(|process| {
            let variable = |name: &String| words.iter().any(|word| name.to_ascii_lowercase().starts_with(word));
            has(&process.exe) || process.argv.iter().any(|word| has(word)) || process.env.keys().any(variable)
        });
        let mut modules = self.queries.iter().map(|(_, query)| query.asked.module);
        let loaded = trace.seen.loaded.iter().filter(|loaded| loaded.process == self.process);
        let mut stacks = trace.seen.stacks.iter().filter(|stack| stack.process == self.process);
        command
            || modules.any(|module| has(trace.module(module)))
            || loaded.map(|loaded| trace.module(loaded.module)).any(has)
            || stacks.any(|stack| stack.frames.iter().any(|frame| has(&frame.file)))
    }

    /// What the trace says of a decision before any rule: the pool, and the query that sized it, whose every free byte
    /// gave `weight` bytes.
    pub fn decision(
        &self,
        runtime: &'static str,
        bound: Bound,
        pool: &Pool,
        sizing: (usize, &Query),
        weight: f64,
    ) -> Option<Decision> {
        let (at, query) = sizing;
        let seen = || [self.seen(query.n)];
        let free = query.free?;
        Some(Decision {
            runtime,
            pid: self.trace.processes.get(self.process as usize)?.pid,
            process: self.process,
            sized_at: query.end,
            sizing_query: at,
            total_bytes: Fact::new(query.total?, Confidence::Observed, seen()),
            free_a_bytes: None,
            free_b_bytes: Fact::new(free, Confidence::Observed, seen()),
            free_c_bytes: None,
            temporary_pool_bytes: Fact::new(0, Confidence::Observed, []),
            final_pool_bytes: Fact::new(pool.bytes, Confidence::Observed, [self.seen(pool.first.n)]),
            fraction: Fact::new(weight, Confidence::Solved, seen()),
            rule: Rule {
                total_share: 0.0,
                free: vec![Weight { role: "B", query: at, source: Source::Driver, free_bytes: free, weight }],
                factor: 1.0,
                reserved_bytes: 0,
            },
            transient_bytes: Fact::new(0, Confidence::Observed, []),
            peak_bytes: Fact::new(signed(query.total?) - signed(free), Confidence::Observed, seen()),
            budget_bytes: signed(pool.bytes),
            cap_bytes: 0,
            rounding_bytes: 0,
            unexplained_bytes: 0,
            bytes_per_token: None,
            tokens_per_block: None,
            tokens: None,
            blocks: None,
            host_tier_bytes: None,
            bound,
            contradictions: Vec::new(),
        })
    }
}

/// Bytes that may be subtracted.
pub fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
