//! The control groups above the process's own, whose limits bound it too.

use super::cgroup::Figures;
use super::machine::Machine;
use crate::buffers::Claim;
use crate::missing::{self, Reason, View};
use crate::process::{self, Process};
use crate::sys;
use crate::trace::Event;

/// No hierarchy is as deep; a path that is not what it seems ends here.
const MOST_LEVELS: u32 = 32;

/// Writes a `group` for each group from the parent of the process's own to the top of what is mounted.
#[inline(never)]
pub fn tell(process: &Process, of: u64, machine: &mut Machine) {
    let group = &mut machine.group;
    if group.version == 0 {
        return;
    }
    let Some(mut claim) = Claim::new(process::pid()) else { return };
    let (mut level, mut figures) = (0u32, Figures::none());
    while level < MOST_LEVELS && group.ascend() {
        level = level.saturating_add(1);
        group.read(&mut figures, None, &mut claim.get().file);
        if figures.named().next().is_none() {
            continue;
        }
        let Some(mut event) = Event::begin("group", sys::clock(libc::CLOCK_MONOTONIC)) else { break };
        event.write(|line| {
            line.u64("of", of)
                .u64("level", level.into())
                .u64("version", group.version.into())
                .text("path", group.path())
                .numbers("figures", figures.named());
        });
    }
    if !missing::is_told(process, View::Groups) && !group.is_root() {
        let reason = Reason::Words(b"what is above this group is not mounted here");
        missing::view(process, View::Groups, 0, b"groups", group.path(), reason);
    }
    group.descend();
}
