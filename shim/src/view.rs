//! What the machine looked like beside a query: the kernel's memory figures, the limits of the process's own control
//! group, and the process's own resident memory.

use crate::process::Process;
use crate::sys;
use crate::text::{self, Text};
use crate::trace::Event;
use core::sync::atomic::Ordering;

/// Keys of a unified (v2) control group and of a v1 one, under the name that the trace gives them.
const FILES_V2: [(&[u8], &[u8]); 4] = [
    (b"max", b"/memory.max\0"),
    (b"high", b"/memory.high\0"),
    (b"current", b"/memory.current\0"),
    (b"swap_current", b"/memory.swap.current\0"),
];
const FILES_V1: [(&[u8], &[u8]); 3] = [
    (b"max", b"/memory.limit_in_bytes\0"),
    (b"high", b"/memory.soft_limit_in_bytes\0"),
    (b"current", b"/memory.usage_in_bytes\0"),
];
const STAT: [(&[u8], &[u8]); 9] = [
    (b"anon", b"anon"),
    (b"file", b"file"),
    (b"shmem", b"shmem"),
    (b"inactive_file", b"inactive_file"),
    (b"active_file", b"active_file"),
    (b"slab_reclaimable", b"slab_reclaimable"),
    (b"anon", b"rss"),
    (b"file", b"cache"),
    (b"unevictable", b"unevictable"),
];
/// v1 writes "no limit" as the largest page-aligned number; no machine has half of that.
const NO_LIMIT: u64 = 1 << 62;
const RSS: [(&[u8], &[u8]); 3] = [(b"rss_anon", b"RssAnon"), (b"rss_file", b"RssFile"), (b"rss_shmem", b"RssShmem")];

/// Writes the `view` that belongs to event `of`.
pub fn write(of: u64) {
    let Some(mut event) = Event::begin("view", sys::clock(libc::CLOCK_MONOTONIC)) else { return };
    let process = event.process();
    event.write_with(|line, scratch| {
        line.u64("of", of);
        line.numbers("meminfo", meminfo(sys::read_file(b"/proc/meminfo\0", scratch)));
        let (version, path) = controller(process, scratch);
        line.u64("cgroup_version", version.into()).text("cgroup_path", path.get());
        if version != 0 {
            line.numbers("cgroup", cgroup(version, path.get(), scratch));
        }
        line.numbers("self", own(sys::read_file(b"/proc/self/status\0", scratch)));
    });
}

/// Name and bytes of each line of /proc/meminfo; HugePages_* are pages.
fn meminfo(text: &[u8]) -> impl Iterator<Item = (&[u8], u64)> {
    lines(text).filter_map(|(name, rest)| {
        let unit = if rest.ends_with(b" kB") { 1024 } else { 1 };
        // Figures of address space and of the kernel's own bookkeeping, which would crowd out the rest.
        let dull = name.starts_with(b"Vmalloc") || name.starts_with(b"DirectMap") || name == b"HardwareCorrupted";
        (!dull).then(|| text::number(rest).map(|value| (name, value.saturating_mul(unit))))?
    })
}

fn own(text: &[u8]) -> impl Iterator<Item = (&'static [u8], u64)> {
    RSS.iter().filter_map(|(key, name)| {
        let (_, rest) = lines(text).find(|(found, _)| found == name)?;
        Some((*key, text::number(rest)?.saturating_mul(1024)))
    })
}

/// `name: rest` of each line.
fn lines(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    text.split(|byte| *byte == b'\n').filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        Some((line.get(..colon)?, line.get(colon.wrapping_add(1)..)?))
    })
}

/// Version and directory of the control group whose memory figures apply. The path in /proc/self/cgroup and the
/// mount do not always fit together: a v1 container sees its own group at the mount's root.
fn controller(process: &Process, scratch: &mut [u8]) -> (u32, Text<640>) {
    let groups = sys::read_file(b"/proc/self/cgroup\0", scratch);
    let of = |kind: u32| -> (u32, Text<640>) {
        let (version, mount): (u32, &[u8]) =
            if kind <= 2 { (2, b"/sys/fs/cgroup") } else { (1, b"/sys/fs/cgroup/memory") };
        let mut path = Text::new();
        path.push(mount);
        if kind % 2 == 1 {
            path.push(group(groups, version).strip_suffix(b"/").unwrap_or(group(groups, version)));
        }
        (version, path)
    };
    let known = process.cgroup_kind.load(Ordering::Relaxed);
    if known == 5 {
        return (0, Text::new());
    }
    if known != 0 {
        return of(known);
    }
    for kind in 1..=4 {
        let (version, path) = of(kind);
        let mut probe = Text::<700>::new();
        probe.push(path.get());
        probe.push(if version == 2 { b"/memory.current\0" } else { b"/memory.usage_in_bytes\0" });
        let fd = sys::open(probe.get(), libc::O_RDONLY, 0);
        if fd >= 0 {
            sys::close(fd);
            process.cgroup_kind.store(kind, Ordering::Relaxed);
            return (version, path);
        }
    }
    process.cgroup_kind.store(5, Ordering::Relaxed);
    (0, Text::new())
}

/// The group of the unified hierarchy (`0::PATH`), or of v1's memory controller (`N:...memory...:PATH`).
fn group(groups: &[u8], version: u32) -> &[u8] {
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

fn cgroup<'t>(version: u32, path: &'t [u8], scratch: &'t mut [u8]) -> impl Iterator<Item = (&'static [u8], u64)> {
    let files: &[(&[u8], &[u8])] = if version == 2 { &FILES_V2 } else { &FILES_V1 };
    let mut file_path = Text::<700>::new();
    file_path.push(path);
    file_path.push(b"/memory.stat\0");
    let stat = sys::read_file(file_path.get(), scratch);
    let limits = files.iter().filter_map(move |(key, name)| {
        let mut file_path = Text::<700>::new();
        file_path.push(path);
        file_path.push(name);
        let mut value = [0u8; 32];
        let value = text::number(sys::read_file(file_path.get(), &mut value))?;
        (value < NO_LIMIT).then_some((*key, value))
    });
    let stats = STAT.iter().filter_map(move |(key, name)| {
        // In v2 `anon` and `file` stand under their own names, in v1 as `rss` and `cache`: never both.
        let line =
            stat.split(|byte| *byte == b'\n').find(|line| line.split(|byte| *byte == b' ').next() == Some(name))?;
        Some((*key, text::number(line.get(name.len()..)?)?))
    });
    limits.chain(stats)
}
