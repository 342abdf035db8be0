//! What the machine looked like: beside a query, once per process, or from outside.

use super::events::{ModuleIndex, ProcessIndex, Trace};
use kvtrace_trace::event::{self, Event, Stamp};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

/// Bytes by name, unless a name says otherwise.
pub type Figures = BTreeMap<String, u64>;

#[derive(Debug, Clone, Default)]
pub struct View {
    pub process: ProcessIndex,
    pub n: u64,
    /// CLOCK_MONOTONIC, ns.
    pub at: u64,
    /// Bytes, by the names of /proc/meminfo.
    pub meminfo: Figures,
    pub cgroup_version: u32,
    pub cgroup_path: String,
    pub cgroup: Figures,
    /// `rss_anon`, `rss_file`, `rss_shmem`.
    pub own: Figures,
    /// `as`, `data`, `memlock`.
    pub limits: Figures,
    /// What this view and all that goes with it took, ns; 0 in older traces.
    pub cost: u64,
    pub around: Around,
}

/// What goes with a view.
#[derive(Debug, Clone, Default)]
pub struct Around {
    pub zones: Vec<Zone>,
    /// The nearest ancestor first, if the file was not cut.
    pub groups: Vec<Group>,
    pub nodes: Vec<(u32, Figures)>,
    pub usage: Vec<Usage>,
    pub cards: Vec<(String, Figures)>,
}

#[derive(Debug, Clone)]
pub struct Zone {
    pub node: u32,
    pub name: String,
    pub figures: Figures,
}

/// A control group above the process's own.
#[derive(Debug, Clone)]
pub struct Group {
    pub level: u32,
    pub version: u32,
    pub path: String,
    pub figures: Figures,
}

/// Who uses a GPU's memory, as NVML says. Bytes.
#[derive(Debug, Clone)]
pub struct Usage {
    pub nvml: u32,
    pub uuid: String,
    pub count: u32,
    pub own: Option<u64>,
    pub others: Option<u64>,
    pub same_pids: Option<bool>,
    pub free: Option<u64>,
    pub total: Option<u64>,
}

/// The Python stack of a query.
#[derive(Debug, Clone)]
pub struct Stack {
    pub process: ProcessIndex,
    pub n: u64,
    pub python: String,
    /// Innermost first.
    pub frames: Vec<event::Frame>,
}

#[derive(Debug, Clone)]
pub struct Fact {
    pub process: ProcessIndex,
    pub n: u64,
    pub name: String,
    pub source: String,
    pub text: String,
}

/// A figure or a fact that was not to be had.
#[derive(Debug, Clone)]
pub struct Missing {
    pub process: ProcessIndex,
    pub n: u64,
    pub what: String,
    pub source: String,
    pub reason: String,
}

/// The machine and the traced tree, seen by the launcher.
#[derive(Debug, Clone)]
pub struct Sample {
    pub process: ProcessIndex,
    pub n: u64,
    pub at: u64,
    pub meminfo: Figures,
    pub processes: u32,
    pub own: Figures,
    pub cgroup_path: String,
    pub cgroup: Figures,
}

/// Pages of files that the user named, seen by the launcher. Bytes.
#[derive(Debug, Clone)]
pub struct NamedFiles {
    pub process: ProcessIndex,
    pub n: u64,
    pub at: u64,
    /// The path that the user named.
    pub group: String,
    pub files: u64,
    pub size: u64,
    pub cached: u64,
}

/// A library or program in a process.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub process: ProcessIndex,
    pub n: u64,
    pub module: ModuleIndex,
    /// What the path leads to; empty if it is the same.
    pub file: String,
    /// Hex; empty if it has none.
    pub build_id: String,
}

/// Everything of this kind in a trace.
#[derive(Debug, Default)]
pub struct Seen {
    pub stacks: Vec<Stack>,
    pub facts: Vec<Fact>,
    pub missing: Vec<Missing>,
    /// In time order.
    pub samples: Vec<Sample>,
    /// In time order.
    pub named_files: Vec<NamedFiles>,
    pub loaded: Vec<Loaded>,
}

/// What numbers of the current file mean.
#[derive(Debug, Default)]
pub struct Reader {
    /// Number of a query or read -> its view.
    views: HashMap<u64, usize>,
    /// What came before its view.
    early: HashMap<u64, Around>,
}

impl Reader {
    /// Another trace file begins.
    pub fn begin(&mut self) {
        self.views.clear();
        self.early.clear();
    }

    /// The view as it is kept at position `at`.
    pub fn view(&mut self, at: usize, process: ProcessIndex, stamp: Stamp, view: event::View) -> View {
        let around = self.early.remove(&view.of).unwrap_or_default();
        self.views.entry(view.of).or_insert(at);
        View {
            process,
            n: stamp.n,
            at: stamp.t,
            meminfo: owned(view.meminfo),
            cgroup_version: view.cgroup_version,
            cgroup_path: view.cgroup_path.into(),
            cgroup: owned(view.cgroup),
            own: owned(view.own),
            limits: owned(view.limits),
            cost: view.cost,
            around,
        }
    }

    /// Takes what is of this kind; leaves everything else.
    pub fn add(&mut self, trace: &mut Trace, process: ProcessIndex, stamp: Stamp, event: Event) {
        let (n, at) = (stamp.n, stamp.t);
        match event {
            Event::Zone(zone) => {
                let kept = Zone { node: zone.node, name: zone.zone.into(), figures: owned(zone.figures) };
                self.around(trace, zone.of).zones.push(kept);
            }
            Event::Group(group) => {
                let (level, version, path) = (group.level, group.version, group.path.into());
                let kept = Group { level, version, path, figures: owned(group.figures) };
                self.around(trace, group.of).groups.push(kept);
            }
            Event::Node(node) => {
                let kept = (node.node, owned(node.meminfo));
                self.around(trace, node.of).nodes.push(kept);
            }
            Event::Card(card) => {
                let kept = (card.card.into(), owned(card.figures));
                self.around(trace, card.of).cards.push(kept);
            }
            Event::Usage(usage) => {
                let kept = Usage {
                    nvml: usage.nvml,
                    uuid: usage.uuid.into(),
                    count: usage.count,
                    own: usage.own,
                    others: usage.others,
                    same_pids: usage.same_pids,
                    free: usage.free,
                    total: usage.total,
                };
                self.around(trace, usage.of).usage.push(kept);
            }
            Event::Fact(fact) => {
                let (name, source, text) = (fact.name.into(), fact.source.into(), fact.text.into());
                trace.seen.facts.push(Fact { process, n, name, source, text });
            }
            Event::Missing(missing) => {
                let (what, source, reason) = (missing.what.into(), missing.source.into(), missing.reason.into());
                trace.seen.missing.push(Missing { process, n, what, source, reason });
            }
            Event::Sample(sample) => trace.seen.samples.push(Sample {
                process,
                n,
                at,
                meminfo: owned(sample.meminfo),
                processes: sample.processes,
                own: owned(sample.own),
                cgroup_path: sample.cgroup_path.into(),
                cgroup: owned(sample.cgroup),
            }),
            Event::Cached(cached) if cached.of == 0 && cached.id.is_none() => trace.seen.named_files.push(NamedFiles {
                process,
                n,
                at,
                group: cached.group.into(),
                files: cached.files,
                size: cached.size,
                cached: cached.cached,
            }),
            _ => {}
        }
    }

    fn around<'t>(&'t mut self, trace: &'t mut Trace, of: u64) -> &'t mut Around {
        match self.views.get(&of).and_then(|at| trace.views.get_mut(*at)) {
            Some(view) => &mut view.around,
            None => self.early.entry(of).or_default(),
        }
    }
}

impl Seen {
    /// Puts everything into time order.
    pub fn sort(&mut self) {
        self.samples.sort_by_key(|sample| (sample.at, sample.process, sample.n));
        self.named_files.sort_by_key(|files| (files.at, files.process, files.n));
    }

    /// The library or program of that path in a process: one path may be several files in its life.
    pub fn loaded(&self, process: ProcessIndex, module: ModuleIndex, n: u64) -> Option<&Loaded> {
        let mut all = self.loaded.iter().filter(|loaded| loaded.process == process && loaded.module == module);
        let first = all.next()?;
        Some(all.take_while(|loaded| loaded.n <= n).last().unwrap_or(first))
    }

    /// Why something is not there, as the writer said.
    pub fn reason(&self, process: ProcessIndex, what: &str) -> Option<&Missing> {
        self.missing.iter().find(|missing| missing.process == process && missing.what == what)
    }
}

fn owned(map: BTreeMap<Cow<str>, u64>) -> Figures {
    map.into_iter().map(|(name, value)| (name.into_owned(), value)).collect()
}
