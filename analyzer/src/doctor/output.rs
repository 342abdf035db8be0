//! Whether the trace can be written where it shall go.

use super::finding::Finding;
use super::limits::room;
use super::machine::{gib, shown};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A serving process that asks once a second fills this in hours.
const LITTLE: u64 = 64 << 20;

/// The trace directory that `run` would use.
pub fn finding(out: &Path) -> Finding {
    let shown_out = shown(out);
    let absolute = std::path::absolute(out).unwrap_or_else(|_| out.to_owned());
    let elsewhere = "choose another directory with -o DIR or KVTRACE_OUT=DIR";
    let problem = |found: String, why: &str| Finding::problem("output.directory", found, why, elsewhere);
    if absolute.as_os_str().len() >= 1024 {
        return problem(format!("{shown_out}: longer than 1023 bytes"), "The preload keeps the path in a fixed place.");
    }
    let Some(folder) = existing(&absolute) else {
        return problem(format!("{shown_out}: no folder above it can be read"), "Without it there is no trace.");
    };
    if !folder.is_dir() {
        return problem(format!("{}: not a directory", shown(&folder)), "Without a directory there is no trace.");
    }
    if !writable(&folder) {
        let found = format!("{} cannot be written by this user", shown(&folder));
        return problem(found, "Without it there is no trace: the program runs untraced.");
    }
    let kind = file_system(&folder);
    let (_, free) = room(&folder).unwrap_or((0, 0));
    let found = format!("{shown_out}: {} free on {kind}", gib(free));
    let finding = if free == 0 {
        problem(format!("{shown_out}: nothing is free on {kind}"), "A trace that cannot be written is dropped.")
    } else if absolute.is_dir() && std::fs::read_dir(&absolute).is_ok_and(|mut entries| entries.next().is_some()) {
        Finding::note(
            "output.directory",
            format!("{found}; it is not empty"),
            "`kvtrace run` refuses it: two runs in one \
            directory would read as one.",
            format!("kvtrace run -o ANOTHER, or rm -r {shown_out}"),
        )
    } else if free < LITTLE {
        Finding::note("output.directory", found, "What no longer fits is dropped.", elsewhere)
    } else if kind == "tmpfs" {
        let why = "Files in a tmpfs are shared memory: a trace of some MiB is taken from the memory that is measured.";
        Finding::note("output.directory", found, why, elsewhere)
    } else {
        Finding::ok("output.directory", found)
    };
    finding.with("free_bytes", free).with("file_system", kind)
}

/// The path itself or the nearest folder above it that is there.
fn existing(path: &Path) -> Option<PathBuf> {
    path.ancestors().find(|path| path.symlink_metadata().is_ok()).map(Path::to_owned)
}

fn writable(folder: &Path) -> bool {
    let Ok(path) = CString::new(folder.as_os_str().as_bytes()) else { return false };
    // SAFETY: a C string.
    unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), libc::W_OK | libc::X_OK, libc::AT_EACCESS) == 0 }
}

fn file_system(folder: &Path) -> String {
    let Ok(path) = CString::new(folder.as_os_str().as_bytes()) else { return "unknown".into() };
    // SAFETY: all zeros are a statfs.
    let mut found: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: a C string, and a struct of ours that the kernel fills.
    if unsafe { libc::statfs(path.as_ptr(), &raw mut found) } != 0 {
        return "unknown".into();
    }
    match found.f_type {
        0xef53 => "ext4".into(),
        0x5846_5342 => "xfs".into(),
        0x9123_683e => "btrfs".into(),
        0x0102_1994 => "tmpfs".into(),
        0x794c_7630 => "overlay".into(),
        0x6969 => "nfs".into(),
        0x2fc1_2fc1 => "zfs".into(),
        0x0102_1997 => "9p".into(),
        0x6573_5546 => "fuse".into(),
        0x0bd0_0bd0 => "lustre".into(),
        other => format!("file system {other:#x}"),
    }
}
