//! Host memory that is the GPU's memory too: page cache, reserves of the kernel, weights in both forms, and a driver that
//! does not get what the kernel calls available.

use super::case::Case;
use super::{Finding, PAGE_CACHE, REFUSED, RESERVES, RESIDENCY, Remedy};
use crate::attribution;
use crate::decision::Source;
use crate::load::Trace;
use crate::load::events::{ProcessIndex, Refused, View};
use crate::page_cache as files;
use crate::render::gib;
use std::collections::HashMap;

/// The driver's answer and the view beside it are some milliseconds apart. Bytes.
const SAME_MOMENT: i128 = 128 << 20;
const NO_HOST_MEMORY: &str = "the GPU has memory of its own, which host memory does not touch";
const NO_DEVICE: &str = "the trace describes no GPU";
const NO_VIEW: &str = "no view of the machine lies beside the sizing query";

pub fn page_cache(case: &Case) -> Finding {
    let it = PAGE_CACHE;
    match case.is_host_memory() {
        None => return it.open(NO_DEVICE),
        Some(false) => return it.refuted(NO_HOST_MEMORY).seen(case.scope.seen()),
        Some(true) => {}
    }
    if case.source() == Source::MemAvailable {
        return it.refuted("the runtime went by MemAvailable, which counts page cache as free").seen(case.here());
    }
    if case.weight() == 0.0 {
        let because = format!("{} gives the size, whatever is free", case.decision().bound.sentence());
        return it.refuted(because).seen(case.scope.seen());
    }
    let Some(view) = case.scope.view else { return it.open(NO_VIEW) };
    let cache = case.bytes("page_cache");
    let unified = case.scope.integrated() == Some(true);
    let could = if unified { reclaimable(view) } else { Some(cache) };
    let Some(could) = could else { return it.open("the view has no MemAvailable").seen(case.here()) };
    if unified && !case.trace().simulated() {
        let free = i128::from(case.scope.free);
        let off = free - case.line("MemFree").unwrap_or(0);
        if off.abs() > SAME_MOMENT {
            let because = format!("the driver's free memory is {} off MemFree: it may count otherwise", gib(off.abs()));
            return it.open(because).number("MemFree", free - off).seen(case.here());
        }
    }
    if could < case.floor {
        let because = format!("the kernel could have taken back {} only", gib(could.max(0)));
        return it.refuted(because).number("reclaimable", could).seen(case.here());
    }
    let cost = case.cost(|_, view| if unified { reclaimable(view) } else { Some(cache) });
    let worth = cost.filter(|cost| *cost != 0).map(|cost| format!(", worth {} of KV cache", gib(cost)));
    let because = format!(
        "the driver called {} used that the kernel would have given up{}",
        gib(could),
        worth.unwrap_or_default()
    );
    let found = it.supported(because).number("page cache", cache).number("reclaimable", could).costs(cost);
    let found = found.seen(case.here()).remedy(drop_cache(case));
    match cost.and_then(|cost| case.size_remedy(cost)) {
        Some(remedy) => found.remedy(remedy),
        None => found,
    }
}

/// What the kernel would give up beyond what is free. Bytes.
fn reclaimable(view: &View) -> Option<i128> {
    let of = |name: &str| view.meminfo.get(name).map(|bytes| i128::from(*bytes));
    Some(of("MemAvailable")? - of("MemFree")?)
}

/// How to empty the page cache, and of what.
fn drop_cache(case: &Case) -> Remedy {
    let weights = files::of(case.trace(), case.scope.query).map_or(0, |found| i128::from(found.weights_bytes));
    let text = "before it sizes its cache, drop the page cache: sync; echo 1 > /proc/sys/vm/drop_caches (root)";
    match weights >= case.floor {
        true => Remedy::new(format!(
            "{text}; {} are the model's own files, which `kvtrace run --evict-weights` gives back without root each time \
             before it asks, and `dd if=FILE iflag=nocache count=0` once",
            gib(weights)
        )),
        false => Remedy::new(text),
    }
}

pub fn reserves(case: &Case) -> Finding {
    let it = RESERVES;
    match case.scope.integrated() {
        None => return it.open(NO_DEVICE),
        Some(false) => return it.refuted(NO_HOST_MEMORY).seen(case.scope.seen()),
        Some(true) => {}
    }
    let Some(view) = case.scope.view else { return it.open(NO_VIEW) };
    let wide = |bytes: Option<u64>| bytes.map(i128::from);
    let figures = [
        ("huge pages set aside", Some(case.bytes("huge_pages")), true),
        ("tmpfs and shared memory", Some(case.bytes("shared_memory")), true),
        ("CMA that cannot be pinned", wide(attribution::cma_free(view)).or(Some(0)), false),
        ("watermarks", wide(attribution::watermarks(view)), false),
    ];
    let large: Vec<_> = figures
        .iter()
        .filter_map(|(name, bytes, used)| bytes.filter(|bytes| *bytes >= case.floor).map(|bytes| (*name, bytes, *used)))
        .collect();
    if large.is_empty() {
        let sum: i128 = figures.iter().filter_map(|(_, bytes, _)| *bytes).sum();
        let found = match figures.iter().all(|(_, bytes, _)| bytes.is_some()) {
            true => it.refuted(format!("huge pages, tmpfs, CMA and watermarks are {} together", gib(sum))),
            false => it.open("the kernel's watermarks were not to be had"),
        };
        return found.seen(case.here());
    }
    let named: Vec<_> = large.iter().map(|(name, bytes, _)| format!("{} of {name}", gib(*bytes))).collect();
    let used: i128 = large.iter().filter(|(_, _, used)| *used).map(|(_, bytes, _)| bytes).sum();
    let unusable = if used == 0 { ", which count as free and are not to be had" } else { "" };
    let mut found = it.supported(format!("{}{unusable}", named.join(", "))).seen(case.here());
    for (name, bytes, _) in &large {
        found = found.number(*name, *bytes);
        found = found.remedy(Remedy::new(match *name {
            "huge pages set aside" => "give idle huge pages back: sysctl vm.nr_hugepages=0",
            "tmpfs and shared memory" => "delete what lies in /dev/shm and other tmpfs mounts",
            "CMA that cannot be pinned" => "boot with kho=off (or a smaller cma=) on the kernel's command line",
            _ => "set vm.min_free_kbytes and vm.watermark_boost_factor back to the kernel's defaults",
        }));
    }
    let cost = if case.source() == Source::Driver { Some(case.constant_cost(used)) } else { None };
    found.costs(cost)
}

pub fn residency(case: &Case) -> Finding {
    let it = RESIDENCY;
    match case.scope.integrated() {
        None => return it.open(NO_DEVICE),
        Some(false) => return it.refuted(NO_HOST_MEMORY).seen(case.scope.seen()),
        Some(true) => {}
    }
    let found = files::of(case.trace(), case.scope.query).filter(|found| found.files.iter().any(|f| f.now.is_some()));
    let Some(found) = found else { return it.open("how much of the files of weights was cached is not known") };
    let (cached, loaded) = (i128::from(found.weights_bytes), case.bytes("weights"));
    let twice = cached.min(loaded);
    let evidence = [case.here(), found.weights_evidence.into_iter().collect()].concat();
    if twice < case.floor {
        let because =
            format!("{} of the weights lay in the page cache beside {} on the device", gib(cached), gib(loaded));
        return it.refuted(because).number("in the page cache", cached).seen(evidence);
    }
    if case.source() == Source::MemAvailable || case.weight() == 0.0 {
        let because = format!("{} of the weights are there twice, which costs this runtime nothing", gib(twice));
        return it.refuted(because).number("in the page cache", cached).seen(evidence);
    }
    let because = format!("{} of the weights were on the device and in the page cache", gib(twice));
    let mut remedies = vec![drop_cache(case)];
    if case.decision().runtime == "llama.cpp" {
        remedies.push(Remedy::new("load without a mapping: --no-mmap"));
    }
    let mut of = it.supported(because).number("in the page cache", cached).number("on the device", loaded);
    of = of.costs(Some(case.constant_cost(twice))).seen(evidence);
    remedies.into_iter().fold(of, Finding::remedy)
}

/// Of one process, or of all.
pub fn refused(trace: &Trace, process: Option<ProcessIndex>) -> Finding {
    let it = REFUSED;
    let mine = |of: ProcessIndex| process.is_none_or(|process| process == of);
    let all: Vec<&Refused> = trace.refused.iter().filter(|refused| mine(refused.process)).collect();
    if all.is_empty() {
        return it.refuted("the driver refused no allocation");
    }
    // The last time that so much was given: allocators give back what they hold and try again.
    let mut given: HashMap<(ProcessIndex, u64), u64> =
        all.iter().map(|refused| ((refused.process, refused.size), 0)).collect();
    for event in trace.memory.iter().filter(|event| event.size > 0) {
        if let Some(at) = given.get_mut(&(event.process, event.size)) {
            *at = event.at;
        }
    }
    let given_later =
        |refused: &Refused| given.get(&(refused.process, refused.size)).is_some_and(|at| *at >= refused.at);
    let Some(refused) = all.iter().copied().find(|refused| !given_later(refused)) else {
        return it.refuted(format!("the driver refused {} allocations and gave each of them later", all.len()));
    };
    let evidence = trace.evidence(refused.process, refused.n);
    let size = i128::from(refused.size);
    let beside = trace.views.iter().filter(|view| view.process == refused.process && view.at <= refused.at);
    let asked = format!("the driver refused {} ({})", gib(size), refused.name);
    let Some(view) = beside.max_by_key(|view| view.at) else {
        return it.open(format!("{asked}; the machine was not looked at before")).seen([evidence]);
    };
    let of = |name: &str| view.meminfo.get(name).map_or(0, |bytes| i128::from(*bytes));
    let (free, available) = (of("MemFree"), of("MemAvailable"));
    let zones = view.around.zones.iter().filter_map(|zone| zone.figures.get("blocks").copied());
    let blocks = zones.reduce(u64::saturating_add).map(i128::from);
    let told = |found: Finding| {
        let found = found.number("asked for", size).number("MemFree", free).number("MemAvailable", available);
        found.seen([evidence.clone(), trace.evidence(view.process, view.n)])
    };
    match trace.integrated() {
        Some(true) if available < size => told(it.refuted(format!("{asked}, and the kernel had no more available"))),
        Some(true) if free < size || blocks.is_some_and(|blocks| blocks < size) => {
            let short = if free < size { ("free", free) } else { ("free in blocks of 2 MiB", blocks.unwrap_or(0)) };
            let because = format!("{asked} while {} were available: {} were {}", gib(available), gib(short.1), short.0);
            let found = told(it.supported(because));
            let text =
                "keep MemFree above what is loaded next: drop the page cache while loading, or load smaller shards";
            found.remedy(Remedy::new(text)).remedy(Remedy::new("boot afresh where memory is in small pieces"))
        }
        Some(true) => told(it.open(format!("{asked} while as much was free, in large blocks: for another reason"))),
        _ => told(it.refuted(format!("{asked} of its own memory, which the host does not share"))),
    }
}
