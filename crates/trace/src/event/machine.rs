//! What the machine looked like: beside a query, once per process, or seen by the launcher.

use super::Figures;
use serde::Deserialize;
use std::borrow::Cow;

events! {
    /// What the machine looked like beside a query.
    View {
        /// Number of the query or file event in the same file.
        of: u64,
        /// /proc/meminfo, bytes (HugePages_* as they stand).
        meminfo: Figures<'a>,
        /// 1 or 2; 0 if no memory controller was found.
        cgroup_version: u32,
        /// Directory that the figures come from.
        #[serde(borrow, default)] cgroup_path: Cow<'a, str>,
        /// The process's own group: see `docs/trace-format.md`. A limit that is not set is absent.
        #[serde(default)] cgroup: Figures<'a>,
        /// `rss_anon`, `rss_file`, `rss_shmem` of the process, bytes.
        #[serde(default, rename = "self")] own: Figures<'a>,
        /// Soft limits that are set: `as`, `data`, `memlock`, bytes.
        #[serde(default)] limits: Figures<'a>,
        /// How long this and the events that go with it took, ns; 0 in older traces.
        #[serde(default)] cost: u64,
    }
    /// A memory zone of the kernel.
    Zone {
        /// Number of the query.
        of: u64,
        /// NUMA node.
        node: u32,
        /// `DMA`, `DMA32`, `Normal`, `Movable`, ...
        #[serde(borrow)] zone: Cow<'a, str>,
        /// `free`, the watermarks `min`, `low`, `high` and `boost`, `managed`, `present`, `cma_free`, and `blocks`: what
        /// of `free` is in blocks of 2 MiB (order 9 of 4 KiB pages) and larger. Bytes.
        figures: Figures<'a>,
    }
    /// A control group above the process's own.
    Group {
        /// Number of the query.
        of: u64,
        /// Steps up from the process's own group, from 1.
        level: u32,
        /// 1 or 2.
        version: u32,
        /// Its directory.
        #[serde(borrow)] path: Cow<'a, str>,
        /// As in `cgroup` of a view.
        figures: Figures<'a>,
    }
    /// Memory of the NUMA node that a GPU is.
    Node {
        /// Number of the query.
        of: u64,
        /// The node.
        node: u32,
        /// As in /proc/meminfo, bytes.
        meminfo: Figures<'a>,
    }
    /// Who uses a GPU's memory, as NVML says.
    Usage {
        /// Number of the query.
        of: u64,
        /// NVML's index of the GPU.
        nvml: u32,
        /// Its UUID.
        #[serde(borrow, default)] uuid: Cow<'a, str>,
        /// Processes that NVML lists.
        count: u32,
        /// Bytes that it lists for this process; absent if it does not list it.
        #[serde(default)] own: Option<u64>,
        /// Bytes that it lists for all others together.
        #[serde(default)] others: Option<u64>,
        /// Whether NVML's pids are those of this process's PID namespace; absent if that is not known.
        #[serde(default)] same_pids: Option<bool>,
        /// Free memory of the GPU as NVML says, bytes; absent where it does not (unified memory).
        #[serde(default)] free: Option<u64>,
        /// Its total.
        #[serde(default)] total: Option<u64>,
    }
    /// Memory of an AMD GPU, as its kernel driver says.
    Card {
        /// Number of the query.
        of: u64,
        /// `card0`.
        #[serde(borrow)] card: Cow<'a, str>,
        /// `vram_total`, `vram_used`, `vis_vram_total`, `vis_vram_used`, `gtt_total`, `gtt_used`, `ttm_pages_limit`
        /// (in bytes too).
        figures: Figures<'a>,
    }
    /// The Python stack of a query.
    Stack {
        /// Number of the query.
        of: u64,
        /// Version of CPython, `3.12`.
        #[serde(borrow)] python: Cow<'a, str>,
        /// Innermost first. Outer ones may be missing; the line then says `cut`.
        frames: Vec<Frame>,
    }
    /// Something that does not change while a process runs.
    Fact {
        /// Its name: see `docs/trace-format.md`.
        #[serde(borrow)] name: Cow<'a, str>,
        /// The file that it comes from; empty if it comes from no file.
        #[serde(borrow, default)] source: Cow<'a, str>,
        /// As it stands there.
        #[serde(borrow)] text: Cow<'a, str>,
    }
    /// A figure or a fact that was not to be had. Written once per process and thing.
    Missing {
        /// Which view or fact: `zones`, `nvidia.params`, ...
        #[serde(borrow)] what: Cow<'a, str>,
        /// The file, if it is one.
        #[serde(borrow, default)] source: Cow<'a, str>,
        /// Why: the name of an error number such as `EACCES`, or words.
        #[serde(borrow)] reason: Cow<'a, str>,
    }
    /// The machine and a traced tree between queries, seen from outside.
    Sample {
        /// /proc/meminfo, bytes.
        meminfo: Figures<'a>,
        /// Living processes of the tree.
        processes: u32,
        /// `rss_anon`, `rss_file`, `rss_shmem`, summed over them, bytes.
        #[serde(default, rename = "self")] own: Figures<'a>,
        /// Directory of the control group of the traced program.
        #[serde(borrow, default)] cgroup_path: Cow<'a, str>,
        /// As in a view.
        #[serde(default)] cgroup: Figures<'a>,
    }
}

/// One Python function on the stack.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Frame {
    /// File, as Python names it.
    pub file: String,
    /// Line being run; 0 if it was not to be found out.
    pub line: u32,
    /// Function, qualified by its class where Python knows that.
    pub func: String,
}
