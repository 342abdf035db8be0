//! Which of CPython's thread states is the calling thread's. Not the one that holds the GIL: a call into CUDA has often
//! given it up, and another thread runs.

use super::guard::Memory;
use super::layout::Frames;
use super::runtime::{self, Runtime};
use crate::process::Process;

/// Interpreters and threads that are looked at, at most. Both lists may change meanwhile and lead anywhere.
const MOST_INTERPRETERS: usize = 256;
const MOST_THREADS: usize = 4096;
/// Frames between the innermost one and where Python was entered, at most.
const MOST_INLINED: usize = 4096;

/// The innermost frame of the calling thread.
#[inline(never)]
pub fn innermost(process: &Process, memory: &Memory, python: &Runtime) -> Option<usize> {
    let layout = &python.layout;
    let (this, original) = (runtime::this_thread(), runtime::kernel_thread(process, memory));
    let here = &raw const this as usize;
    let mut found = None;
    let mut threads = MOST_THREADS;
    let mut interpreter = memory.word(python.at.checked_add(layout.interpreters)?)?;
    for _ in 0..MOST_INTERPRETERS {
        if interpreter == 0 {
            break;
        }
        let [next_interpreter, mut state] = memory.words(interpreter, [layout.next_interpreter, layout.threads])?;
        while state != 0 {
            threads = threads.checked_sub(1)?;
            let at = [layout.next_thread, layout.thread, layout.kernel_thread.unwrap_or(layout.thread)];
            let [next, thread, kernel_thread] = memory.words(state, at)?;
            // A state that its thread left behind may name the thread that came after it.
            let left = layout.kernel_thread.is_some()
                && kernel_thread != 0
                && original.is_some_and(|original| original != kernel_thread);
            if thread == this
                && !left
                && let Some(frame) = frame(memory, state, layout.frames)
            {
                let new = Candidate { state, frame };
                // One interpreter inside the other: the inner one entered Python nearer to here, where the stack is lower.
                found = Some(match found {
                    Some(old) => inner(memory, python, here, old, new)?,
                    None => new,
                });
            }
            state = next;
        }
        interpreter = next_interpreter;
    }
    found.map(|candidate: Candidate| candidate.frame)
}

/// A thread state with frames.
#[derive(Clone, Copy)]
struct Candidate {
    state: usize,
    frame: usize,
}

/// The innermost frame of a thread state, if it has any.
fn frame(memory: &Memory, state: usize, frames: Frames) -> Option<usize> {
    let frame = match frames {
        Frames::Objects { first, .. } | Frames::Direct { first } => memory.word(state.checked_add(first)?)?,
        Frames::ThroughC { c_frame, first } => {
            memory.word(memory.word(state.checked_add(c_frame)?)?.checked_add(first)?)?
        }
    };
    (frame != 0).then_some(frame)
}

/// Which of two was entered last. What lies below the stack pointer is on another thread's stack.
fn inner(memory: &Memory, python: &Runtime, here: usize, a: Candidate, b: Candidate) -> Option<Candidate> {
    let distance = |candidate| Some(entered(memory, python, candidate)?.wrapping_sub(here));
    Some(if distance(a)? < distance(b)? { a } else { b })
}

/// Where on the C stack the innermost evaluation keeps what is its own.
fn entered(memory: &Memory, python: &Runtime, candidate: Candidate) -> Option<usize> {
    match python.layout.frames {
        Frames::Objects { mark: c_frame, .. } | Frames::ThroughC { c_frame, .. } => {
            memory.word(candidate.state.checked_add(c_frame)?)
        }
        Frames::Direct { .. } => {
            let owner = python.layout.owner?;
            let mut frame = candidate.frame;
            for _ in 0..MOST_INLINED {
                let [previous, word] = memory.words(frame, [python.layout.previous, owner & !7])?;
                if super::frames::is_entry(super::frames::byte_of(word, owner)) {
                    return Some(frame);
                }
                frame = previous;
            }
            None
        }
    }
}
