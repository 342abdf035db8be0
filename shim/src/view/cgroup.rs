//! A control group of the memory controller: where it is, and its figures in both versions.

use crate::missing::{self, Reason, View};
use crate::process::Process;
use crate::sys;
use crate::text::{self, Text};
use core::sync::atomic::Ordering;

const MOUNT_V2: &[u8] = b"/sys/fs/cgroup";
const MOUNT_V1: &[u8] = b"/sys/fs/cgroup/memory";
const GROUPS: &[u8] = b"/proc/self/cgroup\0";

/// The figures under the names that the trace gives them.
const KEYS: [&[u8]; 20] = [
    b"max",
    b"high",
    b"low",
    b"min",
    b"current",
    b"peak",
    b"swap_current",
    b"swap_max",
    b"anon",
    b"file",
    b"shmem",
    b"active_file",
    b"inactive_file",
    b"slab_reclaimable",
    b"unevictable",
    b"events_low",
    b"events_high",
    b"events_max",
    b"events_oom",
    b"events_oom_kill",
];
/// Files with one figure: its place in [`KEYS`].
type Single = (usize, &'static [u8]);
/// Files with a figure a line: its name and its place.
type Table = (&'static [u8], &'static [(&'static [u8], usize)]);

const SINGLE_V2: [Single; 8] = [
    (0, b"memory.max\0"),
    (1, b"memory.high\0"),
    (2, b"memory.low\0"),
    (3, b"memory.min\0"),
    (4, b"memory.current\0"),
    (5, b"memory.peak\0"),
    (6, b"memory.swap.current\0"),
    (7, b"memory.swap.max\0"),
];
const TABLES_V2: [Table; 2] = [
    (
        b"memory.stat\0",
        &[
            (b"anon", 8),
            (b"file", 9),
            (b"shmem", 10),
            (b"active_file", 11),
            (b"inactive_file", 12),
            (b"slab_reclaimable", 13),
            (b"unevictable", 14),
        ],
    ),
    (b"memory.events\0", &[(b"low", 15), (b"high", 16), (b"max", 17), (b"oom", 18), (b"oom_kill", 19)]),
];
const SINGLE_V1: [Single; 5] = [
    (0, b"memory.limit_in_bytes\0"),
    (1, b"memory.soft_limit_in_bytes\0"),
    (4, b"memory.usage_in_bytes\0"),
    (5, b"memory.max_usage_in_bytes\0"),
    (17, b"memory.failcnt\0"),
];
// Version 1 counts a group alone under plain names. Those with `total_` include the groups below it, as its usage and
// limit do and as version 2 does.
const TABLES_V1: [Table; 2] = [
    (
        b"memory.stat\0",
        &[
            (b"total_rss", 8),
            (b"total_cache", 9),
            (b"total_shmem", 10),
            (b"total_active_file", 11),
            (b"total_inactive_file", 12),
            (b"total_unevictable", 14),
            (b"total_swap", 6),
        ],
    ),
    (b"memory.oom_control\0", &[(b"oom_kill", 19)]),
];
/// v1 writes "no limit" as the largest page-aligned number; no machine has half of that.
const NO_LIMIT: u64 = 1 << 62;
/// Of the places where a group may be: none of them.
const NOWHERE: u32 = 5;
/// Stands for a figure that is not there.
const ABSENT: u64 = u64::MAX;

/// Figures of a group.
pub struct Figures([u64; KEYS.len()]);

impl Figures {
    /// None at all.
    pub const fn none() -> Figures {
        Figures([ABSENT; KEYS.len()])
    }

    /// Those that are there.
    pub fn named(&self) -> impl Iterator<Item = (&'static [u8], u64)> {
        KEYS.iter().zip(&self.0).filter(|(_, value)| **value != ABSENT).map(|(key, value)| (*key, *value))
    }

    fn set(&mut self, place: usize, value: u64) {
        if let Some(slot) = self.0.get_mut(place) {
            *slot = value;
        }
    }
}

/// A group's directory.
pub struct Group {
    /// 1 or 2; 0 if there is none.
    pub version: u32,
    /// Ends in NUL.
    path: Text<640>,
    /// Length of the part of the path that is the mount.
    mount: usize,
}

impl Group {
    /// None: version 0.
    pub const fn none() -> Group {
        Group { version: 0, path: Text::new(), mount: 0 }
    }

    /// Becomes the group whose figures apply to the process. Its path in /proc/self/cgroup and the mount do not
    /// always fit together: a v1 container sees its own group at the mount's root.
    pub fn find(&mut self, process: &Process, scratch: &mut [u8]) {
        let nowhere = |source, reason| missing::view(process, View::Cgroup, 0, b"cgroup", source, reason);
        let groups = match sys::load(sys::open(GROUPS, libc::O_RDONLY, 0), scratch) {
            Ok(groups) => groups,
            Err(error) => return nowhere(GROUPS, Reason::Error(error)),
        };
        let kind = &process.views.cgroup_kind;
        match kind.load(Ordering::Relaxed) {
            0 => {}
            known => return self.become_kind(known, groups),
        }
        for candidate in 1..=4 {
            self.become_kind(candidate, groups);
            let probe: &[u8] = if self.version == 2 { b"memory.current\0" } else { b"memory.usage_in_bytes\0" };
            if self.version != 0 && self.has(probe) {
                return kind.store(candidate, Ordering::Relaxed);
            }
        }
        kind.store(NOWHERE, Ordering::Relaxed);
        self.version = 0;
        self.path.clear();
        nowhere(MOUNT_V2, Reason::Words(b"no memory.current or memory.usage_in_bytes of this process's group"));
    }

    fn become_kind(&mut self, kind: u32, groups: &[u8]) {
        self.version = 0;
        self.path.clear();
        if kind >= NOWHERE {
            return;
        }
        let (version, mount) = if kind <= 2 { (2, MOUNT_V2) } else { (1, MOUNT_V1) };
        let below = if kind % 2 == 1 { path_of(groups, version) } else { b"" };
        self.mount = mount.len();
        let path = &mut self.path;
        if path.push(mount) && path.push(below.strip_suffix(b"/").unwrap_or(below)) && path.push(b"\0") {
            self.version = version;
        }
    }

    /// Its directory.
    pub fn path(&self) -> &[u8] {
        text::until_nul(self.path.get())
    }

    /// Goes to the group above; `false` if that is not mounted.
    pub fn ascend(&mut self) -> bool {
        let Some(below) = self.path().get(self.mount..) else { return false };
        let Some(slash) = below.iter().rposition(|byte| *byte == b'/') else { return false };
        let Some(byte) = self.path.get_mut().get_mut(self.mount.saturating_add(slash)) else { return false };
        *byte = 0;
        true
    }

    /// Goes back to where the first [`Self::ascend`] came from.
    pub fn descend(&mut self) {
        if let Some((_, path)) = self.path.get_mut().split_last_mut() {
            for byte in path.iter_mut().filter(|byte| **byte == 0) {
                *byte = b'/';
            }
        }
    }

    /// Whether nothing is above it in the kernel. Version 2's root has no usage of its own, version 1's has a file
    /// that no other group has.
    pub fn is_root(&self) -> bool {
        if self.version == 2 { !self.has(b"memory.current\0") } else { self.has(b"cgroup.sane_behavior\0") }
    }

    fn has(&self, file: &[u8]) -> bool {
        let directory = sys::open_path(self.path.get());
        if directory < 0 {
            return false;
        }
        let fd = sys::open_in(directory, file);
        sys::close(directory);
        if fd >= 0 {
            sys::close(fd);
        }
        fd >= 0
    }

    /// Reads its figures. With `process`, what is not to be had is said to be missing.
    pub fn read(&self, figures: &mut Figures, process: Option<&Process>, scratch: &mut [u8]) {
        *figures = Figures::none();
        if self.version == 0 {
            return;
        }
        let directory = sys::open_path(self.path.get());
        if directory < 0 {
            if let Some(process) = process {
                let reason = Reason::Error(directory.wrapping_neg());
                missing::view(process, View::Cgroup, 0, b"cgroup", self.path.get(), reason);
            }
            return;
        }
        let (single, tables): (&[Single], &[Table]) =
            if self.version == 2 { (&SINGLE_V2, &TABLES_V2) } else { (&SINGLE_V1, &TABLES_V1) };
        let lost = |number: usize, file: &[u8], error: i32| {
            if let Some(process) = process {
                let which = number as u32;
                missing::view(process, View::CgroupFile, which, b"cgroup", file, Reason::Error(error));
            }
        };
        for (number, (place, file)) in single.iter().enumerate() {
            let mut value = [0u8; 32];
            match sys::load_once(sys::open_in(directory, file), &mut value) {
                // A limit that is not set is the word `max`.
                Ok(value) => {
                    if let Some(value) = text::number(value).filter(|value| *value < NO_LIMIT) {
                        figures.set(*place, value);
                    }
                }
                Err(error) => lost(number, file, error),
            }
        }
        for (number, (file, names)) in tables.iter().enumerate() {
            match sys::load_once(sys::open_in(directory, file), scratch) {
                Ok(table) => pick(figures, table, names),
                Err(error) => lost(number.saturating_add(single.len()), file, error),
            }
        }
        sys::close(directory);
    }
}

fn pick(figures: &mut Figures, table: &[u8], names: &[(&[u8], usize)]) {
    for line in table.split(|byte| *byte == b'\n') {
        let Some(space) = line.iter().position(|byte| *byte == b' ') else { continue };
        let name = line.get(..space).unwrap_or_default();
        if let Some((_, place)) = names.iter().find(|(known, _)| *known == name)
            && let Some(value) = text::number(line.get(space..).unwrap_or_default())
        {
            figures.set(*place, value);
        }
    }
}

/// The group of the unified hierarchy (`0::PATH`), or of v1's memory controller (`N:...memory...:PATH`).
fn path_of(groups: &[u8], version: u32) -> &[u8] {
    for line in groups.split(|byte| *byte == b'\n') {
        let mut fields = line.splitn(3, |byte| *byte == b':');
        let (Some(id), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let fits = match version {
            2 => id == b"0" && controllers.is_empty(),
            _ => controllers.split(|byte| *byte == b',').any(|name| name == b"memory"),
        };
        if fits {
            return path;
        }
    }
    &[]
}
