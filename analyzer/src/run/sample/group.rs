//! The memory control group of the traced program.

use super::Figures;
use std::fs;
use std::path::{Path, PathBuf};

/// File of version 2 or 1 -> name in a trace.
const PLAIN: [(&str, &str, &str); 8] = [
    ("memory.current", "memory.usage_in_bytes", "current"),
    ("memory.max", "memory.limit_in_bytes", "max"),
    ("memory.high", "memory.soft_limit_in_bytes", "high"),
    ("memory.low", "", "low"),
    ("memory.min", "", "min"),
    ("memory.peak", "memory.max_usage_in_bytes", "peak"),
    ("memory.swap.current", "", "swap_current"),
    ("memory.swap.max", "", "swap_max"),
];
const STAT: [(&str, &str, &str); 7] = [
    ("anon", "total_rss", "anon"),
    ("file", "total_cache", "file"),
    ("shmem", "total_shmem", "shmem"),
    ("active_file", "total_active_file", "active_file"),
    ("inactive_file", "total_inactive_file", "inactive_file"),
    ("slab_reclaimable", "", "slab_reclaimable"),
    ("unevictable", "total_unevictable", "unevictable"),
];
const EVENTS: [&str; 5] = ["low", "high", "max", "oom", "oom_kill"];
const LIMITS: [&str; 3] = ["max", "high", "swap_max"];
/// Version 1 writes the largest number of whole pages for no limit, whatever a page is.
const NO_LIMIT: u64 = 1 << 62;

#[derive(Debug)]
pub struct Group {
    folder: PathBuf,
    version: u32,
}

impl Group {
    /// Of a process, where its files can be found.
    pub fn of(pid: u32) -> Option<Group> {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        locate(&groups, &mounts).filter(|group| group.folder.join(group.name(&PLAIN[0])).exists())
    }

    pub fn path(&self) -> String {
        self.folder.display().to_string()
    }

    fn name(&self, names: &(&'static str, &'static str, &'static str)) -> &'static str {
        if self.version == 2 { names.0 } else { names.1 }
    }

    pub fn figures(&self) -> Figures {
        let mut figures = Figures::new();
        let read = |name: &str| fs::read_to_string(self.folder.join(name)).unwrap_or_default();
        for names in PLAIN.iter().filter(|names| !self.name(names).is_empty()) {
            // A limit that is not set reads `max`.
            if let Ok(value) = read(self.name(names)).trim().parse::<u64>()
                && (value < NO_LIMIT || !LIMITS.contains(&names.2))
            {
                figures.insert(names.2.into(), value);
            }
        }
        let stat = read("memory.stat");
        for names in STAT.iter().filter(|names| !self.name(names).is_empty()) {
            if let Some(value) = keyed(&stat, self.name(names)) {
                figures.insert(names.2.into(), value);
            }
        }
        if self.version == 2 {
            let events = read("memory.events");
            let found = EVENTS.iter().filter_map(|name| Some((format!("events_{name}"), keyed(&events, name)?)));
            figures.extend(found);
        } else if let Ok(count) = read("memory.failcnt").trim().parse() {
            figures.insert("events_max".into(), count);
        }
        figures
    }
}

fn keyed(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(key, _)| *key == name).and_then(|(_, value)| value.trim().parse().ok())
}

/// From the texts of /proc/PID/cgroup and /proc/self/mountinfo. A memory controller of version 1 comes first: where
/// both are mounted, it is the one in use.
fn locate(groups: &str, mounts: &str) -> Option<Group> {
    let lines = || groups.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let first = lines().find(|(controllers, _)| controllers.split(',').any(|name| name == "memory"));
    let (version, group) = match first {
        Some((_, path)) => (1, path),
        None => (2, lines().find(|(controllers, _)| controllers.is_empty())?.1),
    };
    for mount in mounts.lines() {
        let (before, behind) = mount.split_once(" - ")?;
        let (before, behind): (Vec<&str>, Vec<&str>) = (before.split(' ').collect(), behind.split(' ').collect());
        let (Some(root), Some(at), Some(kind)) = (before.get(3), before.get(4), behind.first()) else { continue };
        let options = behind.get(2).copied().unwrap_or_default();
        let right = match version {
            1 => *kind == "cgroup" && options.split(',').any(|option| option == "memory"),
            _ => *kind == "cgroup2",
        };
        if right {
            let inside = Path::new(group).strip_prefix(root).or_else(|_| Path::new(group).strip_prefix("/")).ok()?;
            // Outside of what is mounted: another process's view of the same path.
            let inside = if inside.components().any(|part| part.as_os_str() == "..") { Path::new("") } else { inside };
            return Some(Group { folder: Path::new(at).join(inside), version });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &str = "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1: &str = "33 24 0:29 /docker/ab /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";

    #[test]
    fn the_group_s_folder_of_either_version() {
        let at = |groups, mounts| locate(groups, mounts).map(|group| (group.version, group.path()));
        let path = |version, text: &str| Some((version, text.to_owned()));
        assert_eq!(at("0::/user.slice/a:b\n", V2), path(2, "/sys/fs/cgroup/user.slice/a:b"));
        assert_eq!(at("0::/\n", V2), path(2, "/sys/fs/cgroup/"));
        assert_eq!(at("0::/../x\n", V2), path(2, "/sys/fs/cgroup/"));
        assert_eq!(at("4:memory:/docker/ab/in\n0::/x\n", V1), path(1, "/sys/fs/cgroup/memory/in"));
        assert_eq!(at("0::/x\n", V1), None);
        assert_eq!(at("", V2), None);
    }
}
