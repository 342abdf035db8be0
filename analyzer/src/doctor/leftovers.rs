//! What others hold on the GPU, and what they left behind.

use super::finding::Finding;
use super::machine::{Machine, gib};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const DEVICES: [&str; 3] = ["/dev/nvidia", "/dev/kfd", "/dev/dri/renderD"];
/// Only their first is worth a name each.
const MOST_NAMES: usize = 8;
const NOTABLE: u64 = 256 << 20;

/// Every finding about leftovers.
pub fn findings(machine: &Machine) -> Vec<Finding> {
    let mut holders: BTreeMap<u32, String> = BTreeMap::new();
    let mut zombies: BTreeMap<u32, String> = BTreeMap::new();
    let mut closed = 0_usize;
    let own = std::process::id();
    for entry in fs::read_dir(machine.path("/proc")).into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let status = fs::read(entry.path().join("status")).unwrap_or_default();
        let status = String::from_utf8_lossy(&status).into_owned();
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
        let name = field("Name:").to_owned();
        if field("State:").starts_with('Z') {
            zombies.insert(pid, name);
            continue;
        }
        // A kernel thread has no memory and opens nothing.
        if pid == own || field("VmSize:").is_empty() {
            continue;
        }
        match holds_gpu(&entry.path()) {
            Ok(true) => drop(holders.insert(pid, name)),
            Ok(false) => {}
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => closed += 1,
            Err(_) => {}
        }
    }
    let mut findings = vec![holding(machine, &holders, closed), dead(&zombies)];
    findings.extend(segments(machine));
    findings
}

fn holding(machine: &Machine, holders: &BTreeMap<u32, String>, closed: usize) -> Finding {
    let hidden = match super::container::other_namespace(machine, "pid") {
        true => " Processes outside this PID namespace cannot be seen.",
        false => "",
    };
    let why =
        format!("What others hold on a GPU while a runtime sizes its KV cache is missing from that cache.{hidden}");
    let finding = match (holders.is_empty(), closed) {
        (true, 0) => {
            Finding { why: hidden.trim().to_owned(), ..Finding::ok("leftovers.holders", "no process has a GPU open") }
        }
        (true, _) => {
            let found = format!("no process of this user has a GPU open; {closed} others cannot be looked into");
            Finding { remedy: "run it as root".into(), ..Finding::unknown("leftovers.holders", found, why) }
        }
        (false, _) => {
            let found = format!("a GPU is open in {}: {}", count(holders.len()), names(holders));
            Finding::note("leftovers.holders", found, why, "end what is not needed, then look again: kvtrace doctor")
        }
    };
    finding.with("pids", holders.keys().copied().collect::<Vec<_>>()).with("closed", closed)
}

fn dead(zombies: &BTreeMap<u32, String>) -> Finding {
    let finding = match zombies.is_empty() {
        true => Finding::ok("leftovers.zombies", "none"),
        false => Finding::note(
            "leftovers.zombies",
            format!("{} ended and not waited for: {}", count(zombies.len()), names(zombies)),
            "A process that has ended but for one thread may still hold GPU memory.",
            "end their parents: ps -o pid,ppid,stat,comm -A | grep ' Z'",
        ),
    };
    finding.with("pids", zombies.keys().copied().collect::<Vec<_>>())
}

/// Shared memory outlives whoever made it.
fn segments(machine: &Machine) -> Option<Finding> {
    let mut files: Vec<(u64, String)> = fs::read_dir(machine.path("/dev/shm"))
        .ok()?
        .flatten()
        // Blocks, not the length: a segment takes what was touched.
        .filter_map(|entry| Some((entry.metadata().ok()?.blocks().saturating_mul(512), entry.file_name())))
        .map(|(bytes, name)| (bytes, name.to_string_lossy().into_owned()))
        .collect();
    files.sort_by(|a, b| b.cmp(a));
    let bytes: u64 = files.iter().map(|(bytes, _)| bytes).sum();
    (bytes >= NOTABLE).then(|| {
        let largest: Vec<String> =
            files.iter().take(3).map(|(bytes, name)| format!("{name} ({})", gib(*bytes))).collect();
        Finding::note(
            "leftovers.shared",
            format!("{} in /dev/shm, the largest of {} files: {}", gib(bytes), files.len(), largest.join(", ")),
            "Shared memory stays when its process is killed, and counts as used.",
            "remove what no process uses: fuser -v /dev/shm/*; rm /dev/shm/NAME",
        )
        .with("shared_bytes", bytes)
    })
}

fn holds_gpu(process: &Path) -> std::io::Result<bool> {
    Ok(fs::read_dir(process.join("fd"))?.flatten().any(|entry| {
        let link = fs::read_link(entry.path()).unwrap_or_default();
        let link = link.to_string_lossy();
        DEVICES.iter().any(|device| link.starts_with(device))
    }))
}

fn names(processes: &BTreeMap<u32, String>) -> String {
    let mut names: Vec<String> =
        processes.iter().take(MOST_NAMES).map(|(pid, name)| format!("{name} ({pid})")).collect();
    if processes.len() > MOST_NAMES {
        names.push(format!("and {} more", processes.len() - MOST_NAMES));
    }
    names.join(", ")
}

fn count(processes: usize) -> String {
    match processes {
        1 => "1 process".into(),
        more => format!("{more} processes"),
    }
}
