//! Files of weights: which are opened, what is done with them, and whose pages the page cache holds.

/// The scanner of headers against a real parser.
mod header;
/// Two runs under one label.
mod identity;
/// What is kept, left out and said where something is missing.
mod limits;
/// The owner of the pages, to within 1 %.
mod owner;
/// Who may ask, and how.
mod permission;
/// Every way to open, read and map a file.
mod ways;

use kvtrace_tests::{Bench, kit, run};
use serde_json::Value;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

/// In bytes.
pub const MIB: u64 = 1 << 20;

/// A header of one BF16 tensor that fills the file.
pub fn header(bytes: u64) -> String {
    format!("{{\"w\":{{\"dtype\":\"BF16\",\"shape\":[{}],\"data_offsets\":[0,{bytes}]}}}}", bytes / 2)
}

/// Writes a safetensors file with `bytes` of tensors, out of the page cache.
pub fn make(path: &Path, bytes: u64) {
    let header = header(bytes);
    let mut content = (header.len() as u64).to_le_bytes().to_vec();
    content.extend_from_slice(header.as_bytes());
    content.extend((0..bytes).map(|at| (at.wrapping_mul(2_654_435_761) >> 7) as u8));
    fs::write(path, content).unwrap();
    cool(path);
}

/// Writes the file out and drops its pages.
pub fn cool(path: &Path) {
    let file = File::open(path).unwrap();
    file.sync_all().unwrap();
    // SAFETY: a descriptor of ours and numbers.
    assert_eq!(unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) }, 0);
}

/// Bytes of a file in the page cache, asked by a mapping of this process.
pub fn resident(path: &Path) -> u64 {
    let file = File::open(path).unwrap();
    let size = file.metadata().unwrap().len() as usize;
    let mut pages = vec![0u8; size.div_ceil(4096)];
    // SAFETY: a new mapping of the whole file, a vector with a byte for each of its pages, and the mapping's end.
    unsafe {
        let at = libc::mmap(std::ptr::null_mut(), size, libc::PROT_NONE, libc::MAP_SHARED, file.as_raw_fd(), 0);
        assert_ne!(at, libc::MAP_FAILED);
        assert_eq!(libc::mincore(at, size, pages.as_mut_ptr()), 0);
        libc::munmap(at, size);
    }
    (pages.iter().filter(|page| **page & 1 != 0).count() as u64 * 4096).min(size as u64)
}

/// A bench on a real disk: files in a tmpfs are shared memory.
pub fn bench() -> Bench {
    Bench::new_in("/var/tmp")
}

/// The program that does steps.
pub fn steps(bench: &Bench) -> PathBuf {
    bench.compile("weights/steps", "steps", &[])
}

/// Runs it under the preload and gives its trace and what it printed.
pub fn traced(bench: &Bench, arguments: &[&str]) -> (kvtrace_tests::Trace, String) {
    let output = run(bench.traced(steps(bench)).args(arguments));
    (bench.trace(), String::from_utf8(output.stdout).unwrap())
}

/// The command, with the simulated GPU's libraries at hand.
pub fn kvtrace(bench: &Bench) -> Command {
    bench.plain(kit("bin/kvtrace"))
}

/// What `kvtrace` answers as JSON, whether or not a KV cache was sized.
pub fn ask(bench: &Bench, arguments: &[&str]) -> Value {
    let output = kvtrace(bench).args(arguments).args(["--format", "json"]).output().unwrap();
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// The `cached` events of a file, in order.
pub fn readings(trace: &kvtrace_tests::Trace, id: u64) -> Vec<&Value> {
    trace.events("cached").into_iter().filter(|event| event["id"] == id).collect()
}
