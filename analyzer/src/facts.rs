//! What does not change while a run lasts: kernel, driver, parameters, and the signs of a container.
//!
//! No sign decides alone: images leave marker files behind, and a host may have namespaces. Each is told with what it
//! says.

use crate::load::Trace;
use crate::load::events::ProcessIndex;
use crate::load::machine::Fact;
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Debug, Serialize)]
pub struct Facts {
    /// Kernel, driver, and the parameters that bear on memory.
    pub machine: Vec<Row>,
    pub signs: Vec<Sign>,
    /// Libraries of a GPU, a tensor framework or a serving runtime, each file once.
    pub libraries: Vec<Library>,
    /// Everything that was written, by name; where processes differ, all texts.
    pub all: BTreeMap<String, Vec<Told>>,
    pub missing: Vec<MissingRow>,
    /// The same, what goes together in one row.
    pub missing_together: Vec<MissingTogether>,
}

/// A fact as it was written.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    pub text: String,
    /// The file that it comes from.
    pub source: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    pub name: String,
    pub value: String,
    pub evidence: String,
}

/// One sign by which a container may be told.
#[derive(Debug, Serialize)]
pub struct Sign {
    pub sign: &'static str,
    pub found: String,
    pub says: Says,
    pub evidence: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Says {
    Container,
    NoContainer,
    Nothing,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Library {
    pub path: String,
    /// What the path leads to, where that is another name: it often holds the version.
    pub file: String,
    pub build_id: String,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct MissingRow {
    pub what: String,
    pub source: String,
    pub reason: String,
    /// In how many processes.
    pub processes: u64,
    pub evidence: String,
}

/// Texts kept of one fact.
const MOST_TEXTS: usize = 16;
/// What is missing of one kind for one reason.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct MissingTogether {
    /// `dmi`, or the whole name where it is alone.
    pub kind: String,
    pub reason: String,
    /// The files, or the names where no files are named.
    pub sources: Vec<String>,
}

/// Facts shown as they stand.
const PLAIN: [(&str, &str); 16] = [
    ("kernel.release", "kernel"),
    ("kernel.boot_id", "boot"),
    ("nvidia.module", "NVIDIA kernel module"),
    ("dmi.product_name", "machine"),
    ("dmi.bios_version", "firmware"),
    ("vm.min_free_kbytes", "vm.min_free_kbytes"),
    ("vm.watermark_scale_factor", "vm.watermark_scale_factor"),
    ("vm.watermark_boost_factor", "vm.watermark_boost_factor"),
    ("vm.overcommit_memory", "vm.overcommit_memory"),
    ("vm.swappiness", "vm.swappiness"),
    ("vm.zone_reclaim_mode", "vm.zone_reclaim_mode"),
    ("thp.enabled", "transparent huge pages"),
    ("swaps", "swap devices"),
    ("numa.online", "NUMA nodes"),
    ("mount.shm", "/dev/shm"),
    ("nvidia.version", "NVIDIA driver"),
];
/// Words of the kernel's command line that change what memory there is.
const COMMAND_LINE: [&str; 18] = [
    "amd_iommu",
    "amdgpu.",
    "amdttm.",
    "cgroup",
    "cma",
    "default_hugepagesz",
    "hugepages",
    "init_on_",
    "intel_iommu",
    "iommu",
    "kho",
    "mem=",
    "movablecore",
    "numa",
    "nvidia.",
    "swapaccount",
    "transparent_hugepage",
    "ttm.",
];
/// Parameters of NVIDIA's module that do.
const DRIVER: [&str; 6] = [
    "CoherentGPUMemoryMode",
    "RegistryDwords",
    "RegistryDwordsPerDevice",
    "OpenRmEnableUnsupportedGpus",
    "EnableUserNUMAManagement",
    "UsePageAttributeTable",
];
/// Numbers that the kernel gives its own first namespaces (include/linux/proc_ns.h).
const FIRST: [(&str, &str, &str); 5] = [
    ("ns.pid", "PID namespace", "pid:[4026531836]"),
    ("ns.cgroup", "cgroup namespace", "cgroup:[4026531835]"),
    ("ns.user", "user namespace", "user:[4026531837]"),
    ("ns.uts", "UTS namespace", "uts:[4026531838]"),
    ("ns.ipc", "IPC namespace", "ipc:[4026531839]"),
];
const GROUP_NAMES: [&str; 7] = ["docker", "kubepods", "libpod", "containerd", "crio", "lxc", "buildkit"];

pub fn of(trace: &Trace) -> Facts {
    let facts = &trace.seen.facts;
    let mut all: BTreeMap<String, Vec<Told>> = BTreeMap::new();
    for fact in facts {
        let texts = all.entry(fact.name.clone()).or_default();
        let told = Told { text: fact.text.clone(), source: fact.source.clone() };
        if !texts.contains(&told) && texts.len() < MOST_TEXTS {
            texts.push(told);
        }
    }
    let missing = missing(trace);
    Facts {
        machine: machine(trace),
        signs: signs(trace),
        libraries: libraries(trace, None),
        all,
        missing_together: together(&missing),
        missing,
    }
}

/// The first process that tells.
fn find<'t>(trace: &'t Trace, name: &str) -> Option<&'t Fact> {
    trace.seen.facts.iter().find(|fact| fact.name == name)
}

fn machine(trace: &Trace) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row = |name: String, value: String, fact: &Fact| {
        rows.push(Row { name, value, evidence: trace.evidence(fact.process, fact.n) });
    };
    for (name, shown) in PLAIN {
        if let Some(fact) = find(trace, name) {
            let value = match name {
                // `always [madvise] never`
                "thp.enabled" => chosen(&fact.text),
                "swaps" => swaps(&fact.text),
                "nvidia.version" => fact.text.lines().next().unwrap_or_default().trim().to_owned(),
                _ => fact.text.trim().to_owned(),
            };
            row(shown.into(), value, fact);
        }
    }
    if let Some(fact) = find(trace, "kernel.uptime") {
        let seconds = fact.text.split_whitespace().next().and_then(|text| text.parse::<f64>().ok());
        if let Some(seconds) = seconds.filter(|seconds| seconds.is_finite()) {
            row("uptime".into(), format!("{:.1} h", seconds / 3600.0), fact);
        }
    }
    if let Some(fact) = find(trace, "kernel.cmdline") {
        let words =
            fact.text.split_whitespace().filter(|word| COMMAND_LINE.iter().any(|start| word.starts_with(start)));
        let words: Vec<&str> = words.collect();
        let words = if words.is_empty() { "nothing that bears on memory".to_owned() } else { words.join(" ") };
        row("kernel command line".into(), words, fact);
    }
    for (name, separator) in [("nvidia.params", ':'), ("nvidia.parameters", '=')] {
        let Some(fact) = find(trace, name) else { continue };
        for (key, value) in fact.text.lines().filter_map(|line| line.split_once(separator)) {
            let (key, value) = (key.trim().trim_start_matches("NVreg_"), value.trim().trim_matches('"'));
            if DRIVER.contains(&key) && !matches!(value, "" | "(null)") {
                row(format!("NVIDIA {key}"), value.to_owned(), fact);
            }
        }
    }
    rows.dedup_by(|a, b| a.name == b.name && a.value == b.value);
    rows
}

/// The word in brackets.
fn chosen(text: &str) -> String {
    let inner = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    inner.map_or_else(|| text.trim().to_owned(), |(word, _)| word.to_owned())
}

/// The first line is a header.
fn swaps(text: &str) -> String {
    let names: Vec<&str> = text.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    if names.is_empty() { "none".into() } else { names.join(" ") }
}

fn signs(trace: &Trace) -> Vec<Sign> {
    use Says::{Container, NoContainer, Nothing};
    let mut signs = Vec::new();
    let mut sign = |sign, found: String, says, evidence| signs.push(Sign { sign, found, says, evidence });
    let evidence = |fact: &Fact| trace.evidence(fact.process, fact.n);
    for (name, shown) in [("marker.dockerenv", "/.dockerenv"), ("marker.containerenv", "/run/.containerenv")] {
        if let Some(fact) = find(trace, name) {
            // Other runtimes leave none of them.
            let says = if fact.text == "present" { Container } else { Nothing };
            sign(shown, fact.text.clone(), says, evidence(fact));
        }
    }
    if let Some(fact) = find(trace, "mount.root") {
        let kind = fact.text.split(' ').nth(3).unwrap_or_default();
        let says = if matches!(kind, "overlay" | "fuse.fuse-overlayfs" | "aufs") { Container } else { Nothing };
        sign("file system of /", kind.to_owned(), says, evidence(fact));
    }
    for (name, shown, first) in FIRST {
        if let Some(fact) = find(trace, name) {
            let own = fact.text.trim() != first;
            let found = if own { "one of its own" } else { "the machine's first" };
            sign(shown, found.into(), if own { Container } else { NoContainer }, evidence(fact));
        }
    }
    if let Some(fact) = find(trace, "status.NSpid") {
        let levels = fact.text.split_whitespace().count();
        let says = if levels > 1 { Container } else { Nothing };
        sign(
            "process ids (NSpid)",
            format!("{levels} level{}", if levels == 1 { "" } else { "s" }),
            says,
            evidence(fact),
        );
    }
    if let Some(fact) = find(trace, "process.uid_map") {
        let whole = fact.text.split_whitespace().eq(["0", "0", "4294967295"]);
        let found = if whole { "as on the machine" } else { "mapped" };
        sign("user ids (uid_map)", found.into(), if whole { Nothing } else { Container }, evidence(fact));
    }
    if let Some(fact) = find(trace, "status.Seccomp") {
        let filtered = fact.text.trim() == "2";
        // Services of systemd and sandboxes have filters too.
        sign(
            "system calls (Seccomp)",
            if filtered { "filtered" } else { "not filtered" }.into(),
            Nothing,
            evidence(fact),
        );
    }
    if let Some((at, process)) = trace.processes.iter().enumerate().find(|(_, process)| !process.launcher) {
        let named = GROUP_NAMES.iter().find(|name| process.cgroup.contains(**name));
        let found = match named {
            Some(name) => format!("its path names {name}"),
            None => "its path names no container runtime".into(),
        };
        let says = if named.is_some() { Container } else { Nothing };
        sign("control group", found, says, trace.evidence(at as u32, 1));
    }
    signs
}

/// Each file once, of one process or of all.
pub fn libraries(trace: &Trace, process: Option<ProcessIndex>) -> Vec<Library> {
    let mut list: Vec<Library> = Vec::new();
    let loaded = trace.seen.loaded.iter();
    for loaded in loaded.filter(|loaded| process.is_none_or(|process| process == loaded.process)) {
        let (file, build_id) = (loaded.file.clone(), loaded.build_id.clone());
        let library = Library { path: trace.module(loaded.module).to_owned(), file, build_id };
        if !library.path.is_empty() {
            list.push(library);
        }
    }
    list.sort_by(|a, b| (&a.path, &a.file, &a.build_id).cmp(&(&b.path, &b.file, &b.build_id)));
    list.dedup();
    list
}

/// Each thing once, with the number of processes that lacked it.
fn missing(trace: &Trace) -> Vec<MissingRow> {
    let mut rows: BTreeMap<(&str, &str, &str), MissingRow> = BTreeMap::new();
    for missing in &trace.seen.missing {
        let key = (missing.what.as_str(), missing.source.as_str(), missing.reason.as_str());
        rows.entry(key).and_modify(|row| row.processes += 1).or_insert_with(|| MissingRow {
            what: missing.what.clone(),
            source: missing.source.clone(),
            reason: missing.reason.clone(),
            processes: 1,
            evidence: trace.evidence(missing.process, missing.n),
        });
    }
    rows.into_values().collect()
}

fn together(missing: &[MissingRow]) -> Vec<MissingTogether> {
    let mut kinds: BTreeMap<(&str, &str), Vec<&MissingRow>> = BTreeMap::new();
    for row in missing {
        let kind = row.what.split('.').next().unwrap_or_default();
        kinds.entry((kind, &row.reason)).or_default().push(row);
    }
    let rows = kinds.into_iter().map(|((kind, reason), rows)| {
        let source = |row: &&MissingRow| if row.source.is_empty() { row.what.clone() } else { row.source.clone() };
        let kind = if let [row] = rows.as_slice() { row.what.clone() } else { kind.to_owned() };
        MissingTogether { kind, reason: reason.to_owned(), sources: rows.iter().map(source).collect() }
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_out_of_the_kernel_s_texts() {
        assert_eq!(chosen("always [madvise] never\n"), "madvise");
        assert_eq!(chosen("odd"), "odd");
        assert_eq!(swaps("Filename Type Size Used Priority\n"), "none");
        assert_eq!(swaps("Filename Type\n/swap.img file 8 0 -2\n/dev/zram0 partition\n"), "/swap.img /dev/zram0");
    }
}
