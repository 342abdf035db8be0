//! Memory limits of this process's control group and of those above it, in both versions.

use super::finding::Finding;
use super::machine::{Machine, gib};
use std::path::{Component, Path, PathBuf};

/// Version 1 writes "no limit" as a number near 2^63, rounded to pages.
const NO_LIMIT: u64 = 1 << 62;

/// The names of a version's files.
struct Names {
    version: u32,
    max: &'static str,
    high: &'static str,
    current: &'static str,
}

const V1: Names = Names {
    version: 1,
    max: "memory.limit_in_bytes",
    high: "memory.soft_limit_in_bytes",
    current: "memory.usage_in_bytes",
};
const V2: Names = Names { version: 2, max: "memory.max", high: "memory.high", current: "memory.current" };

const WHY: &str = "Memory that a GPU takes is not charged to the group, but page cache, anonymous, shared and managed \
                   memory are: a low limit changes how much of the weights stays cached, and may end the server.";
const ABOVE: &str = "Limits of groups above a control group namespace cannot be seen from inside it.";

/// Limits from this process's group up to the topmost that can be seen.
pub fn findings(machine: &Machine, total: u64) -> Vec<Finding> {
    let Some((names, mount, below)) = place(machine) else {
        let found = "no memory controller was found";
        return vec![Finding::unknown("cgroup.limit", found, WHY)];
    };
    let mut limits = Vec::new();
    let mut group = Some(below.as_path());
    while let Some(path) = group {
        let folder = mount.join(path);
        for name in [names.max, names.high] {
            if let Some(bytes) = limit(machine, &folder.join(name)).filter(|bytes| *bytes < total) {
                limits.push((bytes, folder.join(name)));
            }
        }
        group = path.parent();
    }
    // Version 1 tells here what applies in the end, groups that cannot be seen included.
    if names.version == 1
        && let Ok(stat) = machine.text(&mount.join(&below).join("memory.stat").to_string_lossy())
        && let Some(bytes) = field(&stat, "hierarchical_memory_limit").filter(|bytes| *bytes < total)
    {
        limits.push((bytes, mount.join(&below).join("memory.stat")));
    }
    let used = limit(machine, &mount.join(&below).join(names.current));
    let mut findings = vec![match limits.iter().min() {
        Some((bytes, file)) => Finding::note(
            "cgroup.limit",
            format!("{}, set in {}", gib(*bytes), file.display()),
            WHY,
            "docker run without --memory, or systemctl set-property UNIT MemoryMax=infinity",
        )
        .with("limit_bytes", *bytes),
        None => {
            let own = mount.join(&below);
            Finding::ok("cgroup.limit", format!("none on {} and the groups above it that can be seen", own.display()))
        }
    }];
    if let Some(finding) = findings.first_mut() {
        *finding = finding.clone().with("version", names.version);
        if let Some(used) = used {
            *finding = finding.clone().with("current_bytes", used);
        }
        if finding.why.is_empty() && inside_namespace(machine) {
            ABOVE.clone_into(&mut finding.why);
        }
    }
    findings.extend(kills(machine, &mount.join(&below)));
    findings
}

fn kills(machine: &Machine, folder: &Path) -> Option<Finding> {
    let events = machine.text(&folder.join("memory.events").to_string_lossy()).ok()?;
    let kills = field(&events, "oom_kill").filter(|kills| *kills > 0)?;
    let found = format!("{kills} processes of this group were killed for lack of memory");
    let why = "Whoever was killed may have left files and shared memory behind.";
    Some(Finding::note("cgroup.kills", found, why, "dmesg | grep -i oom").with("kills", kills))
}

/// The version, where the hierarchy is mounted, and the group below that.
fn place(machine: &Machine) -> Option<(Names, PathBuf, PathBuf)> {
    let groups = machine.text("/proc/self/cgroup").ok()?;
    let mounts = machine.text("/proc/self/mountinfo").ok()?;
    let mut unified = None;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (_, Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
        if controllers.split(',').any(|controller| controller == "memory") {
            let (mount, below) = mounted(&mounts, path, |kind, options| {
                kind == "cgroup" && options.split(',').any(|option| option == "memory")
            })?;
            return Some((V1, mount, below));
        }
        if controllers.is_empty() {
            unified = Some(path);
        }
    }
    let (mount, below) = mounted(&mounts, unified?, |kind, _| kind == "cgroup2")?;
    // The root has no memory.max; that the controller is there at all is said by its list.
    let controllers = machine.text(&mount.join("cgroup.controllers").to_string_lossy()).ok()?;
    controllers.split_whitespace().any(|name| name == "memory").then_some((V2, mount, below))
}

/// The mount of a hierarchy, and a group's path below it.
fn mounted(mounts: &str, group: &str, wanted: impl Fn(&str, &str) -> bool) -> Option<(PathBuf, PathBuf)> {
    mounts.lines().find_map(|line| {
        let (fields, rest) = line.split_once(" - ")?;
        let mut rest = rest.split(' ');
        let (kind, options) = (rest.next()?, rest.nth(1)?);
        let mut fields = fields.split(' ').skip(3);
        let (root, at) = (fields.next()?, fields.next()?);
        wanted(kind, options).then(|| {
            // Without a namespace a container has its own group mounted as the root.
            let below = Path::new(group).strip_prefix(root).unwrap_or(Path::new(group));
            let below = below.components().filter(|part| matches!(part, Component::Normal(_))).collect();
            (PathBuf::from(at), below)
        })
    })
}

fn limit(machine: &Machine, file: &Path) -> Option<u64> {
    machine.number(&file.to_string_lossy()).filter(|bytes| *bytes < NO_LIMIT)
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

fn inside_namespace(machine: &Machine) -> bool {
    super::container::other_namespace(machine, "cgroup")
}
