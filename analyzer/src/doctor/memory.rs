//! What of this machine's memory would bias a sizing right now.

use super::finding::Finding;
use super::machine::{Machine, Meminfo, gib};

/// Smaller amounts move no answer that anybody would miss.
const NOTABLE: u64 = 1 << 30;
/// What a kernel keeps in free lists of movable memory may exceed its counter for a moment.
const CMA_SLACK: u64 = 64 << 20;
/// The kernel's own default ends here.
const USUAL_MIN_FREE: u64 = 256 << 20;

/// Whether CPU and GPU share one memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unified {
    Yes,
    No,
    Unknown,
}

/// Every finding about memory.
pub fn findings(machine: &Machine, unified: Unified) -> Vec<Finding> {
    let info = match machine.meminfo() {
        Ok(info) => info,
        Err(error) => {
            let found = format!("/proc/meminfo: {error}");
            return vec![Finding::unknown("memory.total", found, "What biases a sizing is read from there.")];
        }
    };
    let total = info.or_zero("MemTotal");
    let figures = format!(
        "{}, of which free {}, available {}",
        gib(total),
        gib(info.or_zero("MemFree")),
        gib(info.or_zero("MemAvailable"))
    );
    let mut findings = vec![
        Finding::ok("memory.total", figures)
            .with("total_bytes", total)
            .with("free_bytes", info.or_zero("MemFree"))
            .with("available_bytes", info.or_zero("MemAvailable")),
        page_cache(&info, unified),
    ];
    findings.extend(dirty(&info));
    findings.push(hugepages(&info));
    findings.push(cma(&info));
    findings.push(watermarks(machine, total));
    findings.push(swap(&info));
    findings.push(shared(&info, unified));
    findings.extend(overcommit(machine, &info));
    findings.push(residual(&info, unified));
    findings
}

fn page_cache(info: &Meminfo, unified: Unified) -> Finding {
    // Shmem is inside Cached and cannot be dropped.
    let bytes = (info.or_zero("Cached") + info.or_zero("Buffers")).saturating_sub(info.or_zero("Shmem"));
    let found = format!("{} of files are in the page cache", gib(bytes));
    let finding = match (bytes < NOTABLE, unified) {
        (true, _) => Finding::ok("memory.page_cache", found),
        (_, Unified::No) => Finding::ok("memory.page_cache", format!("{found}; the GPU has memory of its own")),
        _ => Finding::note(
            "memory.page_cache",
            found,
            "Where CPU and GPU share one memory, the driver's free memory leaves it out, so the KV cache gets smaller.",
            "sync; echo 1 | sudo tee /proc/sys/vm/drop_caches (of the whole machine), or of one file: \
             dd if=FILE iflag=nocache count=0",
        ),
    };
    finding.with("page_cache_bytes", bytes)
}

fn dirty(info: &Meminfo) -> Option<Finding> {
    let bytes = info.or_zero("Dirty") + info.or_zero("Writeback");
    (bytes >= NOTABLE / 4).then(|| {
        Finding::note(
            "memory.dirty",
            format!("{} wait to be written to disk", gib(bytes)),
            "Dirty pages cannot be given up before they are written, so nothing drops them.",
            "sync",
        )
        .with("dirty_bytes", bytes)
    })
}

fn hugepages(info: &Meminfo) -> Finding {
    let (pages, free, size) =
        (info.or_zero("HugePages_Total"), info.or_zero("HugePages_Free"), info.or_zero("Hugepagesize"));
    // Counts pages of every size.
    let held = info.or_zero("Hugetlb").max(pages.saturating_mul(size));
    if held == 0 {
        return Finding::ok("memory.hugepages", "none are configured");
    }
    let usable = free.saturating_mul(size);
    let finding = match pages {
        0 => Finding::note(
            "memory.hugepages",
            format!("{} are set aside for huge pages of another than the default size", gib(held)),
            "That memory is neither free nor available to anything else.",
            "grep . /sys/kernel/mm/hugepages/*/nr_hugepages, then write 0 into those that nobody uses",
        ),
        _ => Finding::note(
            "memory.hugepages",
            format!("{pages} huge pages of {} ({}), {free} of them free", gib(size), gib(held)),
            format!(
                "A runtime that follows NVIDIA's sample for unified memory takes the free huge pages, {}, for all that \
                 is available.",
                gib(usable)
            ),
            "sudo sysctl vm.nr_hugepages=0, if nobody uses them",
        ),
    };
    finding.with("hugepages_total", pages).with("hugepages_free_bytes", usable).with("hugetlb_bytes", held)
}

fn cma(info: &Meminfo) -> Finding {
    let (Some(total), Some(free)) = (info.get("CmaTotal"), info.get("CmaFree")) else {
        return Finding::ok("memory.cma", "this kernel has no contiguous memory allocator");
    };
    let finding = match free > total.saturating_add(CMA_SLACK) {
        true => Finding::note(
            "memory.cma",
            format!("{} are free in blocks for contiguous memory, though only {} belong to it", gib(free), gib(total)),
            "Kexec handover leaves such blocks: they count as free and cannot be pinned for a GPU.",
            "boot with kho=off",
        ),
        false => Finding::ok("memory.cma", format!("{} of {} free", gib(free), gib(total))),
    };
    finding.with("cma_total_bytes", total).with("cma_free_bytes", free)
}

fn watermarks(machine: &Machine, total: u64) -> Finding {
    let Some(min_free) = machine.number("/proc/sys/vm/min_free_kbytes").and_then(|kib| kib.checked_mul(1024)) else {
        let why = "What the kernel keeps free lowers the memory that is available.";
        return Finding::unknown("memory.watermarks", "/proc/sys/vm/min_free_kbytes cannot be read", why);
    };
    let zones = machine.text("/proc/zoneinfo").unwrap_or_default();
    let sum = |name: &str| -> u64 {
        let pages = zones.lines().filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some(name)).then(|| words.next()?.parse::<u64>().ok()).flatten()
        });
        pages.sum::<u64>().saturating_mul(page_size())
    };
    let (low, boost) = (sum("low"), sum("boost"));
    let found = format!("the kernel keeps {} free, {} at its low watermarks", gib(min_free), gib(low));
    let usual = min_free <= USUAL_MIN_FREE.max(total / 100) && boost <= USUAL_MIN_FREE;
    let finding = match usual {
        true => Finding::ok("memory.watermarks", found),
        false => Finding::note(
            "memory.watermarks",
            format!("{found}, with a boost of {}", gib(boost)),
            "Available memory falls by more than what is kept free, and a start check that reads it may fail.",
            "sudo sysctl vm.min_free_kbytes=67584 vm.watermark_boost_factor=0",
        ),
    };
    finding.with("min_free_bytes", min_free).with("low_watermark_bytes", low).with("boost_bytes", boost)
}

fn swap(info: &Meminfo) -> Finding {
    let (total, free) = (info.or_zero("SwapTotal"), info.or_zero("SwapFree"));
    let used = total.saturating_sub(free);
    let finding = match (total, used >= NOTABLE) {
        (0, _) => Finding::ok("memory.swap", "there is none"),
        (_, false) => Finding::ok("memory.swap", format!("{} of {} used", gib(used), gib(total))),
        (_, true) => Finding::note(
            "memory.swap",
            format!("{} of {} used", gib(used), gib(total)),
            "Memory was short before: pages come back from swap when they are touched, and take room then.",
            "sudo swapoff -a && sudo swapon -a, while enough memory is free",
        ),
    };
    finding.with("swap_total_bytes", total).with("swap_free_bytes", free)
}

fn shared(info: &Meminfo, unified: Unified) -> Finding {
    let bytes = info.or_zero("Shmem");
    let found = format!("{} of shared memory and files in tmpfs", gib(bytes));
    let finding = match bytes < NOTABLE || unified == Unified::No {
        true => Finding::ok("memory.shared", found),
        false => Finding::note(
            "memory.shared",
            found,
            "It stands among cached memory, but only removing the files or segments gives it back.",
            "df -t tmpfs; ipcs -m",
        ),
    };
    finding.with("shmem_bytes", bytes)
}

fn overcommit(machine: &Machine, info: &Meminfo) -> Option<Finding> {
    (machine.number("/proc/sys/vm/overcommit_memory")? == 2).then(|| {
        let (limit, used) = (info.or_zero("CommitLimit"), info.or_zero("Committed_AS"));
        Finding::note(
            "memory.overcommit",
            format!("strict: {} of {} are promised", gib(used), gib(limit)),
            "A GPU's driver reserves far more address space than it uses, which strict accounting may refuse.",
            "sudo sysctl vm.overcommit_memory=0",
        )
        .with("commit_limit_bytes", limit)
        .with("committed_bytes", used)
    })
}

/// What is in use and stands in no line: drivers, and on unified memory everything that GPUs hold.
fn residual(info: &Meminfo, unified: Unified) -> Finding {
    let named: u64 = [
        "MemFree",
        "Buffers",
        "Cached",
        "SwapCached",
        "AnonPages",
        "Slab",
        "PageTables",
        "SecPageTables",
        "KernelStack",
        "Percpu",
        "Hugetlb",
        "VmallocUsed",
    ]
    .iter()
    .map(|field| info.or_zero(field))
    .sum();
    let total = info.or_zero("MemTotal");
    let bytes = total.saturating_sub(named);
    let found = format!("{} are in use that no line of /proc/meminfo names", gib(bytes));
    let finding = match bytes < NOTABLE.max(total / 50) {
        true => Finding::ok("memory.unnamed", found),
        false => Finding::note(
            "memory.unnamed",
            found,
            match unified {
                Unified::Yes => "Where CPU and GPU share one memory, what is held on the GPU is part of it.",
                _ => "What drivers pin or keep for reuse is part of it, and what GPUs hold that share the memory.",
            },
            "end whoever uses the GPU (leftovers.holders); if it stays: echo 2 | sudo tee /proc/sys/vm/drop_caches",
        ),
    };
    finding.with("unnamed_bytes", bytes)
}

fn page_size() -> u64 {
    // SAFETY: has no preconditions.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}
