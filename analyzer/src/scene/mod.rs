//! One query with everything that explains its answer: who asked, what the machine looked like, and how far each figure
//! is from what the program was told.

mod asked;
mod figures;

pub use asked::{Asked, Line, function, headline, stack};
pub use figures::{Figure, Value};

use crate::ledger::{self, Held};
use crate::load::Trace;
use crate::load::events::{Query, View};
use crate::load::machine::{Group, Missing};
use crate::residual::{self, Residual};
use crate::symbols::Symbols;
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Debug, Serialize)]
pub struct Scene {
    pub evidence: String,
    pub pid: u32,
    /// Since the first header of the trace.
    pub seconds: f64,
    /// `A`, `B` or `C` of a decision; empty if it is none.
    pub role: &'static str,
    pub asked: Asked,
    pub view: Option<Beside>,
    /// Why there is no view, or an earlier one.
    pub view_note: Option<String>,
    pub figures: Vec<Figure>,
    pub residual: Option<Residual>,
    pub no_residual: Option<String>,
    /// All of /proc/meminfo, bytes.
    pub meminfo: BTreeMap<String, u64>,
    pub groups: Vec<GroupRow>,
    pub zones: Vec<ZoneRow>,
    /// NUMA node -> its meminfo.
    pub nodes: BTreeMap<u32, BTreeMap<String, u64>>,
    pub cards: BTreeMap<String, BTreeMap<String, u64>>,
    pub nvml: Vec<UsageRow>,
    pub limits: BTreeMap<String, u64>,
}

/// The view that the figures come from.
#[derive(Debug, Serialize)]
pub struct Beside {
    pub evidence: String,
    /// How long before the query it was taken; 0 if beside it.
    pub age_ns: u64,
    /// What it took with all that goes with it.
    pub cost_ns: u64,
}

#[derive(Debug, Serialize)]
pub struct GroupRow {
    /// 0 for the process's own.
    pub level: u32,
    pub version: u32,
    pub path: String,
    pub figures: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize)]
pub struct ZoneRow {
    pub node: u32,
    pub zone: String,
    pub figures: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize)]
pub struct UsageRow {
    pub nvml: u32,
    pub uuid: String,
    pub processes: u32,
    pub own_bytes: Option<u64>,
    pub others_bytes: Option<u64>,
    pub same_pids: Option<bool>,
    pub free_bytes: Option<u64>,
    pub total_bytes: Option<u64>,
}

/// The scene of the query at `at`.
pub fn of(trace: &Trace, symbols: &Symbols, at: usize, held: Held, role: &'static str) -> Option<Scene> {
    let query = trace.queries.get(at)?;
    let begin = trace.processes.iter().map(|process| process.begin).min().unwrap_or(0);
    let (view, note) = view(trace, query);
    let residual = view.map(|view| residual::of(trace, view, held.device));
    let (residual, no_residual) = match residual {
        Some(Ok(residual)) => (Some(residual), None),
        Some(Err(why)) => (None, Some(why)),
        None => (None, None),
    };
    let mut scene = Scene {
        evidence: trace.evidence(query.process, query.n),
        pid: trace.processes.get(query.process as usize).map_or(0, |process| process.pid),
        seconds: query.begin.saturating_sub(begin) as f64 / 1e9,
        role,
        asked: asked::of(trace, symbols, query),
        view: view.map(|view| Beside {
            evidence: trace.evidence(view.process, view.n),
            age_ns: if note.is_some() { query.begin.saturating_sub(view.at) } else { 0 },
            cost_ns: view.cost,
        }),
        view_note: note,
        figures: Vec::new(),
        residual,
        no_residual,
        meminfo: view.map(|view| view.meminfo.clone()).unwrap_or_default(),
        groups: view.map(groups).unwrap_or_default(),
        zones: Vec::new(),
        nodes: BTreeMap::new(),
        cards: BTreeMap::new(),
        nvml: Vec::new(),
        limits: view.map(|view| view.limits.clone()).unwrap_or_default(),
    };
    if let Some(around) = view.map(|view| &view.around) {
        let zone = |zone: &crate::load::machine::Zone| ZoneRow {
            node: zone.node,
            zone: zone.name.clone(),
            figures: zone.figures.clone(),
        };
        scene.zones = around.zones.iter().map(zone).collect();
        scene.nodes = around.nodes.iter().cloned().collect();
        scene.cards = around.cards.iter().cloned().collect();
        let usage = around.usage.iter().map(|usage| UsageRow {
            nvml: usage.nvml,
            uuid: usage.uuid.clone(),
            processes: usage.count,
            own_bytes: usage.own,
            others_bytes: usage.others,
            same_pids: usage.same_pids,
            free_bytes: usage.free,
            total_bytes: usage.total,
        });
        scene.nvml = usage.collect();
    }
    let devices = figures::Devices { own: ledger::on_device(&held.own), all: held.device };
    scene.figures = figures::of(trace, query, view, &scene, devices);
    Some(scene)
}

/// The view beside the query, else the nearest earlier one of its process with a word on why.
fn view<'t>(trace: &'t Trace, query: &Query) -> (Option<&'t View>, Option<String>) {
    if let Some(view) = query.view.and_then(|at| trace.views.get(at)) {
        return (Some(view), None);
    }
    let earlier = trace.views.iter().filter(|view| view.process == query.process && view.at <= query.begin);
    match earlier.max_by_key(|view| view.at) {
        Some(view) => {
            let age = query.begin.saturating_sub(view.at) as f64 / 1e6;
            let note = format!(
                "The machine was not looked at beside this query: the figures of the machine are {age:.1} ms older."
            );
            (Some(view), Some(note))
        }
        None => (None, Some("The machine was not looked at: the trace has no view of this process until here.".into())),
    }
}

fn groups(view: &View) -> Vec<GroupRow> {
    let own = (view.cgroup_version > 0).then(|| GroupRow {
        level: 0,
        version: view.cgroup_version,
        path: view.cgroup_path.clone(),
        figures: view.cgroup.clone(),
    });
    let above = |group: &Group| GroupRow {
        level: group.level,
        version: group.version,
        path: group.path.clone(),
        figures: group.figures.clone(),
    };
    let mut rows: Vec<GroupRow> = own.into_iter().chain(view.around.groups.iter().map(above)).collect();
    rows.sort_by_key(|group| group.level);
    rows
}

/// `EACCES: /proc/zoneinfo`
fn reason(missing: &Missing) -> String {
    match missing.source.is_empty() {
        true => missing.reason.clone(),
        false => format!("{}: {}", missing.reason, missing.source),
    }
}
