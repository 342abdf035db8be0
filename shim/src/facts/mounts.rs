//! Facts out of the list of mounts: what the root is, how large shared memory is, where the memory controller is.

use super::files::join;
use super::{fact, lost};
use crate::lines;
use crate::missing::{self, Reason};
use kvtrace_trace::redact;

const MOUNTS: &[u8] = b"/proc/self/mountinfo\0";
/// An overlay names each of its layers.
const LONGEST_OPTIONS: usize = 512;

/// What is told of a mount.
struct Mount<'l> {
    /// Which part of its file system is mounted.
    root: &'l [u8],
    at: &'l [u8],
    options: &'l [u8],
    kind: &'l [u8],
    of_file_system: &'l [u8],
}

/// Writes them.
pub fn tell(scratch: &mut [u8]) {
    let (mut root, mut shared) = (false, false);
    let Some((lines, out)) = scratch.split_at_mut_checked(6144) else { return };
    let read = lines::each(MOUNTS, lines, &mut |line| {
        let Some(mount) = parse(line) else { return };
        let name: &[u8] = match mount.at {
            b"/" => {
                root = true;
                b"mount.root"
            }
            b"/dev/shm" => {
                shared = true;
                b"mount.shm"
            }
            _ if mount.kind == b"cgroup2" || mount.kind == b"cgroup" && mount.is_of_memory() => b"mount.memory",
            _ => return,
        };
        let options = |options| redact::arguments(<[u8]>::split(options, |byte| *byte == b','));
        let (own, all) = out.split_at_mut_checked(LONGEST_OPTIONS).unwrap_or_default();
        let own_len = join(options(mount.options), b",", own);
        let own = own.get(..own_len).unwrap_or_default();
        let (of_file_system, all) = all.split_at_mut_checked(LONGEST_OPTIONS).unwrap_or_default();
        let len = join(options(mount.of_file_system), b",", of_file_system);
        let of_file_system = of_file_system.get(..len).unwrap_or_default();
        let len = join([mount.root, mount.at, own, mount.kind, of_file_system].into_iter(), b" ", all);
        fact(name, MOUNTS, all.get(..len).unwrap_or_default());
    });
    if let Err(error) = read {
        return lost(b"mounts", MOUNTS, error);
    }
    for (name, found) in [(&b"mount.root"[..], root), (b"mount.shm", shared)] {
        if !found {
            missing::write(name, MOUNTS, Reason::Words(b"no such mount is listed"));
        }
    }
}

/// `36 35 98:0 /root /at options optional... - kind source options`
fn parse(line: &[u8]) -> Option<Mount<'_>> {
    let mut fields = line.split(|byte| *byte == b' ');
    let root = fields.nth(3)?;
    let (at, options) = (fields.next()?, fields.next()?);
    fields.find(|field| *field == b"-")?;
    let kind = fields.next()?;
    Some(Mount { root, at, options, kind, of_file_system: fields.nth(1).unwrap_or_default() })
}

impl Mount<'_> {
    fn is_of_memory(&self) -> bool {
        self.of_file_system.split(|byte| *byte == b',').any(|option| option == b"memory")
    }
}
