//! The first line of a trace: which process this is and how it was started.

use crate::config::Config;
use crate::process::Process;
use crate::{sys, text};
use core::sync::atomic::{AtomicU64, Ordering};
use kvtrace_trace::line::Line;
use kvtrace_trace::record::{self, Stamp};
use kvtrace_trace::redact;

/// Start time of this process in clock ticks after boot: field 22 of its stat line.
pub fn start_time(scratch: &mut [u8]) -> u64 {
    let stat = sys::read_file(b"/proc/self/stat\0", scratch);
    // The second field is the program's name in brackets, and may hold anything.
    let behind = stat.iter().rposition(|byte| *byte == b')').unwrap_or(0);
    let mut fields = stat.get(behind..).unwrap_or_default().split(|byte| *byte == b' ');
    fields.nth(20).and_then(text::number).unwrap_or(0)
}

/// Writes the header.
pub fn write(line: &mut Line, stamp: &Stamp, process: &Process, config: &Config, start: u64, scratch: &mut [u8]) {
    let (mut host, mut exe, mut cgroup) = ([0u8; 65], [0u8; 512], [0u8; 1024]);
    let half = scratch.len() / 2;
    let (argv, environment) = scratch.split_at_mut_checked(half).unwrap_or_default();
    let argv = sys::read_file(b"/proc/self/cmdline\0", argv);
    let environment = sys::read_file(b"/proc/self/environ\0", environment);
    record::Process {
        shim: env!("CARGO_PKG_VERSION"),
        role: "program",
        host: sys::host(&mut host),
        start,
        ppid: sys::getppid(),
        forked_from: process.forked_from.load(Ordering::Relaxed),
        wall: sys::clock(libc::CLOCK_REALTIME).wrapping_sub(sys::clock(libc::CLOCK_MONOTONIC)).wrapping_add(stamp.t),
        page: page_size(),
        exe: sys::readlink(b"/proc/self/exe\0", &mut exe),
        cgroup: sys::read_file(b"/proc/self/cgroup\0", &mut cgroup),
        label: config.label.get(),
        argv: redact::arguments(words(argv)),
        env: words(environment).filter_map(redact::variable),
    }
    .write(line, stamp);
}

fn words(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.strip_suffix(b"\0").unwrap_or(list).split(|byte| *byte == 0)
}

/// From the auxiliary vector: asking `sysconf` would meet our own hook.
pub fn page_size() -> u64 {
    static SIZE: AtomicU64 = AtomicU64::new(0);
    match SIZE.load(Ordering::Relaxed) {
        0 => {
            let size = asked_page_size();
            SIZE.store(size, Ordering::Relaxed);
            size
        }
        known => known,
    }
}

#[cold]
#[inline(never)]
fn asked_page_size() -> u64 {
    const AT_PAGESZ: u64 = 6;
    let mut auxv = [0u8; 1024];
    let pairs = sys::read_file(b"/proc/self/auxv\0", &mut auxv).chunks_exact(16);
    let half = |pair: &[u8], at: usize| {
        pair.get(at..at.wrapping_add(8)).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_ne_bytes)
    };
    let found = pairs.map(|pair| (half(pair, 0), half(pair, 8))).find(|(key, _)| *key == AT_PAGESZ);
    found.map_or(4096, |(_, size)| size)
}
