//! Limits of this process, which the program will inherit.

use super::finding::Finding;
use super::machine::{Machine, gib, shown};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

/// Docker's default, 64 MiB, is far below what several ranks need.
const ENOUGH_SHM: u64 = 1 << 30;

/// Every finding about limits.
pub fn findings(machine: &Machine) -> Vec<Finding> {
    let mut findings = vec![address_space(), memlock()];
    findings.push(shm(machine));
    findings
}

/// A soft limit in bytes; absent if none is set.
fn soft(resource: libc::__rlimit_resource_t) -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes into a struct of ours.
    let failed = unsafe { libc::getrlimit(resource, &raw mut limit) } != 0;
    (!failed && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

fn address_space() -> Finding {
    let set = [("as", "-v", soft(libc::RLIMIT_AS)), ("data", "-d", soft(libc::RLIMIT_DATA))];
    let Some((name, option, bytes)) = set.into_iter().find_map(|(name, option, bytes)| Some((name, option, bytes?)))
    else {
        return Finding::ok("limits.address_space", "not limited");
    };
    Finding::note(
        "limits.address_space",
        format!("limited to {} ({name})", gib(bytes)),
        "A GPU's driver reserves address space as large as all memory, and fails where it gets none.",
        format!("ulimit {option} unlimited"),
    )
    .with("limit_bytes", bytes)
}

fn memlock() -> Finding {
    match soft(libc::RLIMIT_MEMLOCK) {
        None => Finding::ok("limits.memlock", "not limited"),
        Some(bytes) => Finding::note(
            "limits.memlock",
            format!("limited to {}", gib(bytes)),
            "CUDA's own pinned memory is not bound by it, but NCCL over RDMA and mlock are.",
            "ulimit -l unlimited, or docker run --ulimit memlock=-1",
        )
        .with("limit_bytes", bytes),
    }
}

fn shm(machine: &Machine) -> Finding {
    let path = machine.path("/dev/shm");
    let Some((size, free)) = room(&path) else {
        return Finding::note(
            "limits.dev_shm",
            format!("{} is not there", shown(&path)),
            "Ranks of one server pass data through it.",
            "mount -t tmpfs tmpfs /dev/shm",
        );
    };
    let found = format!("{} of {} free", gib(free), gib(size));
    let finding = match free < ENOUGH_SHM {
        true => Finding::note(
            "limits.dev_shm",
            found,
            "Ranks of one server, NCCL and data loaders pass data through /dev/shm.",
            "docker run --shm-size=8g, or remove what others left there: ls -lS /dev/shm",
        ),
        false => Finding::ok("limits.dev_shm", found),
    };
    finding.with("size_bytes", size).with("free_bytes", free)
}

/// Size of a file system and what of it this user may still fill, in bytes.
pub fn room(path: &std::path::Path) -> Option<(u64, u64)> {
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    // SAFETY: all zeros are a statvfs.
    let mut found: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: a C string, and a struct of ours that the kernel fills.
    let failed = unsafe { libc::statvfs(path.as_ptr(), &raw mut found) } != 0;
    (!failed).then(|| (found.f_blocks.saturating_mul(found.f_frsize), found.f_bavail.saturating_mul(found.f_frsize)))
}
