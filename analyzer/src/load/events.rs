//! The events of a trace as the later stages want them: times ordered, names numbered.

use super::machine::Seen;
pub use super::machine::View;
pub use super::weights::{WeightFile, Weights};
use std::collections::BTreeMap;

/// Position of a process in [`Trace::processes`].
pub type ProcessIndex = u32;
/// Position of a module path in [`Trace::modules`].
pub type ModuleIndex = u32;

/// Everything of one trace directory.
#[derive(Debug, Default)]
pub struct Trace {
    /// The directory, as given.
    pub name: String,
    pub processes: Vec<Process>,
    /// Module paths. Index 0 is the empty path.
    pub modules: Vec<String>,
    pub devices: Vec<Device>,
    /// In time order.
    pub queries: Vec<Query>,
    pub views: Vec<View>,
    /// Allocations and frees where bytes are counted, in the order in which they took effect.
    pub memory: Vec<MemoryEvent>,
    /// Allocations that failed for want of memory, in the order of the files.
    pub refused: Vec<Refused>,
    /// In time order.
    pub logs: Vec<LogLine>,
    pub reads: Vec<FileRead>,
    pub weights: Weights,
    /// The machine beside queries, facts and samples.
    pub seen: Seen,
    /// Answers that were changed.
    pub patches: Vec<Patch>,
    /// Page cache that was given back before a question.
    pub evictions: Vec<Eviction>,
    /// How the traced command ended, if a launcher wrote it.
    pub exits: Vec<String>,
    /// Events that the writer could not write.
    pub dropped: u64,
    pub events: u64,
    /// What was wrong with the files, and the writer's own warnings.
    pub problems: Vec<String>,
    /// Problems beyond those kept.
    pub more_problems: u64,
}

#[derive(Debug, Clone, Default)]
pub struct Process {
    pub pid: u32,
    pub ppid: u32,
    pub forked_from: u32,
    pub host: String,
    pub launcher: bool,
    pub exe: String,
    pub label: String,
    pub cgroup: String,
    pub argv: Vec<String>,
    pub env: BTreeMap<String, String>,
    /// CLOCK_MONOTONIC of the header, ns.
    pub begin: u64,
    /// CLOCK_MONOTONIC of the latest event, ns.
    pub last: u64,
    /// CLOCK_REALTIME of the header, ns.
    pub wall: u64,
    pub events: u64,
}

#[derive(Debug, Clone)]
pub struct Device {
    pub process: ProcessIndex,
    pub n: u64,
    pub dev: i32,
    pub name: String,
    pub total: u64,
    pub integrated: bool,
    pub driver: u32,
    /// As NVML writes it; empty where the driver does not tell it.
    pub uuid: String,
}

/// Who called what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub name: String,
    pub module: ModuleIndex,
    pub offset: u64,
}

/// An answer that was changed. Bytes.
#[derive(Debug, Clone)]
pub struct Patch {
    pub process: ProcessIndex,
    /// The question's event.
    pub of: u64,
    /// `free`, `total`, or a line of /proc/meminfo.
    pub field: String,
    pub real: u64,
    /// What the program was told.
    pub reported: u64,
}

/// Page cache of weights that was given back. Bytes.
#[derive(Debug, Clone, Copy)]
pub struct Eviction {
    pub process: ProcessIndex,
    pub n: u64,
    pub files: u64,
    /// In the page cache before.
    pub cached: u64,
    /// And afterwards.
    pub left: u64,
    /// Files that were left alone.
    pub skipped: u64,
}

/// One question for memory figures; a runtime call and the driver call below it are one question.
#[derive(Debug, Clone)]
pub struct Query {
    pub process: ProcessIndex,
    /// Number of the event that answered: the driver's where there is one.
    pub n: u64,
    pub begin: u64,
    pub end: u64,
    pub tid: u32,
    /// The outermost traced call.
    pub asked: Call,
    /// The function whose answer counts.
    pub answered: String,
    pub layer: Layer,
    pub depth: u32,
    pub rc: i64,
    /// -1 if the question is not about a device.
    pub dev: i32,
    pub free: Option<u64>,
    pub total: Option<u64>,
    /// Position in [`Trace::views`].
    pub view: Option<usize>,
    /// Position in [`Seen::stacks`].
    pub stack: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    Driver,
    Runtime,
    Hip,
    Nvml,
    Libc,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MemoryKind {
    Device,
    Async,
    Vmm,
    Array,
    VmmHost,
    Managed,
    Host,
    Registered,
    Foreign,
    VmmForeign,
    Other,
    /// What pools of stream-ordered memory hold beyond what is allocated. In no event: the difference of two figures.
    Reserve,
    /// What the device holds for graphs.
    Graph,
    /// Managed memory that was moved to the device. Part of what is `Managed`.
    Prefetched,
}

impl MemoryKind {
    pub const COUNT: usize = 14;
    const NAMES: [(MemoryKind, &str); Self::COUNT] = [
        (MemoryKind::Device, "device"),
        (MemoryKind::Async, "async"),
        (MemoryKind::Vmm, "vmm"),
        (MemoryKind::Array, "array"),
        (MemoryKind::VmmHost, "vmm-host"),
        (MemoryKind::Managed, "managed"),
        (MemoryKind::Host, "host"),
        (MemoryKind::Registered, "registered"),
        (MemoryKind::Foreign, "foreign"),
        (MemoryKind::VmmForeign, "vmm-foreign"),
        (MemoryKind::Other, "other"),
        (MemoryKind::Reserve, "pool reserve"),
        (MemoryKind::Graph, "graph"),
        (MemoryKind::Prefetched, "managed on device"),
    ];

    pub fn all() -> impl Iterator<Item = MemoryKind> {
        Self::NAMES.iter().map(|(kind, _)| *kind)
    }

    pub fn of(name: &str) -> Self {
        Self::NAMES.iter().find(|(_, other)| *other == name).map_or(MemoryKind::Other, |(kind, _)| *kind)
    }

    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].1
    }

    /// Whether the bytes come out of the device's memory. Pinned host memory does not, even where CPU and GPU share
    /// one: the kernel's own counters hold it. Managed memory is nowhere before it is touched, and may be anywhere then;
    /// what was moved to the device counts until it is moved back.
    pub fn on_device(self) -> bool {
        use MemoryKind::{Array, Async, Device, Graph, Prefetched, Reserve, Vmm};
        matches!(self, Device | Async | Vmm | Array | Reserve | Graph | Prefetched)
    }

    /// Whether it is a level that rises and falls rather than allocations that begin and end.
    pub fn is_level(self) -> bool {
        matches!(self, MemoryKind::Reserve | MemoryKind::Graph | MemoryKind::Prefetched)
    }
}

/// Ends before it begins, where both are at one time: see `Builder::finish`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Free,
    Unmap,
    /// A pool was destroyed.
    PoolGone,
    Alloc,
    Retain,
    Map,
    Prefetch,
    Pool,
    /// The process ended, or became another program.
    End,
}

/// A call that moved bytes. Kept small: a trace has millions.
#[derive(Debug, Clone, Copy)]
pub struct MemoryEvent {
    /// When it took effect: the end of an allocation, the begin of a free.
    pub at: u64,
    pub n: u64,
    pub ptr: u64,
    /// Bytes; 0 for a free.
    pub size: u64,
    /// Of a mapping, the handle; of a retained handle, the address asked with; of a stream-ordered allocation, the pool; of
    /// a pool and a prefetch, the device.
    pub handle: u64,
    pub process: ProcessIndex,
    pub module: ModuleIndex,
    pub kind: MemoryKind,
    pub operation: Operation,
}

/// An allocation on a device that failed for want of memory.
#[derive(Debug, Clone)]
pub struct Refused {
    pub process: ProcessIndex,
    pub n: u64,
    /// When it had failed.
    pub at: u64,
    pub name: String,
    /// Bytes asked for.
    pub size: u64,
}

#[derive(Debug, Clone)]
pub struct LogLine {
    pub process: ProcessIndex,
    pub n: u64,
    pub at: u64,
    pub text: String,
}

/// A memory file of the kernel that the program opened.
#[derive(Debug, Clone)]
pub struct FileRead {
    pub process: ProcessIndex,
    pub n: u64,
    pub at: u64,
    pub asked: Call,
    pub path: String,
    pub view: Option<usize>,
}

/// The line of /proc/meminfo that runtimes take for free memory where CPU and GPU share it.
pub const AVAILABLE: &str = "MemAvailable";

/// The variable that holds the rules.
const PATCH: &str = "KVTRACE_PATCH";

impl Trace {
    /// `pid:n`, the name of an event in reports.
    pub fn evidence(&self, process: ProcessIndex, n: u64) -> String {
        format!("{}:{n}", self.processes.get(process as usize).map_or(0, |process| process.pid))
    }

    pub fn module(&self, index: ModuleIndex) -> &str {
        self.modules.get(index as usize).map_or("", String::as_str)
    }

    /// Whether a simulated GPU answered.
    pub fn simulated(&self) -> bool {
        self.devices.iter().any(|device| device.name.to_lowercase().contains("simulated"))
    }

    /// What became of a figure of the answer to event `n`, if it was changed.
    pub fn patch(&self, process: ProcessIndex, n: u64, field: &str) -> Option<&Patch> {
        self.patches.iter().find(|patch| patch.process == process && patch.of == n && patch.field == field)
    }

    /// The rules by which programs were told other figures than the real ones, whether or not any was for them.
    pub fn patched(&self) -> Vec<String> {
        let settings =
            self.processes.iter().filter(|process| !process.launcher).filter_map(|process| process.env.get(PATCH));
        let mut rules: Vec<String> =
            settings.flat_map(|text| text.split(';')).map(|rule| rule.trim().to_owned()).collect();
        rules.retain(|rule| !rule.is_empty());
        rules.sort();
        rules.dedup();
        // A header without room for its environment still has the answers that were changed.
        if rules.is_empty() && !self.patches.is_empty() {
            rules.push("rules that are not known".into());
        }
        rules
    }

    /// Whether CPU and GPU share one memory; `None` if no device was described.
    pub fn integrated(&self) -> Option<bool> {
        self.devices.first().map(|device| device.integrated)
    }
}
