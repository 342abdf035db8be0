//! Where a device's memory went at the query that sized the KV cache.
//!
//! `total = in use + free`, as the driver answered; the temporary pool counts as free, because the runtime gives it back
//! first. What is in use is taken apart by the ledger, NVML and, where CPU and GPU share one memory, the kernel's counters;
//! what is free by the runtime's own rule. Whatever no witness names stays unexplained, so that everything sums to the
//! total.

mod device;
mod free;
mod host;

use crate::decision::{Confidence, Decision, Fact};
use crate::ledger::{Ledger, Span};
use crate::load::Trace;
use crate::load::events::{Device, Query, View};
pub use device::{usage, usage_in};
pub use free::{cma_free, watermarks};
use serde::Serialize;

/// One device at one query. `total_bytes` is the sum of the terms and of `unexplained_bytes`.
#[derive(Debug, Clone, Serialize)]
pub struct Attribution {
    /// The query.
    pub of: String,
    pub pid: u32,
    pub total_bytes: u64,
    /// As the driver answered, without any patch.
    pub free_bytes: u64,
    /// In the order of the table: the KV cache, what stays free, then what was in use.
    pub terms: Vec<Term>,
    pub unexplained_bytes: i128,
    /// What limits the answer, a sentence each.
    pub notes: Vec<String>,
}

/// One use of the device's memory.
#[derive(Debug, Clone, Serialize)]
pub struct Term {
    pub key: &'static str,
    pub title: &'static str,
    pub bytes: i128,
    /// Of the device's total.
    pub share: f64,
    pub confidence: Confidence,
    /// Events, `pid:n`.
    pub evidence: Vec<String>,
    pub note: Option<String>,
    /// Sum to `bytes`, where there are any.
    pub parts: Vec<Part>,
}

/// A part of a term.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    pub title: String,
    pub bytes: i128,
    pub evidence: Vec<String>,
}

/// Everything that the parts of an attribution look at.
pub struct Scope<'t> {
    pub trace: &'t Trace,
    pub ledger: &'t Ledger,
    pub decision: &'t Decision,
    pub query: &'t Query,
    /// The machine beside the query.
    pub view: Option<&'t View>,
    pub device: Option<&'t Device>,
    /// As the driver answered.
    pub free: u64,
    /// Spans of the serving process on the device, in order of their begin.
    pub own: Vec<&'t Span>,
    /// The allocation of the KV cache, or the first of several.
    pub pool: Option<&'t Span>,
    /// The same of the temporary pool.
    pub temporary: Option<&'t Span>,
}

impl<'t> Scope<'t> {
    pub fn of(trace: &'t Trace, ledger: &'t Ledger, decision: &'t Decision) -> Option<Self> {
        let query = trace.queries.get(decision.sizing_query)?;
        let devices = || trace.devices.iter().filter(|device| device.dev == query.dev);
        let described = devices().find(|device| device.process == query.process);
        // The one pass over all spans: a trace has millions.
        let own = ledger.spans.iter().filter(|span| span.process == decision.process && span.kind.on_device());
        let own: Vec<&Span> = own.collect();
        let named = |figure| number(figure).and_then(|n| own.iter().copied().find(|span| span.n == n));
        Some(Scope {
            trace,
            ledger,
            decision,
            query,
            view: query.view.and_then(|at| trace.views.get(at)),
            device: described.or_else(|| devices().next()),
            free: unpatched(trace, query).or(query.free)?,
            pool: named(&decision.final_pool_bytes),
            temporary: named(&decision.temporary_pool_bytes),
            own,
        })
    }

    /// What the serving process took on the device from the query until it allocated the KV cache, less what it gave
    /// back, without the temporary pool. A runtime that asks before it loads takes its weights here. Bytes.
    pub fn taken_since(&self) -> i128 {
        let Some(pool) = self.pool.filter(|pool| pool.begin > self.query.end) else { return 0 };
        let temporary = i128::from(self.decision.temporary_pool_bytes.value);
        self.own_at(pool.begin - 1) - self.own_at(self.query.end) + temporary
    }

    /// What the serving process held on the device. Bytes.
    pub fn own_at(&self, time: u64) -> i128 {
        self.own.iter().filter(|span| span.live_at(time)).map(|span| i128::from(span.size)).sum()
    }

    /// What other traced processes held on any device when the query of that position was answered. Bytes.
    pub fn others_at(&self, query: usize) -> i128 {
        let held = self.ledger.at_queries.get(query).copied().unwrap_or_default();
        let own = if self.trace.queries.get(query).is_some_and(|query| query.process == self.decision.process) {
            crate::ledger::on_device(&held.own)
        } else {
            0
        };
        i128::from(held.device) - i128::from(own)
    }

    /// `pid:n` of the query.
    pub fn seen(&self) -> Vec<String> {
        vec![self.trace.evidence(self.query.process, self.query.n)]
    }

    /// `pid:n` of the view beside it.
    pub fn viewed(&self) -> Vec<String> {
        self.view.map(|view| self.trace.evidence(view.process, view.n)).into_iter().collect()
    }

    /// Whether CPU and GPU share one memory; `None` if no device was described.
    pub fn integrated(&self) -> Option<bool> {
        self.device.map(|device| device.integrated)
    }
}

/// The number of the event that a figure names first.
fn number(figure: &Fact<u64>) -> Option<u64> {
    figure.evidence.first()?.split_once(':')?.1.parse().ok()
}

/// What the real function answered, where the answer was patched.
pub fn unpatched(trace: &Trace, query: &Query) -> Option<u64> {
    trace.patch(query.process, query.n, "free").map(|patch| patch.real)
}

/// Collects terms; what is nothing is left out.
pub struct Terms {
    total: u64,
    pub list: Vec<Term>,
    pub notes: Vec<String>,
}

impl Terms {
    fn of(total: u64) -> Self {
        Terms { total, list: Vec::new(), notes: Vec::new() }
    }

    pub fn add(
        &mut self,
        key: &'static str,
        title: &'static str,
        bytes: i128,
        confidence: Confidence,
        evidence: Vec<String>,
    ) -> Option<&mut Term> {
        if bytes == 0 {
            return None;
        }
        let share = if self.total == 0 { 0.0 } else { bytes as f64 / self.total as f64 };
        self.list.push(Term { key, title, bytes, share, confidence, evidence, note: None, parts: Vec::new() });
        self.list.last_mut()
    }

    fn sum(&self) -> i128 {
        self.list.iter().map(|term| term.bytes).sum()
    }
}

/// At the query that sized the KV cache of `decision`; `None` if that query told no free memory.
pub fn of(trace: &Trace, ledger: &Ledger, decision: &Decision) -> Option<Attribution> {
    let scope = Scope::of(trace, ledger, decision)?;
    let total = decision.total_bytes.value;
    let mut terms = Terms::of(total);
    let rule_left = free::terms(&scope, &mut terms);
    let traced = device::terms(&scope, &mut terms);
    let kernel = host::terms(&scope, &mut terms);
    device::untraced(&scope, &mut terms, &traced, kernel);
    let unexplained = i128::from(total) - terms.sum();
    if rule_left != 0 {
        let text = format!("the runtime's rule leaves {} unexplained", crate::render::change((-rule_left).into()));
        terms.notes.push(text);
    }
    Some(Attribution {
        of: scope.seen().concat(),
        pid: decision.pid,
        total_bytes: total,
        free_bytes: scope.free,
        unexplained_bytes: unexplained,
        terms: terms.list,
        notes: terms.notes,
    })
}
