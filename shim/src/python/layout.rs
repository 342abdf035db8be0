//! Where CPython keeps what a stack is read from.
//!
//! 3.13 and later describe it themselves, at the start of `_PyRuntime`. For earlier versions it is written down here, as
//! `offsetof` gives it for CPython's own headers of 3.10.13, 3.11.7 and 3.12.1 on 64-bit Linux, built without
//! `--with-pydebug`: cpython/pystate.h, cpython/frameobject.h, cpython/code.h, cpython/unicodeobject.h,
//! internal/pycore_runtime.h, internal/pycore_interp.h, internal/pycore_frame.h. Within a minor version they stay, from
//! the first final release on: extensions are compiled against them.

use super::guard::{Memory, word_in};

/// Offsets in bytes. The fields of objects count from the object.
#[derive(Clone, Copy)]
pub struct Layout {
    /// Version 3.`minor`.
    pub minor: u32,
    /// In `_PyRuntime`: the first interpreter.
    pub interpreters: usize,
    /// In an interpreter: the next one.
    pub next_interpreter: usize,
    /// Its first thread.
    pub threads: usize,
    /// In a thread's state: the next one.
    pub next_thread: usize,
    /// `pthread_self` of the thread.
    pub thread: usize,
    /// Its id in the kernel; `None` before 3.11.
    pub kernel_thread: Option<usize>,
    /// How the thread's frames hang on it.
    pub frames: Frames,
    /// In a frame: the one that called it.
    pub previous: usize,
    /// Its code object.
    pub code: usize,
    /// Where it is; in 3.10 an index, later an address.
    pub instruction: usize,
    /// Who owns it; `None` in 3.10.
    pub owner: Option<usize>,
    /// In a code object: the file's name.
    pub file: usize,
    /// The function's name, qualified from 3.11 on.
    pub name: usize,
    /// The table of lines.
    pub lines: usize,
    /// The line of the definition.
    pub first_line: usize,
    /// The instructions themselves; in 3.10 they are elsewhere, and nothing needs them.
    pub bytecode: usize,
    /// Number of the first instruction that counts as being in the function, where that is known.
    pub first_traceable: Option<usize>,
    /// In a string: its length.
    pub text_length: usize,
    /// What kind of string it is.
    pub text_state: usize,
    /// Its characters, if they all are ASCII.
    pub ascii: usize,
    /// Its characters, if they are not.
    pub wide: usize,
    /// In a bytes object: its length.
    pub bytes_length: usize,
    /// Its bytes.
    pub bytes: usize,
}

/// How a thread's frames hang on its state.
#[derive(Clone, Copy)]
pub enum Frames {
    /// 3.10: frame objects. The C frame of the innermost evaluation is at `mark`.
    Objects { first: usize, mark: usize },
    /// 3.11 and 3.12: through the C frame of the innermost evaluation.
    ThroughC { c_frame: usize, first: usize },
    /// 3.13: at `first`. The frame where Python was entered lies on the C stack.
    Direct { first: usize },
}

/// In every object: its type.
pub const TYPE: usize = 8;

const PYTHON_3_10: Layout = Layout {
    minor: 10,
    interpreters: 32,
    next_interpreter: 0,
    threads: 8,
    next_thread: 8,
    thread: 176,
    kernel_thread: None,
    frames: Frames::Objects { first: 24, mark: 48 },
    previous: 24,
    code: 32,
    instruction: 96,
    owner: None,
    file: 104,
    name: 112,
    lines: 120,
    first_line: 40,
    bytecode: 0,
    first_traceable: None,
    text_length: 16,
    text_state: 32,
    ascii: 48,
    wide: 72,
    bytes_length: 16,
    bytes: 32,
};

const PYTHON_3_11: Layout = Layout {
    minor: 11,
    interpreters: 40,
    threads: 16,
    thread: 152,
    kernel_thread: Some(160),
    frames: Frames::ThroughC { c_frame: 56, first: 8 },
    previous: 48,
    code: 32,
    instruction: 56,
    owner: Some(69),
    file: 112,
    name: 128,
    lines: 136,
    first_line: 72,
    bytecode: 184,
    first_traceable: Some(168),
    ..PYTHON_3_10
};

const PYTHON_3_12: Layout = Layout {
    minor: 12,
    threads: 72,
    thread: 136,
    kernel_thread: Some(144),
    frames: Frames::ThroughC { c_frame: 56, first: 0 },
    previous: 8,
    code: 0,
    owner: Some(70),
    first_line: 68,
    bytecode: 192,
    first_traceable: Some(176),
    ascii: 40,
    wide: 56,
    ..PYTHON_3_11
};

/// What precedes the characters of a string that are not ASCII, behind what precedes those that are: its UTF-8 form and
/// the length of that.
const UTF8: usize = 16;

/// Words of `_Py_DebugOffsets` that are read.
const DESCRIBED: usize = 81;

/// The layout of the CPython at `runtime` with this version, as `PY_VERSION_HEX` writes it.
pub fn of(memory: &Memory, runtime: usize, version: u32) -> Option<Layout> {
    match version >> 16 {
        0x030a => Some(PYTHON_3_10),
        0x030b => Some(PYTHON_3_11),
        0x030c => Some(PYTHON_3_12),
        0x030d => described(memory, runtime, version, [8, 9, 21, 24, 25, 23, 29, 30, 31, 33], 35),
        0x030e => described(memory, runtime, version, [8, 9, 24, 27, 28, 26, 32, 33, 34, 36], 40),
        _ => None,
    }
}

/// As the interpreter describes itself. `at` are the positions of the offsets in the description, in words: of the next
/// interpreter, the threads, the next thread, its two ids, its frame, and the frame's four; `code` is that of the code
/// object's first.
fn described(memory: &Memory, runtime: usize, version: u32, at: [usize; 10], code: usize) -> Option<Layout> {
    let mut table = [0u8; DESCRIBED * 8];
    if memory.read(runtime, &mut table) != table.len() || !table.starts_with(b"xdebugpy") {
        return None;
    }
    let word = |index: usize| word_in(&table, index.checked_mul(8)?);
    // Free-threaded builds have other objects, and instructions for each thread.
    if word(1)? != version as usize || word(2)? != 0 {
        return None;
    }
    // Of structures that are read, no offset is larger.
    let small = |index: usize| word(index).filter(|offset| *offset < 480);
    let [
        next_interpreter,
        threads,
        next_thread,
        thread,
        kernel_thread,
        frame,
        previous,
        executable,
        instruction,
        owner,
    ] = at;
    let object = |index: usize| small(code.checked_add(index)?);
    // Behind the code object's: the types of objects, and of 3.14's sets.
    let (bytes, text) = if version >> 16 == 0x030d { (65, 68) } else { (75, 78) };
    let ascii = small(text + 2)?;
    let near = |index: usize| word(index).filter(|offset| *offset < 1 << 20);
    Some(Layout {
        minor: (version >> 16) & 0xff,
        interpreters: near(5)?,
        next_interpreter: near(next_interpreter)?,
        threads: near(threads)?,
        next_thread: small(next_thread)?,
        thread: small(thread)?,
        kernel_thread: Some(small(kernel_thread)?),
        frames: Frames::Direct { first: small(frame)? },
        previous: small(previous)?,
        code: small(executable)?,
        instruction: small(instruction)?,
        owner: Some(small(owner)?),
        file: object(0)?,
        name: object(2)?,
        lines: object(3)?,
        first_line: object(4)?,
        bytecode: object(8)?,
        first_traceable: None,
        text_length: small(text + 1)?,
        text_state: small(text)?,
        ascii,
        wide: ascii.checked_add(UTF8)?,
        bytes_length: small(bytes)?,
        bytes: small(bytes + 1)?,
    })
}
