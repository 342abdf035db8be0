//! The launcher's own trace file: a header, the program's memory lines, how it ended.

use super::sample::Figures;
use super::sample::Sum;
use crate::failure::Failure;
use kvtrace_trace::MAX_LINE;
use kvtrace_trace::line::Line;
use kvtrace_trace::record::{self, Stamp};
use kvtrace_trace::redact;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Where the program's lines and end are written.
#[derive(Debug, Clone)]
pub struct Recorder {
    path: PathBuf,
    file: Arc<Mutex<(File, u64)>>,
}

impl Recorder {
    /// Makes the file and writes its header.
    pub fn create(out: &Path, label: &str) -> Result<Self, Failure> {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = host.trim().replace('/', "_");
        let start = start_time();
        let path = out.join(format!("{host}.{}.{start}.jsonl", std::process::id()));
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(|error| Failure::input(format!("{}: {error}", path.display()), "choose another -o"))?;
        let recorder = Recorder { path, file: Arc::new(Mutex::new((file, 0))) };

        let exe = std::env::current_exe().unwrap_or_default();
        let cgroup = fs::read("/proc/self/cgroup").unwrap_or_default();
        let argv: Vec<Vec<u8>> = std::env::args_os().map(OsStringExt::into_vec).collect();
        let env: Vec<Vec<u8>> =
            std::env::vars_os().map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat()).collect();
        recorder.write(|line, stamp| {
            record::Process {
                shim: env!("CARGO_PKG_VERSION"),
                role: "launcher",
                host: host.as_bytes(),
                start,
                ppid: std::os::unix::process::parent_id(),
                forked_from: 0,
                wall: clock(libc::CLOCK_REALTIME),
                page: page_size(),
                exe: exe.as_os_str().as_bytes(),
                cgroup: &cgroup,
                label: label.as_bytes(),
                argv: redact::arguments(argv.iter().map(Vec::as_slice)),
                env: env.iter().filter_map(|entry| redact::variable(entry)),
            }
            .write(line, stamp);
        });
        Ok(recorder)
    }

    /// Keeps a line of the program's output.
    pub fn log(&self, stream: &str, text: &[u8]) {
        self.write(|line, stamp| {
            record::begin(line, "log", stamp).text("stream", stream.as_bytes()).text("text", text);
        });
    }

    /// Notes how the program ended.
    pub fn exit(&self, child: u32, code: Option<i32>, signal: Option<i32>) {
        self.write(|line, stamp| {
            let line = record::begin(line, "exit", stamp).u64("child", child.into());
            match (code, signal) {
                (Some(code), _) => line.i64("code", code.into()),
                (None, signal) => line.i64("signal", signal.unwrap_or(0).into()),
            };
        });
    }

    /// Keeps what the machine and the traced tree looked like.
    pub fn sample(&self, meminfo: &Figures, processes: u32, own: &Figures, path: &str, cgroup: &Figures) {
        fn named(figures: &Figures) -> impl Iterator<Item = (&[u8], u64)> {
            figures.iter().map(|(name, value)| (name.as_bytes(), *value))
        }
        self.write(|line, stamp| {
            record::begin(line, "sample", stamp).numbers("meminfo", named(meminfo)).u64("processes", processes.into());
            line.numbers("self", named(own)).text("cgroup_path", path.as_bytes()).numbers("cgroup", named(cgroup));
        });
    }

    /// Keeps how much of the files at `path` is in the page cache.
    pub fn cached(&self, path: &Path, sum: &Sum) {
        self.write(|line, stamp| {
            record::begin(line, "cached", stamp).u64("of", 0).text("group", path.as_os_str().as_bytes());
            line.u64("files", sum.files).u64("size", sum.size).u64("cached", sum.cached).u64("dirty", sum.dirty);
            line.u64("evicted", sum.evicted).text("by", b"cachestat");
        });
    }

    /// Notes what was not to be had.
    pub fn missing(&self, what: &str, source: &Path, reason: &str) {
        self.write(|line, stamp| {
            let line = record::begin(line, "missing", stamp).text("what", what.as_bytes());
            line.text("source", source.as_os_str().as_bytes()).text("reason", reason.as_bytes());
        });
    }

    /// Takes the file back: the program never started.
    pub fn remove(&mut self) {
        let _ = fs::remove_file(&self.path);
    }

    /// How many other processes left a file.
    pub fn others(&self) -> usize {
        let entries = self.path.parent().and_then(|folder| fs::read_dir(folder).ok());
        let files = entries.into_iter().flatten().flatten().map(|entry| entry.path());
        files
            .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl") && *path != self.path)
            .count()
    }

    /// A trace that cannot be written must not end the run: the program goes on as it would without us.
    fn write(&self, fields: impl FnOnce(&mut Line, &Stamp)) {
        let Ok(mut guard) = self.file.lock() else { return };
        let (file, events) = &mut *guard;
        *events += 1;
        let pid = std::process::id();
        let mut buffer = [0; MAX_LINE];
        let mut line = Line::new(&mut buffer);
        fields(&mut line, &Stamp { n: *events, t: clock(libc::CLOCK_MONOTONIC), pid, tid: pid });
        let _ = file.write_all(line.finish());
    }
}

/// Field 22 of the stat line; the program's name before it may hold anything.
fn start_time() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_whitespace().nth(19).and_then(|field| field.parse().ok()).unwrap_or(0)
}

pub fn page_size() -> u64 {
    // SAFETY: sysconf has no preconditions.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

pub fn clock(id: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a timespec of our own.
    unsafe { libc::clock_gettime(id, &mut time) };
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}
