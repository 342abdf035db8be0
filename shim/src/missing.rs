//! What was not to be had, with the reason: once for each process and thing.

use crate::process::Process;
use crate::sys;
use crate::text::Text;
use crate::trace::Event;
use core::sync::atomic::Ordering;

const NAMES: [(i32, &[u8]); 19] = [
    (libc::EPERM, b"EPERM"),
    (libc::ENOENT, b"ENOENT"),
    (libc::EIO, b"EIO"),
    (libc::ENXIO, b"ENXIO"),
    (libc::EAGAIN, b"EAGAIN"),
    (libc::ENOMEM, b"ENOMEM"),
    (libc::EACCES, b"EACCES"),
    (libc::ENODEV, b"ENODEV"),
    (libc::ENOTDIR, b"ENOTDIR"),
    (libc::EISDIR, b"EISDIR"),
    (libc::EINVAL, b"EINVAL"),
    (libc::ENFILE, b"ENFILE"),
    (libc::EMFILE, b"EMFILE"),
    (libc::EROFS, b"EROFS"),
    (libc::ELOOP, b"ELOOP"),
    (libc::ENAMETOOLONG, b"ENAMETOOLONG"),
    (libc::ENOSYS, b"ENOSYS"),
    (libc::ENODATA, b"ENODATA"),
    (libc::EOPNOTSUPP, b"EOPNOTSUPP"),
];

/// Why something is missing.
#[derive(Clone, Copy)]
pub enum Reason<'a> {
    /// An `errno`.
    Error(i32),
    /// What a library answered instead of 0.
    Code(i32),
    /// Words.
    Words(&'a [u8]),
}

/// Views that may be missing, by their bit in [`crate::view::Views::missing`].
#[derive(Clone, Copy)]
pub enum View {
    /// /proc/meminfo
    Meminfo,
    /// The process's own resident memory.
    Own,
    /// The process's own control group.
    Cgroup,
    /// The groups above it.
    Groups,
    /// /proc/zoneinfo
    Zones,
    /// /proc/buddyinfo
    Blocks,
    /// A GPU's NUMA node.
    Node,
    /// NVML's lists.
    Usage,
    /// NVML's memory figures.
    UsageMemory,
    /// The list of loaded libraries.
    Libraries,
    /// What a rule of `patch` needs to know.
    Patch,
    /// The first of the figures of an AMD GPU; the others follow.
    Card = 16,
    /// The first of the files of a control group; the others follow.
    CgroupFile = 32,
}

/// Writes that a view is missing. `which` tells those of one kind apart.
pub fn view(process: &Process, view: View, which: u32, what: &[u8], source: &[u8], reason: Reason) {
    let bit = 1u64.wrapping_shl((view as u32).saturating_add(which));
    if process.views.missing.fetch_or(bit, Ordering::AcqRel) & bit == 0 {
        write(what, source, reason);
    }
}

/// Whether a view was said to be missing.
pub fn is_told(process: &Process, view: View) -> bool {
    process.views.missing.load(Ordering::Relaxed) & 1u64.wrapping_shl(view as u32) != 0
}

/// Writes a `missing` event.
pub fn write(what: &[u8], source: &[u8], reason: Reason) {
    let Some(mut event) = Event::begin("missing", sys::clock(libc::CLOCK_MONOTONIC)) else { return };
    event.write(|line| {
        line.text("what", what).text("source", source.strip_suffix(b"\0").unwrap_or(source));
        let (words, number) = match reason {
            Reason::Words(words) => {
                line.text("reason", words);
                return;
            }
            Reason::Code(code) => (&b"answer "[..], code),
            Reason::Error(error) => match NAMES.iter().find(|(known, _)| *known == error) {
                Some((_, name)) => {
                    line.text("reason", name);
                    return;
                }
                None => (&b"errno "[..], error),
            },
        };
        let mut text = Text::<32>::new();
        text.push(words);
        text.push_number(number.unsigned_abs().into());
        line.text("reason", text.get());
    });
}
