//! Loading and diffing two traces of a given size, and whether time and memory grow with it.
//!
//! `cargo bench -p kvtrace --bench load [-- MIB]`: MIB of traces in all, by default 1024. Where python3 has the module
//! duckdb, its grouping of the same files stands beside it.

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;
use support::{CUDART, File, Scenario};

const ROUNDS: usize = 3;
const MIB: u64 = 1 << 20;
/// Processes of one trace whose events are allocations and frees alone.
const WORKERS: u32 = 4;
/// Of these, how many blocks are live at once.
const LIVE: u64 = 512;

const GROUPING: &str = "
import duckdb, sys, time
duckdb.sql('SET threads=2')
begin = time.monotonic()
duckdb.sql(f\"\"\"SELECT mod, kind, sum(size), count(*) FROM read_json({sys.argv[1:]}, format='newline_delimited',
  columns={{ev:'VARCHAR', layer:'VARCHAR', mod:'VARCHAR', kind:'VARCHAR', size:'UBIGINT', ptr:'VARCHAR', t:'UBIGINT'}})
  GROUP BY mod, kind\"\"\").fetchall()
print(time.monotonic() - begin)
";

fn main() {
    // cargo passes --bench.
    let wanted = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(1024);
    let home = tempfile::tempdir_in("/var/tmp").expect("a temporary directory");
    println!("  size of both | kvtrace diff |  its CPU time |  peak memory | duckdb grouping");
    for size in [wanted / 4, wanted] {
        let sides = ["a", "b"].map(|side| home.path().join(format!("{side}-{size}")));
        let bytes: u64 = sides.iter().map(|side| fill(side, size * MIB / 2)).sum();
        let ours = (0..ROUNDS).map(|_| diff(&sides)).reduce(|a, b| if a.0 <= b.0 { a } else { b });
        let (seconds, cpu, resident) = ours.expect("a round");
        let theirs = (0..ROUNDS).filter_map(|_| duckdb(&sides)).fold(f64::INFINITY, f64::min);
        let theirs = if theirs.is_finite() { format!("{theirs:.2} s") } else { "no module duckdb".to_owned() };
        println!(
            "{:>10} MiB | {seconds:>10.2} s | {cpu:>11.2} s | {:>7} MiB | {theirs:>15}",
            bytes / MIB,
            resident / MIB
        );
    }
}

/// A trace of about `bytes`: one process that sized a KV cache, and workers that allocated and freed.
fn fill(side: &Path, bytes: u64) -> u64 {
    support::write(&Scenario::default(), side);
    let mut written = 0;
    for worker in 0..WORKERS {
        let mut file = File::new(5000 + worker, 4242, "program", "spark", "", "0::/x\n", &[b"/usr/bin/python3"]);
        let mut round = 0;
        while (file.bytes().len() as u64) < bytes / u64::from(WORKERS) {
            let address = 0x7f00_0000_0000 + (round % LIVE) * MIB;
            if round >= LIVE {
                file.free("device", CUDART, address);
            }
            file.alloc("device", CUDART, address, (1 + round % 7) * MIB);
            round += 1;
        }
        written += file.bytes().len() as u64;
        file.save(side);
    }
    written
}

/// Seconds, seconds on all processors, and most resident bytes of `kvtrace diff`.
fn diff(sides: &[PathBuf; 2]) -> (f64, f64, u64) {
    let begin = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_kvtrace"))
        .arg("diff")
        .args(sides)
        .stdout(Stdio::null())
        .spawn()
        .expect("kvtrace starts");
    let mut status = 0;
    // SAFETY: a structure of integers, for which all zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let pid = i32::try_from(child.id()).expect("a pid");
    // SAFETY: both pointers lead to locals, and the child is not reaped yet.
    let reaped = unsafe { libc::wait4(pid, &mut status, 0, &mut usage) };
    assert_eq!((reaped, status), (pid, 0), "kvtrace diff fails");
    let seconds = begin.elapsed().as_secs_f64();
    let _ = child.try_wait();
    let on_cpu = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    (seconds, on_cpu(usage.ru_utime) + on_cpu(usage.ru_stime), usage.ru_maxrss as u64 * 1024)
}

/// Seconds of the grouping alone, without python's start; `None` if the module is not there.
fn duckdb(sides: &[PathBuf; 2]) -> Option<f64> {
    let files = sides.iter().flat_map(|side| std::fs::read_dir(side).expect("a trace"));
    let files = files.map(|entry| entry.expect("an entry").path());
    let mut command = Command::new("python3");
    command.arg("-").args(files).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    child.stdin.take()?.write_all(GROUPING.as_bytes()).ok()?;
    String::from_utf8(child.wait_with_output().ok()?.stdout).ok()?.trim().parse().ok()
}
