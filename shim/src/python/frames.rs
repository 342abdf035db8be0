//! The frames of one thread. It is the thread that asks, so they stay as they are while they are read; what is read is
//! still taken for nothing before it has shown to be what it should.

use super::guard::{Memory, Part, Window, word_in};
use super::layout::TYPE;
use super::lines::{self, Table};
use super::pack::Pack;
use super::runtime::Runtime;
use super::text::{self, Keep};

/// Frames that are written, at most.
const MOST: usize = 64;
/// Frames that are looked at, at most.
const MOST_SEEN: usize = 256;
/// Frames of which the same is read at once: a call to the kernel costs more than what it copies.
const BATCH: usize = 5;
/// Owner of a frame that lives in a generator.
const GENERATOR: u8 = 1;
/// Room for that part of a code object which is read.
const CODE: usize = 256;
/// What is read at first of a file's name, a function's, and a table of lines, each with what stands before it: most are
/// shorter.
const FILE: usize = 192;
const NAME: usize = 128;
const LINES: usize = 256;
/// Characters that are kept of a file's name, and of a function's.
const MOST_FILE: Keep = Keep::Last(256);
const MOST_NAME: Keep = Keep::First(128);
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

/// Memory to work in.
pub struct Room<'b> {
    /// For frames.
    pub window: Window<'b>,
    /// For code objects.
    codes: &'b mut [u8],
    /// For what they are called.
    texts: [&'b mut [u8]; 3],
    /// For what is longer than most.
    spare: &'b mut [u8],
}

impl<'b> Room<'b> {
    /// Takes what it needs of both.
    pub fn new(one: &'b mut [u8], other: &'b mut [u8]) -> Option<Room<'b>> {
        let (codes, window) = one.split_at_mut_checked(BATCH * CODE)?;
        let (files, rest) = other.split_at_mut_checked(BATCH * FILE)?;
        let (names, rest) = rest.split_at_mut_checked(BATCH * NAME)?;
        let (lines, spare) = rest.split_at_mut_checked(BATCH * LINES)?;
        Some(Room { window: Window::new(window), codes, texts: [files, names, lines], spare })
    }
}

/// A frame, as far as it tells of itself.
#[derive(Clone, Copy, Default)]
struct Frame {
    /// Address of its code object.
    code: usize,
    /// The word that says where it is.
    instruction: usize,
    owner: u8,
}

/// A function that is being run.
#[derive(Clone, Copy)]
struct Place {
    file: usize,
    name: usize,
    lines: usize,
    first_line: i32,
    /// Bytes from the begin of its code; `None` before the first instruction.
    offset: Option<usize>,
}

/// Collects the frames from `innermost` on. `None` if anything is not as it should be.
pub fn collect(memory: &Memory, python: &Runtime, innermost: usize, room: &mut Room, pack: &mut Pack) -> Option<()> {
    let mut chain = Chain { next: innermost, seen: 0, passed: 0, left: 1, stride: 1 };
    let mut written = 0usize;
    loop {
        let mut frames = [Frame::default(); BATCH];
        for slot in &mut frames {
            match chain.next(memory, python, &mut room.window)? {
                Some(frame) => *slot = frame,
                None => break,
            }
        }
        let places = places(memory, python, &frames, room.codes)?;
        if !describe(memory, python, &places, room, pack, &mut written)? {
            return Some(());
        }
        if chain.next == 0 {
            return Some(());
        }
        if chain.seen >= MOST_SEEN {
            pack.cut();
            return Some(());
        }
    }
}

/// The way from a frame to those that called it.
struct Chain {
    next: usize,
    seen: usize,
    /// A frame that was passed, and how many more are passed before it is another: a circle comes back to it.
    passed: usize,
    left: usize,
    stride: usize,
}

impl Chain {
    /// The next frame that is a function's; nothing at the end.
    fn next(&mut self, memory: &Memory, python: &Runtime, window: &mut Window) -> Option<Option<Frame>> {
        let layout = &python.layout;
        let owner_at = layout.owner.unwrap_or(layout.previous);
        let at = [layout.previous, layout.code, layout.instruction & !7, owner_at & !7];
        let first = at.iter().copied().min()?;
        let size = at.iter().copied().max()?.checked_sub(first)?.checked_add(8)?;
        while self.next != 0 && self.seen < MOST_SEEN {
            let frame = self.next;
            if frame == self.passed {
                return None;
            }
            self.seen = self.seen.saturating_add(1);
            self.left = self.left.saturating_sub(1);
            if self.left == 0 {
                self.stride = self.stride.saturating_mul(2);
                (self.passed, self.left) = (frame, self.stride);
            }
            let bytes = window.get(memory, frame.checked_add(first)?, size)?;
            let word = |offset: usize| word_in(bytes, offset.checked_sub(first)?);
            let owner = layout.owner.map_or(Some(0), |offset| Some(byte_of(word(offset & !7)?, offset)))?;
            // 3.14 keeps a mark in the lowest bits.
            let (code, instruction) = (word(layout.code)? & !7, word(layout.instruction & !7)?);
            self.next = word(layout.previous)?;
            if !is_entry(owner) {
                return (code != 0).then_some(Some(Frame { code, instruction, owner }));
            }
        }
        Some(None)
    }
}

/// The first that is the same as the one at `index`.
fn first_like(addresses: &[usize; BATCH], index: usize) -> usize {
    let wanted = addresses.get(index);
    addresses.iter().position(|address| Some(address) == wanted).unwrap_or(index)
}

/// What the frames run, each if it is a function of the program.
#[inline(never)]
fn places(
    memory: &Memory,
    python: &Runtime,
    frames: &[Frame; BATCH],
    room: &mut [u8],
) -> Option<[Option<Place>; BATCH]> {
    let layout = &python.layout;
    let traceable = layout.first_traceable.unwrap_or(layout.first_line);
    let at = [TYPE, layout.file, layout.name, layout.lines, layout.first_line & !7, traceable & !7];
    let first = at.iter().copied().min()?;
    let size = at.iter().copied().max()?.checked_sub(first)?.checked_add(8).filter(|size| *size <= CODE)?;
    let mut rooms = room.chunks_exact_mut(CODE);
    let codes = frames.map(|frame| frame.code);
    let mut parts: [Part; BATCH] = core::array::from_fn(|index| {
        let at = codes.get(index).copied().unwrap_or(0);
        let into = rooms.next().filter(|_| at != 0 && first_like(&codes, index) == index);
        Part {
            at: at.wrapping_add(first),
            into: into.and_then(|room| room.get_mut(..size)).unwrap_or_default(),
            got: 0,
        }
    });
    memory.read_all(&mut parts);
    let mut places = [None; BATCH];
    for (index, (place, frame)) in places.iter_mut().zip(frames).enumerate() {
        if frame.code != 0 {
            let part = parts.get(first_like(&codes, index))?;
            let code = part.into.get(..part.got).filter(|code| code.len() == size)?;
            *place = self::place(python, frame, code, first)?;
        }
    }
    Some(places)
}

/// What a frame runs; `code` is the code object from byte `first` on.
fn place(python: &Runtime, frame: &Frame, code: &[u8], first: usize) -> Option<Option<Place>> {
    let layout = &python.layout;
    let word = |offset: usize| word_in(code, (offset & !7).checked_sub(first)?);
    if word(TYPE)? != python.code || python.code == 0 {
        return None;
    }
    let (file, name, lines) = (word(layout.file)?, word(layout.name)?, word(layout.lines)?);
    // Code of the interpreter's own comes from no file.
    if file == 0 || name == 0 {
        return Some(None);
    }
    let offset = if layout.owner.is_some() {
        (frame.instruction as isize).wrapping_sub(frame.code.checked_add(layout.bytecode)? as isize)
    } else {
        int_of(frame.instruction, layout.instruction) as isize * 2
    };
    if let Some(traceable) = layout.first_traceable {
        let least = (int_of(word(traceable)?, traceable) as isize).saturating_mul(2);
        // On its way into the function, which Python itself does not show yet.
        if frame.owner != GENERATOR && offset < least {
            return Some(None);
        }
    }
    let offset = usize::try_from(offset).ok();
    let first_line = int_of(word(layout.first_line)?, layout.first_line);
    let believable = offset.is_none_or(|offset| offset <= MOST_CODE);
    believable.then_some(Some(Place { file, name, lines, first_line, offset }))
}

/// Adds what can be said of the places; false if there was no room for all of it.
#[inline(never)]
fn describe(
    memory: &Memory,
    python: &Runtime,
    places: &[Option<Place>; BATCH],
    room: &mut Room,
    pack: &mut Pack,
    written: &mut usize,
) -> Option<bool> {
    let [files, names, tables] = &mut room.texts;
    let (mut files, mut names) = (files.chunks_exact_mut(FILE), names.chunks_exact_mut(NAME));
    let mut tables = tables.chunks_exact_mut(LINES);
    // What each of the places refers to; functions of one file share its name.
    let all = [
        places.map(|place| place.map_or(0, |place| place.file)),
        places.map(|place| place.map_or(0, |place| place.name)),
        places.map(|place| place.map_or(0, |place| place.lines)),
    ];
    let mut parts: [Part; BATCH * 3] = core::array::from_fn(|index| {
        let (kind, index) = (index / BATCH, index % BATCH);
        let rooms = match kind {
            0 => &mut files,
            1 => &mut names,
            _ => &mut tables,
        };
        let addresses = all.get(kind).unwrap_or(&[0; BATCH]);
        let at = addresses.get(index).copied().unwrap_or(0);
        let into = rooms.next().filter(|_| at != 0 && first_like(addresses, index) == index);
        Part { at, into: into.unwrap_or_default(), got: 0 }
    });
    memory.read_all(&mut parts);
    let [file_addresses, name_addresses, table_addresses] = &all;
    let (files, rest) = parts.split_at_checked(BATCH)?;
    let (names, tables) = rest.split_at_checked(BATCH)?;
    for (index, place) in places.iter().enumerate() {
        let Some(place) = place else { continue };
        let file = files.get(first_like(file_addresses, index))?;
        let name = names.get(first_like(name_addresses, index))?;
        let table = tables.get(first_like(table_addresses, index))?;
        if *written == MOST {
            pack.cut();
            return Some(false);
        }
        let mut table = Table::new(memory, python, table, room.spare)?;
        let line = match place.offset {
            None => Some(place.first_line),
            Some(offset) if python.layout.minor == 10 => lines::of_3_10(&mut table, offset, place.first_line),
            Some(offset) => lines::of_3_11(&mut table, offset, place.first_line),
        };
        pack.begin(line.and_then(|line| u32::try_from(line).ok()).unwrap_or(0));
        text::put(memory, python, file, MOST_FILE, room.spare, pack.file())?;
        text::put(memory, python, name, MOST_NAME, room.spare, pack.name())?;
        if !pack.end() {
            pack.cut();
            return Some(false);
        }
        *written = written.saturating_add(1);
    }
    Some(true)
}
