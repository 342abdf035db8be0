//! The memory that no line of /proc/meminfo shows.
//!
//! `MemTotal - MemFree -` every line that counts pages which no other line counts. Which those are follows from where
//! the kernel takes them (fs/proc/meminfo.c, mm/vmstat.c, as of Linux 6.17):
//!
//! * `Cached` is file pages without `Buffers` and `SwapCached`, and has `Shmem` in it. `Mapped`, `Dirty`, `Writeback`,
//!   `Mlocked`, `Unevictable`, the LRU lines and the huge-page lines of anonymous, shared and file memory are other
//!   cuts through the same pages.
//! * `KReclaimable` is `SReclaimable` and what else the kernel can give back; `Slab` is `SReclaimable` + `SUnreclaim`.
//! * Kernel stacks are allocated by vmalloc wherever they have guard pages, so that `VmallocUsed` has `KernelStack` in
//!   it there: the larger of both is taken, and the smaller is uncertain.
//! * A page of `SwapCached` that is mapped is in `AnonPages` too: it is taken, and uncertain.
//! * `Hugetlb` has the pages of all sizes; older kernels tell the default size only, as a number of pages.
//! * `Unaccepted` and `CmaFree` are part of `MemFree`; `CmaTotal` is a reservation, not a use. `Balloon` is taken off
//!   `MemTotal` already, `Zswapped` is what `Zswap` would be without compression.
//!
//! What is left: memory of drivers that ask the page allocator directly (a GPU's, where CPU and GPU share one memory),
//! buffers of network and disk drivers, zram.

use crate::load::Trace;
use crate::load::machine::{Figures, View};
use serde::Serialize;

/// Lines that count pages of their own.
const LINES: [&str; 16] = [
    "Buffers",
    "Cached",
    "SwapCached",
    "AnonPages",
    "KReclaimable",
    "SUnreclaim",
    "PageTables",
    "SecPageTables",
    "Percpu",
    "Zswap",
    "Bounce",
    "WritebackTmp",
    "HardwareCorrupted",
    "Hugetlb",
    "GPUActive",
    "GPUReclaim",
];
/// Without these there is no sum to speak of.
const NEEDED: [&str; 5] = ["MemTotal", "MemFree", "Buffers", "Cached", "AnonPages"];

/// A share of the used memory.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    /// Line of /proc/meminfo.
    pub line: &'static str,
    pub bytes: u64,
}

#[derive(Debug, Clone, Serialize)]
pub struct Residual {
    /// Less than 0 where lines overlap in a way that is not known.
    pub bytes: i128,
    /// It may be larger by this: pages that two lines may have counted.
    pub uncertain_bytes: u64,
    /// What was taken off `MemTotal - MemFree`.
    pub parts: Vec<Part>,
    /// On unified memory: what the trace and NVML know of it.
    pub compared: Option<Compared>,
    /// Why it was not compared.
    pub not_compared: Option<&'static str>,
}

/// The residual beside the device memory that is known. Bytes.
#[derive(Debug, Clone, Serialize)]
pub struct Compared {
    /// Held on the device by the processes of the trace.
    pub traced_bytes: u64,
    /// Listed by NVML for all processes.
    pub nvml_bytes: Option<u64>,
    /// The residual less the larger of both.
    pub left_bytes: i128,
}

/// Works it out from a view.
///
/// # Errors
/// In words: why there is none.
pub fn of(trace: &Trace, view: &View, traced: u64) -> Result<Residual, String> {
    let mut residual = read(view)?;
    match compare(trace, view, traced, residual.bytes) {
        Ok(compared) => residual.compared = Some(compared),
        Err(why) => residual.not_compared = Some(why),
    }
    Ok(residual)
}

/// Of the whole machine, not compared with anything.
///
/// # Errors
/// In words: why there is none.
pub fn read(view: &View) -> Result<Residual, String> {
    let total = view.meminfo.get("MemTotal").copied();
    let groups = view.around.groups.iter().map(|group| &group.figures).chain([&view.cgroup]);
    if groups.filter_map(|figures| figures.get("max").copied()).any(|max| Some(max) == total) {
        return Err("MemTotal is the control group's limit: something answers for the kernel (lxcfs)".into());
    }
    from(&view.meminfo)
}

fn compare(trace: &Trace, view: &View, traced: u64, residual: i128) -> Result<Compared, &'static str> {
    // Where the simulated machine's memory is what programs see, it is complete.
    let total = view.meminfo.get("MemTotal").copied();
    if trace.simulated() && !trace.devices.iter().any(|device| device.integrated && Some(device.total) == total) {
        return Err("it is simulated, and takes nothing of this machine's memory");
    }
    match trace.integrated() {
        None => return Err("the trace describes no GPU"),
        Some(false) => return Err("it has memory of its own, which /proc/meminfo does not count"),
        Some(true) => {}
    }
    let listed = |usage: &crate::load::machine::Usage| match (usage.own, usage.others) {
        (None, None) => None,
        (own, others) => Some(own.unwrap_or(0).saturating_add(others.unwrap_or(0))),
    };
    let sums: Vec<u64> = view.around.usage.iter().filter_map(listed).collect();
    let nvml = (!sums.is_empty()).then(|| sums.iter().fold(0u64, |sum, bytes| sum.saturating_add(*bytes)));
    let known = traced.max(nvml.unwrap_or(0));
    Ok(Compared { traced_bytes: traced, nvml_bytes: nvml, left_bytes: residual - i128::from(known) })
}

/// Of figures under the names of /proc/meminfo.
///
/// # Errors
/// In words: which line is missing.
pub fn from(meminfo: &Figures) -> Result<Residual, String> {
    let line = |name: &str| meminfo.get(name).copied();
    if let Some(lacking) = NEEDED.iter().find(|name| line(name).is_none()) {
        return Err(format!("/proc/meminfo has no line {lacking}"));
    }
    let of = |name: &str| line(name).unwrap_or(0);
    let mut parts: Vec<Part> = Vec::new();
    let mut take = |line: &'static str, bytes: u64| {
        if bytes > 0 {
            parts.push(Part { line, bytes });
        }
    };
    for name in LINES {
        take(name, of(name));
    }
    // Kernels before 4.20 lack the line, and have nothing else in it.
    if line("KReclaimable").is_none() {
        take("SReclaimable", of("SReclaimable"));
    }
    if line("SUnreclaim").is_none() {
        take("Slab", of("Slab").saturating_sub(of("SReclaimable")));
    }
    if line("Hugetlb").is_none() {
        take("HugePages_Total", of("HugePages_Total").saturating_mul(of("Hugepagesize")));
    }
    let (stacks, vmalloc) = (of("KernelStack"), of("VmallocUsed"));
    match vmalloc >= stacks {
        true => take("VmallocUsed", vmalloc),
        false => take("KernelStack", stacks),
    }
    let used = i128::from(of("MemTotal")) - i128::from(of("MemFree"));
    let counted: i128 = parts.iter().map(|part| i128::from(part.bytes)).sum();
    let uncertain_bytes = of("SwapCached").saturating_add(stacks.min(vmalloc));
    Ok(Residual { bytes: used - counted, uncertain_bytes, parts, compared: None, not_compared: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meminfo(lines: &[(&str, u64)]) -> Figures {
        let base = [("MemTotal", 1000), ("MemFree", 100), ("Buffers", 10), ("Cached", 200), ("AnonPages", 300)];
        base.iter().chain(lines).map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn no_page_is_taken_off_twice() {
        let bytes = |lines: &[(&str, u64)]| from(&meminfo(lines)).unwrap().bytes;
        assert_eq!(bytes(&[]), 290 + 100);
        // Within Cached, within MemFree, other cuts.
        let within =
            [("Shmem", 50), ("CmaFree", 20), ("CmaTotal", 30), ("Unaccepted", 9), ("Mapped", 70), ("Dirty", 1)];
        assert_eq!(bytes(&within), 390);
        assert_eq!(bytes(&[("Slab", 30), ("SReclaimable", 20), ("SUnreclaim", 10), ("KReclaimable", 25)]), 355);
        assert_eq!(bytes(&[("Slab", 30), ("SReclaimable", 20), ("SUnreclaim", 10)]), 360);
        assert_eq!(bytes(&[("HugePages_Total", 3), ("Hugepagesize", 20), ("Hugetlb", 80)]), 310);
        assert_eq!(bytes(&[("HugePages_Total", 3), ("Hugepagesize", 20)]), 330);
        assert_eq!(bytes(&[("KernelStack", 8), ("VmallocUsed", 30)]), 360);
        assert_eq!(bytes(&[("KernelStack", 8), ("VmallocUsed", 0)]), 382);
        assert_eq!(bytes(&[("GPUActive", 40)]), 350);
        assert_eq!(bytes(&[("AnonPages", 800)]), -110);
        let uncertain = from(&meminfo(&[("SwapCached", 5), ("KernelStack", 8), ("VmallocUsed", 30)])).unwrap();
        assert_eq!((uncertain.bytes, uncertain.uncertain_bytes), (355, 13));
    }

    #[test]
    fn no_sum_without_its_lines() {
        let mut lines = meminfo(&[]);
        lines.remove("Cached");
        assert_eq!(from(&lines).unwrap_err(), "/proc/meminfo has no line Cached");
    }
}
