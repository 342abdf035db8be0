//! The fields of each event, for the writing side. `event` holds the same fields for the reading side, and a test
//! keeps the two together.

use crate::line::Line;

/// What every line carries.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    /// Number of the event in its file, from 1. Gaps are drops.
    pub n: u64,
    /// Begin of the call, ns of CLOCK_MONOTONIC.
    pub t: u64,
    /// Process id, in the PID namespace of the process.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
}

/// What every intercepted call carries.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The function's name without suffixes for ABI versions, `cuMemGetInfo`.
    pub name: &'a str,
    /// `driver`, `runtime`, `hip`, `nvml` or `libc`. Bytes are counted on the driver's and on HIP's layer only.
    pub layer: &'a str,
    /// How many traced calls enclose this one on its thread.
    pub depth: u32,
    /// What the function returned.
    pub rc: i64,
    /// How long the real function took, ns.
    pub dur: u64,
    /// Path of the module that called.
    pub module: &'a [u8],
    /// Return address, as an offset from the module's load address.
    pub offset: u64,
}

/// Begins a line: event kind and stamp.
pub fn begin<'l, 'b>(line: &'l mut Line<'b>, ev: &str, stamp: &Stamp) -> &'l mut Line<'b> {
    line.text("ev", ev.as_bytes())
        .u64("n", stamp.n)
        .u64("t", stamp.t)
        .u64("pid", stamp.pid.into())
        .u64("tid", stamp.tid.into())
}

/// Adds the fields of an intercepted call.
pub fn call<'l, 'b>(line: &'l mut Line<'b>, call: &Call) -> &'l mut Line<'b> {
    line.text("fn", call.name.as_bytes())
        .text("layer", call.layer.as_bytes())
        .u64("depth", call.depth.into())
        .i64("rc", call.rc)
        .u64("dur", call.dur)
        .text("mod", call.module)
        .hex("off", call.offset)
}

/// The first line of every file.
pub struct Process<'a, Argv, Env> {
    /// Version of the writer.
    pub shim: &'a str,
    /// `program` for a traced process, `launcher` for the file that `kvtrace run` writes.
    pub role: &'a str,
    /// Host name.
    pub host: &'a [u8],
    /// Start time of the process, clock ticks after boot (field 22 of /proc/PID/stat).
    pub start: u64,
    /// Parent process id.
    pub ppid: u32,
    /// The pid whose memory image this process began as, 0 if it began by exec.
    pub forked_from: u32,
    /// CLOCK_REALTIME at [`Stamp::t`], ns.
    pub wall: u64,
    /// Page size, bytes.
    pub page: u64,
    /// Path of the executable.
    pub exe: &'a [u8],
    /// Text of /proc/self/cgroup.
    pub cgroup: &'a [u8],
    /// `KVTRACE_LABEL`.
    pub label: &'a [u8],
    /// Argument list, secrets blanked.
    pub argv: Argv,
    /// The variables that steer memory, secrets blanked.
    pub env: Env,
}

impl<'a, Argv, Env> Process<'a, Argv, Env>
where
    Argv: Iterator<Item = &'a [u8]>,
    Env: Iterator<Item = (&'a [u8], &'a [u8])>,
{
    /// Writes the header; small fields first, so that a long command line costs its own tail only.
    pub fn write(self, line: &mut Line, stamp: &Stamp) {
        begin(line, "process", stamp)
            .text("schema", crate::SCHEMA_TEXT.as_bytes())
            .text("shim", self.shim.as_bytes())
            .text("role", self.role.as_bytes())
            .text("host", self.host)
            .u64("start", self.start)
            .u64("ppid", self.ppid.into())
            .u64("forked_from", self.forked_from.into())
            .u64("wall", self.wall)
            .u64("page", self.page)
            .text("exe", self.exe)
            .text("label", self.label)
            .text("cgroup", self.cgroup)
            .pairs("env", self.env)
            .texts("argv", self.argv);
    }
}
