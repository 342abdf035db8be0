//! Signs by which a container may be told: namespaces, marker files, what the process is allowed.

use super::{fact, lost};
use crate::sys;
use crate::text;

const NAMESPACES: [(&[u8], &[u8]); 7] = [
    (b"ns.pid", b"/proc/self/ns/pid\0"),
    (b"ns.mnt", b"/proc/self/ns/mnt\0"),
    (b"ns.cgroup", b"/proc/self/ns/cgroup\0"),
    (b"ns.user", b"/proc/self/ns/user\0"),
    (b"ns.net", b"/proc/self/ns/net\0"),
    (b"ns.uts", b"/proc/self/ns/uts\0"),
    (b"ns.ipc", b"/proc/self/ns/ipc\0"),
];
const MARKERS: [(&[u8], &[u8]); 2] =
    [(b"marker.dockerenv", b"/.dockerenv\0"), (b"marker.containerenv", b"/run/.containerenv\0")];
const STATUS: &[u8] = b"/proc/self/status\0";
const OF_STATUS: [(&[u8], &[u8]); 6] = [
    (b"status.NSpid", b"NSpid"),
    (b"status.CapEff", b"CapEff"),
    (b"status.CapBnd", b"CapBnd"),
    (b"status.Seccomp", b"Seccomp"),
    (b"status.NoNewPrivs", b"NoNewPrivs"),
    (b"status.Uid", b"Uid"),
];

/// Writes them. That a marker does not exist is a sign as well.
pub fn tell(scratch: &mut [u8]) {
    for (name, path) in NAMESPACES {
        let mut link = [0u8; 64];
        match sys::readlink(path, &mut link) {
            [] => lost(name, path, libc::ENOENT),
            target => fact(name, path, target),
        }
    }
    for (name, path) in MARKERS {
        let fd = sys::open_path(path);
        match fd.wrapping_neg() {
            libc::ENOENT | libc::ENOTDIR => fact(name, path, b"absent"),
            error if error > 0 => lost(name, path, error),
            _ => {
                sys::close(fd);
                fact(name, path, b"present");
            }
        }
    }
    let status = match sys::load(sys::open(STATUS, libc::O_RDONLY, 0), scratch) {
        Ok(status) => status,
        Err(error) => return lost(b"status", STATUS, error),
    };
    for (name, key) in OF_STATUS {
        match text::pairs(status).find(|(found, _)| *found == key) {
            Some((_, value)) => fact(name, STATUS, value.trim_ascii_start()),
            None => lost(name, STATUS, libc::ENODATA),
        }
    }
}
