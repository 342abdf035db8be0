//! The trace file: made at the first event, one `write(2)` per event. Whatever goes wrong here is counted and told
//! in the trace if it can be; the program never learns of it.

use crate::process::{self, Process};
use crate::text::Text;
use crate::{buffers::Claim, config, header, sys, weights};
use core::sync::atomic::Ordering;
use kvtrace_trace::line::Line;
use kvtrace_trace::record::{self, Stamp};

/// Stages of [`Process::stage`].
const OPENING: u32 = 1;
const OPEN: u32 = 2;
const FAILED: u32 = 3;

/// Programs expect low descriptors to be theirs.
const LEAST_FD: i32 = 512;

/// How often one process may become another program and still be traced.
const MOST_IMAGES: u32 = 1000;

/// An event under construction.
pub struct Event {
    claim: Claim,
    kind: &'static str,
    time: u64,
    process: &'static Process,
    /// Its number, once written.
    pub number: u64,
}

impl Event {
    /// Begins an event that happened at `time`. `None` if there is nowhere to write it; that is counted.
    pub fn begin(kind: &'static str, time: u64) -> Option<Event> {
        let config = config::get()?;
        let process = process::current();
        if !ready(process, config) {
            process.dropped.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        match Claim::new(process::pid()) {
            Some(claim) => Some(Event { claim, kind, time, process, number: 0 }),
            None => {
                process.dropped.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    /// Formats and writes the line.
    pub fn write(&mut self, fields: impl FnOnce(&mut Line)) {
        self.write_with(|line, _| fields(line));
    }

    /// As [`Self::write`], with the scratch memory at hand.
    pub fn write_with(&mut self, fields: impl FnOnce(&mut Line, &mut [u8])) {
        let stamp = stamp(self.process, self.time);
        self.number = stamp.n;
        let buffers = self.claim.get();
        let mut line = Line::new(&mut buffers.line);
        record::begin(&mut line, self.kind, &stamp);
        fields(&mut line, &mut buffers.file);
        put(self.process, line.finish());
    }

    /// The process that the event belongs to.
    pub fn process(&self) -> &'static Process {
        self.process
    }
}

fn stamp(process: &Process, time: u64) -> Stamp {
    let pid = process::pid();
    let n = process.events.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
    Stamp { n, t: time, pid, tid: process::tid(pid) }
}

/// Whether the trace file is open; opens it for the first event. Threads that come while another opens it wait for
/// the header, which must be the first line.
fn ready(process: &'static Process, config: &config::Config) -> bool {
    let mut patience = 10_000u32;
    loop {
        match process.stage.load(Ordering::Acquire) {
            OPEN => return true,
            FAILED => return false,
            OPENING => {
                patience = patience.wrapping_sub(1);
                if patience == 0 {
                    return false;
                }
                sys::sched_yield();
            }
            stage => {
                if process.stage.compare_exchange(stage, OPENING, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                    let done = open(process, config);
                    process.stage.store(if done { OPEN } else { FAILED }, Ordering::Release);
                    if done {
                        weights::begin();
                    }
                    return done;
                }
            }
        }
    }
}

// Apart from its caller, so that every event does not pay for the stack of the first.
#[inline(never)]
fn open(process: &'static Process, config: &config::Config) -> bool {
    let Some(mut claim) = Claim::new(process::pid()) else { return false };
    let buffers = claim.get();
    let start = header::start_time(&mut buffers.file);
    let mut directory = Text::<1025>::new();
    directory.push(config.out.get());
    directory.push(b"\0");
    sys::mkdir(directory.get(), 0o700);
    let fresh = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
    // A program that this process was before an exec had the same pid and start time.
    let mut fd = -libc::EEXIST;
    for image in 0..MOST_IMAGES {
        let Some(path) = path(config, start, image) else { return false };
        fd = sys::open(path.get(), fresh, 0o600);
        process.image.store(image, Ordering::Relaxed);
        if fd != -libc::EEXIST {
            break;
        }
    }
    if !adopt(process, fd) {
        return false;
    }
    let stamp = stamp(process, sys::clock(libc::CLOCK_MONOTONIC));
    let mut line = Line::new(&mut buffers.line);
    header::write(&mut line, &stamp, process, config, start, &mut buffers.file);
    put(process, line.finish());
    if !config.warning.is_empty() {
        let stamp = self::stamp(process, stamp.t);
        let mut line = Line::new(&mut buffers.line);
        record::begin(&mut line, "warning", &stamp).text("text", config.warning.as_bytes());
        put(process, line.finish());
    }
    true
}

/// Takes a new descriptor into use, moved out of the program's way.
fn adopt(process: &Process, fd: i32) -> bool {
    if fd < 0 {
        return false;
    }
    let high = sys::dup_from(fd, LEAST_FD);
    let fd = if high >= 0 {
        sys::close(fd);
        high
    } else {
        fd
    };
    let (dev, inode) = sys::identity(fd).unwrap_or((0, 0));
    process.file_dev.store(dev, Ordering::Relaxed);
    process.file_inode.store(inode, Ordering::Relaxed);
    process.fd.store(fd, Ordering::Release);
    true
}

/// `OUT/HOST.PID.START.jsonl`, NUL-terminated; `START-IMAGE` behind an exec.
fn path(config: &config::Config, start: u64, image: u32) -> Option<Text<1200>> {
    let mut host = [0u8; 65];
    let mut path = Text::new();
    let fits = path.push(config.out.get())
        && path.push(b"/")
        && path.push(sys::host(&mut host))
        && path.push(b".")
        && path.push_number(process::pid().into())
        && path.push(b".")
        && path.push_number(start)
        && (image == 0 || path.push(b"-") && path.push_number(image.into()))
        && path.push(b".jsonl\0");
    fits.then_some(path)
}

/// Writes one line whole. Programs close and reuse descriptors that they did not open, so each write first makes sure
/// that the descriptor is still the trace.
fn put(process: &Process, line: &[u8]) {
    let mut fd = process.fd.load(Ordering::Acquire);
    let ours = match sys::identity(fd) {
        Ok((dev, inode)) => {
            dev == process.file_dev.load(Ordering::Relaxed) && inode == process.file_inode.load(Ordering::Relaxed)
        }
        // A filter that forbids statx forbids no write: the descriptor is as good as the last time.
        Err(error) => error != -libc::EBADF && process.file_inode.load(Ordering::Relaxed) == 0,
    };
    if !ours {
        fd = reopen(process);
    }
    if fd < 0 || line.is_empty() || sys::write(fd, line) != line.len() as isize {
        process.dropped.fetch_add(1, Ordering::Relaxed);
        return;
    }
    let dropped = process.dropped.swap(0, Ordering::Relaxed);
    if dropped != 0 {
        let mut small = [0u8; 160];
        let stamp = stamp(process, sys::clock(libc::CLOCK_MONOTONIC));
        let mut line = Line::new(&mut small);
        record::begin(&mut line, "dropped", &stamp).u64("count", dropped).text("reason", b"not written");
        let line = line.finish();
        if sys::write(fd, line) != line.len() as isize {
            process.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
    }
}

#[cold]
#[inline(never)]
fn reopen(process: &Process) -> i32 {
    let Some(config) = config::get() else { return -1 };
    let mut stat = [0u8; 1024];
    let Some(path) = path(config, header::start_time(&mut stat), process.image.load(Ordering::Relaxed)) else {
        return -1;
    };
    let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_NOFOLLOW;
    match adopt(process, sys::open(path.get(), flags, 0)) {
        true => process.fd.load(Ordering::Acquire),
        false => -1,
    }
}
