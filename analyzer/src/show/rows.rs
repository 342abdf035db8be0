//! The rows of the answer's tables, as JSON has them.

use crate::scene::Line;
use crate::symbols::Native;
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Debug, Serialize)]
pub struct ProcessRow {
    pub pid: u32,
    pub parent: u32,
    /// Distance from the root of the traced tree.
    pub depth: u32,
    pub role: &'static str,
    pub exe: String,
    pub command: String,
    pub host: String,
    /// The process whose memory image this one began as, 0 if it began by exec.
    pub forked_from: u32,
    /// Of the header, ns since 1970.
    pub started_unix_ns: u64,
    /// All of /proc/self/cgroup.
    pub cgroup: String,
    /// The group that the memory controller of either version knows.
    pub memory_cgroup: String,
    /// The variables that steer memory, secrets blanked.
    pub environment: BTreeMap<String, String>,
    /// What it held at its end, or at the end of the trace, by kind.
    pub live_bytes: BTreeMap<&'static str, u64>,
    pub device_live_bytes: u64,
    pub device_peak_bytes: u64,
    pub events: u64,
}

#[derive(Debug, Serialize)]
pub struct DeviceRow {
    pub evidence: String,
    pub ordinal: i32,
    pub name: String,
    pub total_bytes: u64,
    pub integrated: bool,
    /// 13000 for CUDA 13.0.
    pub driver: u32,
}

/// A memory file of the kernel that the program opened.
#[derive(Debug, Serialize)]
pub struct FileRow {
    pub evidence: String,
    pub seconds: f64,
    pub path: String,
    pub function: String,
    pub native: Native,
}

/// Page cache of files of weights, given back.
#[derive(Debug, Serialize)]
pub struct EvictionRow {
    pub evidence: String,
    pub files: u64,
    /// In the page cache before.
    pub cached_bytes: u64,
    /// And afterwards.
    pub left_bytes: u64,
    /// Files that were left alone: they have pages to be written back, or the kernel does not say.
    pub skipped: u64,
}

#[derive(Debug, Serialize)]
pub struct QueryRow {
    pub evidence: String,
    /// Since the first header of the trace.
    pub seconds: f64,
    /// `A`, `B` or `C` of the decision.
    pub role: &'static str,
    pub function: String,
    pub native: Native,
    /// The innermost line of Python that does not only pass the question on.
    pub line: Option<Line>,
    /// Innermost first.
    pub stack: Vec<Line>,
    pub free_bytes: Option<u64>,
    pub total_bytes: Option<u64>,
    /// What the real function answered, where the answer was patched.
    pub unpatched_free_bytes: Option<u64>,
    pub rc: i64,
    /// What the process that asked held just then, by kind.
    pub live_bytes: BTreeMap<&'static str, u64>,
    /// What of it was on the device.
    pub device_live_bytes: u64,
    /// On the device just then, by all processes of the trace.
    pub all_device_live_bytes: u64,
    pub machine: Option<Machine>,
}

/// The machine beside a query.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    pub evidence: String,
    pub mem_free_bytes: Option<u64>,
    pub mem_available_bytes: Option<u64>,
    pub cached_bytes: Option<u64>,
    pub cgroup_path: String,
    pub cgroup_max_bytes: Option<u64>,
    pub cgroup_current_bytes: Option<u64>,
}
