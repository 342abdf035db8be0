//! What does not change while a process runs, written once at its first query. Raw signs only: what they mean, say of a
//! container, is for the reader to judge.

mod files;
mod mounts;
mod signs;

use crate::buffers::Claim;
use crate::missing::{self, Reason};
use crate::process::{self, Process};
use crate::sys;
use crate::trace::Event;
use core::sync::atomic::Ordering;

/// Of a longer text the beginning is kept: a line has to hold it, with each line break as two bytes.
const LONGEST: usize = 3072;

/// Writes the facts, if this process has not yet.
#[inline(never)]
pub fn tell(process: &Process) {
    if process.views.facts.swap(1, Ordering::AcqRel) != 0 {
        return;
    }
    let Some(mut claim) = Claim::new(process::pid()) else { return };
    let scratch = &mut claim.get().file;
    files::tell(scratch);
    signs::tell(scratch);
    mounts::tell(scratch);
}

/// Writes a fact.
fn fact(name: &[u8], source: &[u8], text: &[u8]) {
    let Some(mut event) = Event::begin("fact", sys::clock(libc::CLOCK_MONOTONIC)) else { return };
    let text = text.trim_ascii_end();
    event.write(|line| {
        line.text("name", name)
            .text("source", source.strip_suffix(b"\0").unwrap_or(source))
            .text("text", text.get(..text.len().min(LONGEST)).unwrap_or_default());
    });
}

fn lost(name: &[u8], source: &[u8], error: i32) {
    missing::write(name, source, Reason::Error(error));
}
