//! Facts that are files: of the kernel, of NVIDIA's driver, of the machine.

use super::{fact, lost};
use crate::sys;
use crate::text::Text;
use kvtrace_trace::redact;

const FILES: [(&[u8], &[u8]); 23] = [
    (b"kernel.release", b"/proc/sys/kernel/osrelease\0"),
    (b"kernel.version", b"/proc/sys/kernel/version\0"),
    (b"kernel.boot_id", b"/proc/sys/kernel/random/boot_id\0"),
    (b"kernel.uptime", b"/proc/uptime\0"),
    (b"vm.min_free_kbytes", b"/proc/sys/vm/min_free_kbytes\0"),
    (b"vm.watermark_scale_factor", b"/proc/sys/vm/watermark_scale_factor\0"),
    (b"vm.watermark_boost_factor", b"/proc/sys/vm/watermark_boost_factor\0"),
    (b"vm.overcommit_memory", b"/proc/sys/vm/overcommit_memory\0"),
    (b"vm.overcommit_ratio", b"/proc/sys/vm/overcommit_ratio\0"),
    (b"vm.swappiness", b"/proc/sys/vm/swappiness\0"),
    (b"vm.zone_reclaim_mode", b"/proc/sys/vm/zone_reclaim_mode\0"),
    (b"thp.enabled", b"/sys/kernel/mm/transparent_hugepage/enabled\0"),
    (b"swaps", b"/proc/swaps\0"),
    (b"numa.online", b"/sys/devices/system/node/online\0"),
    (b"nvidia.version", b"/proc/driver/nvidia/version\0"),
    (b"nvidia.params", b"/proc/driver/nvidia/params\0"),
    (b"nvidia.module", b"/sys/module/nvidia/version\0"),
    (b"dmi.sys_vendor", b"/sys/class/dmi/id/sys_vendor\0"),
    (b"dmi.product_name", b"/sys/class/dmi/id/product_name\0"),
    (b"dmi.board_name", b"/sys/class/dmi/id/board_name\0"),
    (b"dmi.bios_version", b"/sys/class/dmi/id/bios_version\0"),
    (b"dmi.bios_date", b"/sys/class/dmi/id/bios_date\0"),
    (b"process.uid_map", b"/proc/self/uid_map\0"),
];
const COMMAND_LINE: &[u8] = b"/proc/cmdline\0";
const PARAMETERS: &[u8] = b"/sys/module/nvidia/parameters\0";

/// Writes them.
pub fn tell(scratch: &mut [u8]) {
    for (name, path) in FILES {
        match sys::load(sys::open(path, libc::O_RDONLY, 0), scratch) {
            Ok(text) => fact(name, path, text),
            Err(error) => lost(name, path, error),
        }
    }
    command_line(scratch);
    parameters(scratch);
}

/// The kernel's, which may hold secrets as any other.
fn command_line(scratch: &mut [u8]) {
    let name = b"kernel.cmdline";
    let half = scratch.len() / 2;
    let Some((scratch, out)) = scratch.split_at_mut_checked(half) else { return };
    match sys::load(sys::open(COMMAND_LINE, libc::O_RDONLY, 0), scratch) {
        Ok(text) => {
            let words = redact::arguments(text.trim_ascii_end().split(|byte| *byte == b' '));
            let len = join(words, b" ", out);
            fact(name, COMMAND_LINE, out.get(..len).unwrap_or_default());
        }
        Err(error) => lost(name, COMMAND_LINE, error),
    }
}

/// Copies `pieces` into `out` with `between` between them, as many as fit, and tells how long it is.
pub fn join<'t>(pieces: impl Iterator<Item = &'t [u8]>, between: &[u8], out: &mut [u8]) -> usize {
    let mut len = 0usize;
    for (number, piece) in pieces.enumerate() {
        let before = if number == 0 { &[] } else { between };
        let end = len.saturating_add(before.len()).saturating_add(piece.len());
        let Some(room) = out.get_mut(len..end) else { break };
        for (to, from) in room.iter_mut().zip(before.iter().chain(piece)) {
            *to = *from;
        }
        len = end;
    }
    len
}

/// Those of NVIDIA's kernel module that may be read, `name=value` a line.
fn parameters(scratch: &mut [u8]) {
    let name = b"nvidia.parameters";
    let directory = sys::open(PARAMETERS, libc::O_RDONLY | libc::O_DIRECTORY, 0);
    if directory < 0 {
        return lost(name, PARAMETERS, directory.wrapping_neg());
    }
    let half = scratch.len() / 2;
    let Some((list, out)) = scratch.split_at_mut_checked(half) else { return };
    let got = usize::try_from(sys::entries(directory, list)).unwrap_or(0);
    let mut list = list.get(..got).unwrap_or_default();
    let mut len = 0usize;
    // struct linux_dirent64: inode and offset, 8 bytes each, its own length in 2, a type, and the name with its NUL.
    while let Some(size) = list.get(16..18).and_then(|size| size.try_into().ok()).map(u16::from_ne_bytes)
        && let Some((entry, rest)) = list.split_at_checked(size.into())
        && let Some(entry) = entry.get(19..)
    {
        list = rest;
        let entry = crate::text::until_nul(entry);
        let mut file = Text::<128>::new();
        if entry.starts_with(b".") || !file.push(entry) || !file.push(b"\0") {
            continue;
        }
        let mut value = [0u8; 256];
        if let Ok(value) = sys::load_once(sys::open_in(directory, file.get()), &mut value) {
            let room = out.get_mut(len..).unwrap_or_default();
            let pieces: [&[u8]; 4] = [entry, b"=", value.trim_ascii_end(), b"\n"];
            len = len.saturating_add(join(pieces.into_iter(), b"", room));
        }
    }
    sys::close(directory);
    fact(name, PARAMETERS, out.get(..len).unwrap_or_default());
}
