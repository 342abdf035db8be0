//! Memory of a GPU that is a NUMA node: what the kernel has of it, page cache included.

use super::machine;
use crate::buffers::Claim;
use crate::missing::{self, Reason, View};
use crate::process::{self, Process};
use crate::sys;
use crate::text::{self, Text};
use crate::trace::Event;
use core::sync::atomic::Ordering;

/// Remembers that `node` is a GPU's memory.
pub fn found(node: u32) {
    if let Some(bit) = 1u64.checked_shl(node) {
        process::current().views.nodes.fetch_or(bit, Ordering::Relaxed);
    }
}

/// Writes a `node` for each of them.
#[inline(never)]
pub fn tell(process: &Process, of: u64) {
    let nodes = process.views.nodes.load(Ordering::Relaxed);
    for node in (0..u64::BITS).filter(|node| nodes.wrapping_shr(*node) & 1 == 1) {
        let Some(mut claim) = Claim::new(process::pid()) else { return };
        let mut path = Text::<64>::new();
        path.push(b"/sys/devices/system/node/node");
        path.push_number(node.into());
        path.push(b"/meminfo\0");
        let text = match sys::load(sys::open(path.get(), libc::O_RDONLY, 0), &mut claim.get().file) {
            Ok(text) => text,
            Err(error) => {
                missing::view(process, View::Node, 0, b"node", path.get(), Reason::Error(error));
                continue;
            }
        };
        let Some(mut event) = Event::begin("node", sys::clock(libc::CLOCK_MONOTONIC)) else { return };
        // `Node 0 MemTotal:       24684092 kB`
        let figures = machine::in_bytes(text).filter_map(|(name, bytes)| Some((text::words(name).nth(2)?, bytes)));
        event.write(|line| {
            line.u64("of", of).u64("node", node.into()).numbers("meminfo", figures);
        });
    }
}
