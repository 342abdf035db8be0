//! The frames of one thread. It is the thread that asks, so they stay as they are while they are read; what is read is
//! still taken for nothing before it has shown to be what it should.

use super::guard::{Memory, Part};
use super::layout::TYPE;
use super::lines::{self, Table};
use super::pack::Pack;
use super::runtime::Runtime;
use super::text;

/// Frames that are written, at most.
const MOST: usize = 64;
/// Frames that are looked at, at most.
const MOST_SEEN: usize = 256;
/// Owner of a frame that lives in a generator.
const GENERATOR: u8 = 1;
/// Room for a file's name, a function's, and a part of a table of lines, each with what stands before it.
const ROOM: [usize; 3] = [1152, 640, 1024];
/// As much of each as is read at first: most are shorter.
const FIRST: [usize; 3] = [192, 128, 256];
/// Characters that are kept of a file's name, and of a function's.
const MOST_FILE: usize = 256;
const MOST_NAME: usize = 128;
/// The largest code that is believed, in bytes.
const MOST_CODE: usize = 1 << 28;

/// Owners from 3 on are no functions: they mark where Python was entered from C.
pub fn is_entry(owner: u8) -> bool {
    owner >= 3
}

/// The byte at `offset` of a structure, out of the word that holds it.
pub fn byte_of(word: usize, offset: usize) -> u8 {
    *word.to_ne_bytes().get(offset & 7).unwrap_or(&0)
}

/// The `int` at `offset` of a structure, out of the aligned word that holds it.
fn int_of(word: usize, offset: usize) -> i32 {
    (word >> ((offset & 4) * 8)) as i32
}

/// Collects the frames from `innermost` on. `None` if anything is not as it should be.
pub fn collect(memory: &Memory, python: &Runtime, innermost: usize, room: &mut [u8], pack: &mut Pack) -> Option<()> {
    let (mut frame, mut written) = (innermost, 0usize);
    // A frame that was passed, and how many more are passed before it is another: a circle comes back to it.
    let (mut passed, mut left, mut stride) = (0usize, 1usize, 1usize);
    for _ in 0..MOST_SEEN {
        if frame == 0 {
            return Some(());
        }
        if frame == passed {
            return None;
        }
        left = left.saturating_sub(1);
        if left == 0 {
            stride = stride.saturating_mul(2);
            (passed, left) = (frame, stride);
        }
        if written == MOST {
            pack.cut();
            return Some(());
        }
        let (previous, place) = read(memory, python, frame)?;
        if let Some(place) = place {
            match describe(memory, python, &place, room, pack)? {
                true => written = written.saturating_add(1),
                false => {
                    pack.cut();
                    return Some(());
                }
            }
        }
        frame = previous;
    }
    pack.cut();
    Some(())
}

/// A function that is being run.
struct Place {
    file: usize,
    name: usize,
    lines: usize,
    first_line: i32,
    /// Bytes from the begin of its code; `None` before the first instruction.
    offset: Option<usize>,
}

/// The frame that called this one, and what this one runs, if that is a function of the program.
fn read(memory: &Memory, python: &Runtime, frame: usize) -> Option<(usize, Option<Place>)> {
    let layout = &python.layout;
    let owner_at = layout.owner.unwrap_or(layout.previous);
    let at = [layout.previous, layout.code, layout.instruction & !7, owner_at & !7];
    let [previous, code, instruction, owner] = memory.words(frame, at)?;
    let owner = layout.owner.map_or(0, |offset| byte_of(owner, offset));
    if is_entry(owner) {
        return Some((previous, None));
    }
    // 3.14 keeps a mark in the lowest bits.
    let code = code & !7;
    let traceable = layout.first_traceable.unwrap_or(layout.first_line);
    let at = [TYPE, layout.file, layout.name, layout.lines, layout.first_line & !7, traceable & !7];
    let [kind, file, name, lines, first_line, first_traceable] = memory.words(code, at)?;
    if kind != python.code || kind == 0 {
        return None;
    }
    // Code of the interpreter's own comes from no file.
    if file == 0 || name == 0 {
        return Some((previous, None));
    }
    let first_line = int_of(first_line, layout.first_line);
    let offset = if layout.owner.is_some() {
        (instruction as isize).wrapping_sub(code.checked_add(layout.bytecode)? as isize)
    } else {
        int_of(instruction, layout.instruction) as isize * 2
    };
    if let Some(traceable) = layout.first_traceable {
        let least = (int_of(first_traceable, traceable) as isize).saturating_mul(2);
        // On its way into the function, which Python itself does not show yet.
        if owner != GENERATOR && offset < least {
            return Some((previous, None));
        }
    }
    let offset = usize::try_from(offset).ok();
    if offset.is_some_and(|offset| offset > MOST_CODE) {
        return None;
    }
    Some((previous, Some(Place { file, name, lines, first_line, offset })))
}

/// Adds what can be said of a place; false if there was no room for it.
fn describe(memory: &Memory, python: &Runtime, place: &Place, room: &mut [u8], pack: &mut Pack) -> Option<bool> {
    let [file_room, name_room, lines_room] = ROOM;
    let (file_bytes, rest) = room.split_at_mut_checked(file_room)?;
    let (name_bytes, rest) = rest.split_at_mut_checked(name_room)?;
    let line_bytes = rest.get_mut(..lines_room)?;
    let [file_first, name_first, lines_first] = FIRST;
    let mut parts = [
        Part { at: place.file, into: file_bytes.get_mut(..file_first)?, got: 0 },
        Part { at: place.name, into: name_bytes.get_mut(..name_first)?, got: 0 },
        Part { at: place.lines, into: line_bytes.get_mut(..lines_first)?, got: 0 },
    ];
    memory.read_all(&mut parts);
    let [file_got, name_got, lines_got] = parts.map(|part| part.got);
    let file = text::Text::new(memory, python, place.file, file_bytes, file_got, (MOST_FILE, true))?;
    let name = text::Text::new(memory, python, place.name, name_bytes, name_got, (MOST_NAME, false))?;
    let mut table = Table::new(memory, python, place.lines, line_bytes, lines_got)?;
    let line = match place.offset {
        None => Some(place.first_line),
        Some(offset) if python.layout.minor == 10 => lines::of_3_10(&mut table, offset, place.first_line),
        Some(offset) => lines::of_3_11(&mut table, offset, place.first_line),
    };
    let line = line.and_then(|line| u32::try_from(line).ok()).unwrap_or(0);
    Some(pack.push(line, |bytes| file.put(bytes), |bytes| name.put(bytes)))
}
