//! The Python stack of a thread that asks, for CPython 3.10 to 3.14: read from the interpreter's own memory, without its
//! GIL and without a call into it, so that nothing of it can change, and nothing can wait.
//!
//! The path: [`runtime`] finds the interpreter, [`layout`] knows where it keeps what, [`thread`] which of its threads
//! this is, [`frames`] walks the stack, [`text`] and [`lines`] read what a frame is called, [`pack`] keeps it. Every read
//! goes through [`guard`]. Where anything is not as it should be there is no stack: a thread that runs no Python, another
//! implementation or version, a free-threaded build, an interpreter that ends, a pointer to nowhere.

mod frames;
mod guard;
mod layout;
mod lines;
mod pack;
mod runtime;
mod text;
mod thread;

use crate::buffers::Claim;
use crate::text::Text;
use crate::trace::Event;
use crate::{config, process, sys};
use frames::Room;
use pack::Pack;

/// Bytes for files and functions, more than fit into a line.
const TEXTS: usize = 5120;

/// Walks through CPython's thread states, at most. A thread that ends takes its state out of the list and frees it, and a
/// walk that stands on it is led astray; one that begins anew does not meet it again.
const WALKS: usize = 4;

/// Writes the stack that belongs to event `of`.
pub fn stack(of: u64) {
    if of == 0 || !config::get().is_some_and(|config| config.python) {
        return;
    }
    if !runtime::is_there() {
        return;
    }
    let process = process::current();
    let time = sys::clock(libc::CLOCK_MONOTONIC);
    let Some(mut claim) = Claim::new(process::pid()) else { return };
    let buffers = claim.get();
    let Some((texts, rest)) = buffers.file.split_at_mut_checked(TEXTS) else { return };
    let mut pack = Pack::new(texts);
    let Some(mut room) = Room::new(rest, &mut buffers.line) else { return };
    let Some(minor) = read(process, &mut room, &mut pack) else { return };
    let mut python = Text::<8>::new();
    python.push(b"3.");
    python.push_number(minor.into());
    let Some(mut event) = Event::begin("stack", time) else { return };
    event.write(|line| {
        let mut frames = pack.frames();
        line.u64("of", of).text("python", python.get());
        line.objects("frames", |line| {
            let Some(frame) = frames.next() else { return false };
            line.text("file", frame.file).u64("line", frame.line.into()).text("func", frame.name);
            true
        });
        if pack.is_cut {
            line.incomplete();
        }
    });
}

/// Whether the thread is inside a Python function of this name: the last part of its qualified name, or all of it.
pub fn runs(function: &[u8]) -> bool {
    if !runtime::is_there() {
        return false;
    }
    let process = process::current();
    let Some(mut claim) = Claim::new(process::pid()) else { return false };
    let buffers = claim.get();
    let Some((texts, rest)) = buffers.file.split_at_mut_checked(TEXTS) else { return false };
    let mut pack = Pack::new(texts);
    let Some(mut room) = Room::new(rest, &mut buffers.line) else { return false };
    if read(process, &mut room, &mut pack).is_none() {
        return false;
    }
    pack.frames()
        .any(|frame| frame.name == function || frame.name.rsplit(|byte| *byte == b'.').next() == Some(function))
}

/// Collects the frames of the calling thread, and tells the minor version of its Python; `None` if it runs none. Not a
/// part of its caller, whose stack is small that way while the event is written.
#[inline(never)]
fn read(process: &process::Process, room: &mut Room, pack: &mut Pack) -> Option<u32> {
    let memory = guard::Memory::new()?;
    let python = runtime::known(&memory)?;
    let innermost = (0..WALKS).find_map(|_| thread::innermost(process, &memory, &python))?;
    frames::collect(&memory, &python, innermost, room, pack)?;
    pack.frames().next().map(|_| python.layout.minor)
}
