//! Host memory, where it is the GPU's memory too: what the kernel's counters name.
//!
//! Every line counts pages that no other line counts (see `residual`). A GPU whose memory is a NUMA node has counters of
//! its own there.

use super::{Part, Scope, Terms};
use crate::decision::Confidence;
use crate::load::machine::Figures;
use crate::page_cache;
use crate::residual;

struct Group {
    key: &'static str,
    title: &'static str,
    lines: &'static [&'static str],
}

/// Lines of the residual's sum but for those of files.
const GROUPS: [Group; 4] = [
    Group { key: "anonymous_memory", title: "anonymous memory of all processes", lines: &["AnonPages", "SwapCached"] },
    Group { key: "slab", title: "kernel: slab", lines: &["KReclaimable", "SReclaimable", "SUnreclaim", "Slab"] },
    Group {
        key: "kernel_memory",
        title: "kernel: page tables, stacks and others",
        lines: &[
            "PageTables",
            "SecPageTables",
            "KernelStack",
            "VmallocUsed",
            "Percpu",
            "Zswap",
            "Bounce",
            "WritebackTmp",
            "HardwareCorrupted",
        ],
    },
    Group { key: "huge_pages", title: "kernel: huge pages set aside", lines: &["Hugetlb", "HugePages_Total"] },
];
/// Lines of a GPU's own memory: what drivers hold, as the residual is.
const GPU: [&str; 2] = ["GPUActive", "GPUReclaim"];

/// What the kernel says of the memory that it shares with the GPU. Bytes.
#[derive(Debug, Clone, Copy)]
pub struct Kernel {
    /// In use, and in no line but a GPU's: what drivers hold.
    pub residual: i128,
    /// In use: `MemTotal - MemFree`.
    pub used: i128,
}

/// Adds the host's terms, if host memory is device memory here and the kernel was seen beside the query.
pub fn terms(scope: &Scope, terms: &mut Terms) -> Option<Kernel> {
    let integrated = scope.integrated();
    let Some(view) = scope.view else {
        if integrated != Some(false) {
            let text = "no view of the machine lies beside the query: host memory cannot be told from the rest";
            terms.notes.push(text.into());
        }
        return None;
    };
    let unified = match integrated {
        Some(true) => true,
        Some(false) => view.around.nodes.len() == 1,
        None => {
            terms.notes.push("the trace describes no GPU: whether host memory is its memory is not known".into());
            false
        }
    };
    if !unified {
        return None;
    }
    let node = (integrated == Some(false)).then(|| view.around.nodes.first().map(|(_, figures)| as_machine(figures)));
    let meminfo = node.flatten().unwrap_or_else(|| view.meminfo.clone());
    let found = if integrated == Some(true) { residual::read(view) } else { residual::from(&meminfo) };
    let residual = match found {
        Ok(residual) => residual,
        Err(why) => {
            terms.notes.push(format!("host memory cannot be booked: {why}"));
            return None;
        }
    };
    let of = |name: &str| residual.parts.iter().find(|part| part.line == name).map_or(0, |part| i128::from(part.bytes));
    let shared = i128::from(meminfo.get("Shmem").copied().unwrap_or(0)).min(of("Cached"));
    let cache = of("Cached") + of("Buffers") - shared;
    if let Some(term) = terms.add("page_cache", "page cache", cache, Confidence::Observed, scope.viewed())
        && integrated == Some(true)
    {
        term.parts = by_file(scope, cache);
    }
    terms.add("shared_memory", "shared memory (tmpfs)", shared, Confidence::Observed, scope.viewed());
    for group in &GROUPS {
        let lines = group.lines.iter().map(|line| (*line, of(line))).filter(|(_, bytes)| *bytes != 0);
        let lines: Vec<(&str, i128)> = lines.collect();
        let bytes = lines.iter().map(|(_, bytes)| bytes).sum();
        let Some(term) = terms.add(group.key, group.title, bytes, Confidence::Observed, scope.viewed()) else {
            continue;
        };
        let part = |title: String, bytes: i128| Part { title, bytes, evidence: scope.viewed() };
        let own = i128::from(view.own.get("rss_anon").copied().unwrap_or(0)).min(bytes);
        term.parts = match () {
            () if group.key == "anonymous_memory" && own > 0 && integrated == Some(true) => {
                vec![part("of the serving process".into(), own), part("of other processes".into(), bytes - own)]
            }
            () if lines.len() > 1 => lines.iter().map(|(line, bytes)| part((*line).into(), *bytes)).collect(),
            () => Vec::new(),
        };
    }
    let line = |name: &str| i128::from(meminfo.get(name).copied().unwrap_or(0));
    let gpu: i128 = GPU.iter().map(|line| of(line)).sum();
    Some(Kernel { residual: residual.bytes + gpu, used: line("MemTotal") - line("MemFree") })
}

/// Figures of a NUMA node under the names of /proc/meminfo.
fn as_machine(node: &Figures) -> Figures {
    let mut figures = node.clone();
    let of = |name: &str| node.get(name).copied();
    if let Some(files) = of("FilePages") {
        // A node does not tell its buffers apart.
        figures.insert("Cached".into(), files.saturating_sub(of("SwapCached").unwrap_or(0)));
        figures.entry("Buffers".into()).or_insert(0);
    }
    figures
}

/// Whose pages the page cache holds. Sums to `cache`.
fn by_file(scope: &Scope, cache: i128) -> Vec<Part> {
    let Some(found) = page_cache::of(scope.trace, scope.query) else { return Vec::new() };
    let mut rest = cache;
    let mut parts = Vec::new();
    let mut part = |title: String, bytes: u64, evidence: Vec<String>| {
        // Files are read at other moments than the sum: no part takes more than is left of it.
        let bytes = i128::from(bytes).min(rest);
        if bytes > 0 {
            rest -= bytes;
            parts.push(Part { title, bytes, evidence });
        }
    };
    for file in &found.files {
        if let Some(now) = &file.now {
            part(file.path.clone(), now.cached_bytes, vec![now.evidence.clone()]);
        }
    }
    if let Some(group) = &found.libraries {
        let title = format!("{} other mapped files", group.files);
        part(title, group.cached_bytes, vec![group.evidence.clone()]);
    }
    part("buffers".into(), found.buffers_bytes, scope.viewed());
    if !parts.is_empty() && rest > 0 {
        parts.push(Part { title: "other files".into(), bytes: rest, evidence: scope.viewed() });
    }
    parts
}
