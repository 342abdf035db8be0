//! The events as types. `docs/trace-format.md` has the same list in prose.

use crate::parse::hex;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;

pub use machine::{Card, Fact, Frame, Group, Missing, Node, Sample, Stack, Usage, View, Zone};
pub use weights::{Cached, Config, Use, Weights};

/// One line of a trace file.
#[derive(Debug, Clone, PartialEq)]
pub struct Record<'a> {
    /// What every line carries.
    pub stamp: Stamp,
    /// What happened.
    pub event: Event<'a>,
}

/// What every line carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Stamp {
    /// Number of the event in its file, from 1. A gap is a drop.
    pub n: u64,
    /// Begin of the call, ns of CLOCK_MONOTONIC: comparable between the processes of one boot.
    pub t: u64,
    /// Process id, in the PID namespace of the process.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// First line of every file.
    Process(Process<'a>),
    /// A module that a later `mod` names.
    Module(Module<'a>),
    /// A GPU, at its first use.
    Device(Device<'a>),
    /// The program asked for memory figures.
    Query(Query<'a>),
    /// What the machine looked like beside a query.
    View(View<'a>),
    /// A memory zone of the kernel beside a query.
    Zone(Zone<'a>),
    /// A control group above the process's own beside a query.
    Group(Group<'a>),
    /// Memory of the NUMA node that a GPU is, beside a query.
    Node(Node<'a>),
    /// Who uses a GPU's memory, as NVML says, beside a query.
    Usage(Usage<'a>),
    /// Memory of an AMD GPU, as its kernel driver says, beside a query.
    Card(Card<'a>),
    /// The Python stack of a query.
    Stack(Stack<'a>),
    /// Something that does not change while a process runs.
    Fact(Fact<'a>),
    /// A figure or a fact that was not to be had.
    Missing(Missing<'a>),
    /// The machine and a traced tree between queries, seen from outside.
    Sample(Sample<'a>),
    /// A file of a model's weights was opened.
    Weights(Weights<'a>),
    /// What the program said it would do with a file of weights.
    Use(Use<'a>),
    /// How much of files is in the page cache.
    Cached(Cached<'a>),
    /// The description of a model beside its weights.
    Config(Config<'a>),
    /// Memory was taken.
    Alloc(Alloc<'a>),
    /// Memory was given back.
    Free(Free<'a>),
    /// A handle of physical memory was mapped.
    Map(Map<'a>),
    /// A mapping was removed.
    Unmap(Map<'a>),
    /// A handle of physical memory got another holder.
    Retain(Retain<'a>),
    /// Managed memory was asked to move.
    Prefetch(Prefetch<'a>),
    /// What the driver holds for stream-ordered memory or for graphs has changed.
    Pool(Pool),
    /// A call about memory that takes and gives back none that could be counted.
    Call(Noted<'a>),
    /// A memory file was opened.
    File(File<'a>),
    /// A line of the program's own output.
    Log(Log<'a>),
    /// The process made a child.
    Fork(Fork<'a>),
    /// The process is about to become another program.
    Exec(Exec<'a>),
    /// A process that `kvtrace run` started has ended.
    Exit(Exit),
    /// A reported figure was changed.
    Patch(Patch<'a>),
    /// Page cache of files of weights was given back.
    Evict(Evict),
    /// Events are missing.
    Dropped(Dropped<'a>),
    /// The writer could not do what it was told.
    Warning(Warning<'a>),
    /// A kind that a later minor version added.
    Unknown(Cow<'a, str>),
}

macro_rules! events {
    ($($(#[$meta:meta])* $name:ident { $($(#[$fmeta:meta])* $field:ident : $type:ty),* $(,)? })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Deserialize)]
        pub struct $name<'a> {
            $($(#[$fmeta])* pub $field: $type,)*
        }
    )*};
}

macro_rules! calls {
    ($($(#[$meta:meta])* $name:ident { $($(#[$fmeta:meta])* $field:ident : $type:ty),* $(,)? })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Deserialize)]
        pub struct $name<'a> {
            #[serde(borrow, rename = "fn")]
            /// Function name.
            pub name: Cow<'a, str>,
            #[serde(borrow)]
            /// `driver`, `runtime`, `hip`, `nvml` or `libc`. Bytes are counted on the driver's and on HIP's layer only.
            pub layer: Cow<'a, str>,
            /// Number of traced calls that enclose this one on its thread.
            pub depth: u32,
            /// Return value of the function.
            pub rc: i64,
            /// Duration of the real call, ns.
            pub dur: u64,
            #[serde(borrow, rename = "mod")]
            /// Path of the calling module, empty if unknown.
            pub module: Cow<'a, str>,
            #[serde(rename = "off", deserialize_with = "hex")]
            /// Return address as an offset from the module's load address.
            pub offset: u64,
            $($(#[$fmeta])* pub $field: $type,)*
        }
    )*};
}

/// Figures of a machine by their names, bytes unless a name says otherwise.
pub type Figures<'a> = BTreeMap<Cow<'a, str>, u64>;

mod machine;
mod weights;

events! {
    /// First line of every file.
    Process {
        /// `MAJOR.MINOR` of the writer's schema.
        #[serde(borrow)] schema: Cow<'a, str>,
        /// Version of the writer.
        #[serde(borrow)] shim: Cow<'a, str>,
        /// `program` or `launcher`.
        #[serde(borrow)] role: Cow<'a, str>,
        /// Host name.
        #[serde(borrow)] host: Cow<'a, str>,
        /// Start time, clock ticks after boot.
        start: u64,
        /// Parent process id.
        ppid: u32,
        /// The pid that forked this process, 0 if none that was traced.
        forked_from: u32,
        /// CLOCK_REALTIME at `t`, ns.
        wall: u64,
        /// Page size, bytes.
        page: u64,
        /// Path of the executable.
        #[serde(borrow, default)] exe: Cow<'a, str>,
        /// `KVTRACE_LABEL`.
        #[serde(borrow, default)] label: Cow<'a, str>,
        /// Text of /proc/self/cgroup.
        #[serde(borrow, default)] cgroup: Cow<'a, str>,
        /// Variables that steer memory, secrets blanked.
        #[serde(default)] env: BTreeMap<String, String>,
        /// Arguments, secrets blanked.
        #[serde(default)] argv: Vec<String>,
    }
    /// A module that a later `mod` names.
    Module {
        /// Lowest mapped address.
        #[serde(deserialize_with = "hex")] base: u64,
        /// End of the highest mapping.
        #[serde(deserialize_with = "hex")] end: u64,
        /// File name.
        #[serde(borrow)] path: Cow<'a, str>,
        /// GNU build id in hex, empty if the module has none.
        #[serde(borrow, default)] build_id: Cow<'a, str>,
        /// The file behind `path`, its links followed: it often has the version in its name. Empty if it is the same.
        #[serde(borrow, default)] file: Cow<'a, str>,
    }
    /// A GPU, at its first use.
    Device {
        /// `driver` or `hip`: whose ordinal `dev` is.
        #[serde(borrow, default = "driver")] layer: Cow<'a, str>,
        /// CUDA or HIP ordinal.
        dev: i32,
        /// As the driver names it.
        #[serde(borrow)] name: Cow<'a, str>,
        /// Total memory, bytes.
        total: u64,
        /// Whether CPU and GPU share one memory.
        integrated: bool,
        /// Compute capability, major.
        cc_major: u32,
        /// Compute capability, minor.
        cc_minor: u32,
        /// Version as the driver says it: 13000 for CUDA 13.0.
        driver: u32,
        /// The GPU's UUID as NVML writes it, `GPU-...`; empty if it was not to be had.
        #[serde(borrow, default)] uuid: Cow<'a, str>,
        /// PCI address, `0000:01:00.0`; empty if it was not to be had.
        #[serde(borrow, default)] pci: Cow<'a, str>,
        /// The NUMA node that is this GPU's memory.
        #[serde(default)] numa_node: Option<u32>,
    }
    /// A line of the program's own output.
    Log {
        /// `stdout` or `stderr`.
        #[serde(borrow)] stream: Cow<'a, str>,
        /// The line.
        #[serde(borrow, default)] text: Cow<'a, str>,
    }
    /// The process is about to become another program.
    Exec {
        /// Its path, as given.
        #[serde(borrow)] path: Cow<'a, str>,
    }
    /// A reported figure was changed.
    Patch {
        /// Number of the query, or of the `file`, in the same file.
        of: u64,
        /// `free`, `total`, a line of /proc/meminfo, or a file of a control group.
        #[serde(borrow)] field: Cow<'a, str>,
        /// What the real function answered, bytes. No limit is 2^64 - 1.
        real: u64,
        /// What the program was told, bytes.
        reported: u64,
        /// What the rule alone would have told, where that was more than there can be.
        #[serde(default)] wanted: Option<u64>,
        /// The rule as the user wrote it.
        #[serde(borrow, default)] rule: Cow<'a, str>,
    }
    /// Events are missing.
    Dropped {
        /// How many.
        count: u64,
        /// Why.
        #[serde(borrow)] reason: Cow<'a, str>,
    }
    /// The writer could not do what it was told.
    Warning {
        /// What it did instead.
        #[serde(borrow)] text: Cow<'a, str>,
    }
}

calls! {
    /// The program asked for memory figures.
    Query {
        /// CUDA or HIP ordinal, -1 if the question is not about a device or is NVML's.
        dev: i32,
        /// NVML's index of the GPU.
        #[serde(default)] nvml: Option<u32>,
        /// NVML's index of the MIG device in the GPU, if it is one.
        #[serde(default)] mig: Option<u32>,
        /// Free memory as the program was told, bytes; absent if the function failed or does not tell it.
        #[serde(default)] free: Option<u64>,
        /// Total memory as the program was told, bytes.
        #[serde(default)] total: Option<u64>,
        /// Memory that driver and firmware keep, where the program was told that apart, bytes.
        #[serde(default)] reserved: Option<u64>,
    }
    /// Memory was taken.
    Alloc {
        /// `device`, `async`, `vmm`, `array`, `graph`, `vmm-host`, `managed`, `host`, `registered`, `foreign` or
        /// `vmm-foreign`.
        #[serde(borrow)] kind: Cow<'a, str>,
        /// CUDA or HIP ordinal, -1 if it was not to be found out.
        dev: i32,
        /// Bytes asked for.
        size: u64,
        /// Address or handle, 0 if the call failed.
        #[serde(deserialize_with = "hex")] ptr: u64,
        /// The pool of stream-ordered memory, 0 if there is none or it was not to be found out.
        #[serde(default, deserialize_with = "hex")] pool: u64,
    }
    /// Memory was given back.
    Free {
        /// As in the allocation.
        #[serde(borrow)] kind: Cow<'a, str>,
        /// Address or handle.
        #[serde(deserialize_with = "hex")] ptr: u64,
    }
    /// Physical memory was mapped, or a mapping removed (`handle` 0).
    Map {
        /// Begin of the range.
        #[serde(deserialize_with = "hex")] ptr: u64,
        /// Length, bytes.
        size: u64,
        /// The handle that was mapped.
        #[serde(default, deserialize_with = "hex")] handle: u64,
    }
    /// A handle of physical memory got another holder.
    Retain {
        /// The handle.
        #[serde(deserialize_with = "hex")] ptr: u64,
        /// An address that it is mapped at.
        #[serde(deserialize_with = "hex")] address: u64,
    }
    /// Managed memory was asked to move.
    Prefetch {
        /// Begin of the range.
        #[serde(deserialize_with = "hex")] ptr: u64,
        /// Length, bytes.
        size: u64,
        /// Where to: CUDA or HIP ordinal, -1 for the host.
        dev: i32,
    }
    /// A call about memory that takes and gives back none that could be counted.
    Noted {
        /// Address or handle that it is about, 0 if none.
        #[serde(deserialize_with = "hex")] ptr: u64,
        /// Bytes that it is about, 0 if none.
        size: u64,
        /// NVML's index of the GPU.
        #[serde(default)] nvml: Option<u32>,
        /// NVML's index of the MIG device in the GPU, if it is one.
        #[serde(default)] mig: Option<u32>,
        /// UUID or PCI bus id by which NVML was asked for a device.
        #[serde(borrow, default)] id: Cow<'a, str>,
        /// Entries of the list that NVML was asked for.
        #[serde(default)] count: Option<u32>,
        /// Device memory of this process as NVML says, bytes.
        #[serde(default)] own: Option<u64>,
        /// Device memory of the other processes as NVML says, bytes.
        #[serde(default)] others: Option<u64>,
        /// The limit that was asked for: `as`, `data`, `memlock`; empty for every other call.
        #[serde(borrow, default)] limit: Cow<'a, str>,
        /// Its soft value in bytes, if it is limited.
        #[serde(default)] soft: Option<u64>,
        /// Its hard value in bytes, if it is limited.
        #[serde(default)] hard: Option<u64>,
    }
    /// A memory file was opened.
    File {
        /// Path as given.
        #[serde(borrow)] path: Cow<'a, str>,
        /// Its content at that moment, cut to what fits; absent where a `view` follows.
        #[serde(borrow, default)] content: Cow<'a, str>,
    }
    /// The process made a child.
    Fork {
        /// Its pid.
        child: u32,
    }
}

/// What the driver holds for stream-ordered memory or for graphs has changed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Pool {
    /// Handle, 0 for the memory that a device holds for graphs.
    #[serde(deserialize_with = "hex")]
    pub pool: u64,
    /// CUDA or HIP ordinal, -1 for a pool that is gone.
    pub dev: i32,
    /// Bytes taken from the device.
    pub reserved: u64,
    /// Bytes of them that are allocated, as the driver counts.
    pub used: u64,
    /// Whether the pool was destroyed. What is allocated of it stays until it is freed, and its handle may be given to
    /// another pool.
    #[serde(default)]
    pub gone: bool,
}

/// A process that `kvtrace run` started has ended.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Exit {
    /// Its pid.
    pub child: u32,
    /// Exit code, if it exited.
    #[serde(default)]
    pub code: Option<i32>,
    /// Signal, if one killed it.
    #[serde(default)]
    pub signal: Option<i32>,
}

/// Page cache of files of weights was given back, before the question that follows.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Evict {
    /// Files of which pages were given back.
    pub files: u64,
    /// Bytes of them that were in the page cache.
    pub cached: u64,
    /// Bytes of them that still were afterwards.
    pub left: u64,
    /// Files that were left alone: they have pages to be written back, or the kernel does not say.
    pub skipped: u64,
}

/// Before HIP had a layer, every device was of CUDA's driver.
fn driver() -> Cow<'static, str> {
    Cow::Borrowed("driver")
}
