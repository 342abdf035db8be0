//! The figures of the deciding table.

use super::{GroupRow, Scene, reason};
use crate::load::Trace;
use crate::load::events::{Query, View};
use serde::Serialize;

/// Bytes on the device by the ledger.
pub struct Devices {
    pub own: u64,
    pub all: u64,
}

#[derive(Debug, Serialize)]
pub struct Figure {
    pub name: String,
    pub value: Value,
    /// The figure minus the free memory that the program was told, where both count the same memory.
    pub difference_bytes: Option<i128>,
    /// What it is.
    pub note: String,
}

#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Value {
    Bytes(i128),
    /// `no limit`, or why it is not known.
    Words(String),
}

struct Table<'s> {
    rows: Vec<Figure>,
    /// What the program was told, if the machine's figures count the same memory.
    free: Option<u64>,
    trace: &'s Trace,
    query: &'s Query,
}

impl Table<'_> {
    fn add(&mut self, name: impl Into<String>, bytes: u64, note: impl Into<String>) {
        let (name, note) = (name.into(), note.into());
        self.rows.push(Figure { name, value: Value::Bytes(bytes.into()), difference_bytes: None, note });
    }

    fn compare(&mut self, name: impl Into<String>, bytes: u64, note: impl Into<String>) {
        self.add(name, bytes, note);
        let difference = self.free.map(|free| i128::from(bytes) - i128::from(free));
        if let Some(row) = self.rows.last_mut() {
            row.difference_bytes = difference;
        }
    }

    fn words(&mut self, name: impl Into<String>, words: impl Into<String>, note: impl Into<String>) {
        let (name, note) = (name.into(), note.into());
        self.rows.push(Figure { name, value: Value::Words(words.into()), difference_bytes: None, note });
    }

    /// Of a figure that is not there: what the trace says of `what`; nothing if it says nothing.
    fn lack(&mut self, name: &str, what: &str) {
        if let Some(missing) = self.trace.seen.reason(self.query.process, what) {
            self.words(name, "not to be had", reason(missing));
        }
    }
}

pub fn of(trace: &Trace, query: &Query, view: Option<&View>, scene: &Scene, devices: Devices) -> Vec<Figure> {
    let shared = trace.integrated() == Some(true) && !unlike(trace, query, view);
    let mut table = Table { rows: Vec::new(), free: query.free, trace, query };
    match query.free {
        Some(free) => table.compare("GPU free", free, "as the program was told"),
        None => table.words("GPU free", "not told", "the call failed, or does not tell it"),
    }
    if let Some(total) = query.total {
        table.add("GPU total", total, "as the program was told");
    }
    // Free memory of a GPU of its own is another memory than the machine's.
    table.free = query.free.filter(|_| shared);
    if let Some(view) = view {
        machine(&mut table, view);
        groups(&mut table, &scene.groups);
        reserves(&mut table, view);
        own(&mut table, view);
    }
    table.add("on device: this process", devices.own, "allocated, not freed");
    if devices.all != devices.own {
        table.add("on device: all traced", devices.all, "allocated, not freed");
    }
    nvml(&mut table, scene);
    match (&scene.residual, &scene.no_residual) {
        (Some(residual), _) => {
            let value = Value::Bytes(residual.bytes);
            let note = "used, and in no line of /proc/meminfo".into();
            table.rows.push(Figure { name: "residual".into(), value, difference_bytes: None, note });
        }
        (None, Some(why)) => table.words("residual", "not known", why.clone()),
        (None, None) => {}
    }
    table.rows
}

/// Whether a simulated GPU has another memory than the machine that it runs on.
fn unlike(trace: &Trace, query: &Query, view: Option<&View>) -> bool {
    let machine = view.and_then(|view| view.meminfo.get("MemTotal").copied());
    let pair = query.total.zip(machine);
    trace.simulated() && pair.is_none_or(|(gpu, machine)| gpu.abs_diff(machine) > machine / 10)
}

fn machine(table: &mut Table, view: &View) {
    let line = |name: &str| view.meminfo.get(name).copied();
    if view.meminfo.is_empty() {
        table.lack("MemFree", "meminfo");
        return;
    }
    if let Some(free) = line("MemFree") {
        table.compare("MemFree", free, "pages without any content");
    }
    if let Some(available) = line("MemAvailable") {
        table.compare("MemAvailable", available, "with what the kernel could take back");
    }
    if let (Some(cached), Some(buffers)) = (line("Cached"), line("Buffers")) {
        table.add("page cache", cached.saturating_add(buffers), "files in memory: Cached + Buffers");
    }
    if let Some(shmem) = line("Shmem") {
        table.add("  of it Shmem", shmem, "tmpfs and shared memory: not reclaimable");
    }
    if let Some(anon) = line("AnonPages") {
        table.add("anonymous", anon, "heaps and stacks of all processes");
    }
    match (line("SwapTotal"), line("SwapFree")) {
        (Some(0), _) => table.words("swap", "none", ""),
        (Some(total), Some(free)) => table.add("swap free", free, format!("of {}", crate::render::gib(total.into()))),
        _ => {}
    }
    if let (Some(pages @ 1..), Some(size)) = (line("HugePages_Total"), line("Hugepagesize")) {
        let free = line("HugePages_Free").unwrap_or(0).saturating_mul(size);
        table.add(
            "huge pages",
            pages.saturating_mul(size),
            format!("set aside; {} free", crate::render::gib(free.into())),
        );
    }
}

/// The process's own group, and the ancestor that leaves least.
fn groups(table: &mut Table, groups: &[GroupRow]) {
    let Some(own) = groups.iter().find(|group| group.level == 0) else {
        table.lack("control group", "cgroup");
        return;
    };
    let figure = |group: &GroupRow, name: &str| group.figures.get(name).copied();
    match figure(own, "current") {
        Some(current) => table.add("cgroup current", current, format!("v{}, {}", own.version, own.path)),
        None => table.lack("cgroup current", "cgroup"),
    }
    match figure(own, "max") {
        Some(max) => table.compare("cgroup max", max, "limit of the process's own group"),
        None => table.words("cgroup max", "no limit", ""),
    }
    let room = |group: &GroupRow| Some(figure(group, "max")?.saturating_sub(figure(group, "current")?));
    let tightest =
        groups.iter().filter(|group| group.level > 0 && room(group).is_some()).min_by_key(|group| room(group));
    if let Some((group, room)) = tightest.and_then(|group| Some((group, room(group)?))) {
        let max = crate::render::gib(figure(group, "max").unwrap_or(0).into());
        table.compare("  room in an ancestor", room, format!("of {max} in {}", group.path));
    }
}

fn reserves(table: &mut Table, view: &View) {
    let zones = &view.around.zones;
    let sum = |name: &str| {
        let all = zones.iter().filter_map(|zone| zone.figures.get(name).copied());
        all.reduce(u64::saturating_add)
    };
    match sum("high") {
        Some(high) => table.add("zone reserves", high, "sum of the high watermarks"),
        None => table.lack("zone reserves", "zones"),
    }
    match sum("blocks") {
        Some(blocks) => table.compare("free in 2 MiB blocks", blocks, "not fragmented"),
        None if !zones.is_empty() => table.lack("free in 2 MiB blocks", "blocks"),
        None => {}
    }
    if let Some(cma) = sum("cma_free").or_else(|| view.meminfo.get("CmaFree").copied()).filter(|cma| *cma > 0) {
        table.add("CMA free", cma, "part of MemFree; cannot be pinned for long");
    }
    for (node, meminfo) in &view.around.nodes {
        if let Some(free) = meminfo.get("MemFree") {
            // This node is the GPU's memory: its free pages are what the driver counts.
            table.free = table.query.free;
            table.compare(format!("MemFree of node {node}"), *free, "the GPU's NUMA node");
        }
    }
    for (card, figures) in &view.around.cards {
        let of = |name: &str| figures.get(name).copied();
        for (name, total, used) in [("VRAM", "vram_total", "vram_used"), ("GTT", "gtt_total", "gtt_used")] {
            if let (Some(total), Some(used)) = (of(total), of(used)) {
                let note = format!("used {} of {}", crate::render::gib(used.into()), crate::render::gib(total.into()));
                table.add(format!("{name} free of {card}"), total.saturating_sub(used), note);
            }
        }
    }
}

fn own(table: &mut Table, view: &View) {
    if view.own.is_empty() {
        table.lack("own RSS", "self");
        return;
    }
    let of = |name: &str| view.own.get(name).copied().unwrap_or(0);
    let (anon, file, shmem) = (of("rss_anon"), of("rss_file"), of("rss_shmem"));
    let gib = |bytes: u64| crate::render::gib(bytes.into());
    let note = format!("anonymous {}, files {}, shared {}", gib(anon), gib(file), gib(shmem));
    table.add("own RSS", anon.saturating_add(file).saturating_add(shmem), note);
}

fn nvml(table: &mut Table, scene: &Scene) {
    for usage in &scene.nvml {
        let strangers = match usage.same_pids {
            Some(false) => "; in another PID namespace, may not list this process",
            _ => "",
        };
        if let Some(own) = usage.own_bytes {
            table.add("NVML: this process", own, format!("GPU {}", usage.nvml));
        }
        if let Some(others) = usage.others_bytes {
            let note = format!("GPU {}, {} processes listed{strangers}", usage.nvml, usage.processes);
            table.add("NVML: others", others, note);
        }
        if let Some(free) = usage.free_bytes {
            table.free = table.query.free;
            table.compare("NVML: free", free, format!("GPU {}", usage.nvml));
        }
    }
    if scene.nvml.is_empty() {
        table.lack("NVML", "usage");
    }
}
