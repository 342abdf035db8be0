//! From an instruction to its line, by the tables that CPython keeps for that: that of PEP 626 in 3.10, that of PEP 657
//! from 3.11 on.

use super::guard::{Memory, Part, word_in};
use super::layout::TYPE;
use super::runtime::Runtime;

/// The longest table that is read, in bytes.
const MOST: usize = 1 << 20;

/// A table of lines, read bit by bit.
pub struct Table<'b> {
    memory: &'b Memory,
    /// What is read of it and not yet asked for: a part of this, or of the spare room.
    read: &'b [u8],
    spare: &'b mut [u8],
    is_spare: bool,
    next: usize,
    end: usize,
    /// Where the rest is, and how long.
    at: usize,
    left: usize,
}

impl<'b> Table<'b> {
    /// The bytes object of which `part` is the begin. What is longer goes to `spare`.
    pub fn new(memory: &'b Memory, python: &Runtime, part: &'b Part, spare: &'b mut [u8]) -> Option<Table<'b>> {
        let layout = &python.layout;
        let read = part.into.get(..part.got)?;
        let (kind, length) = (word_in(read, TYPE)?, word_in(read, layout.bytes_length)?);
        if kind != python.bytes || kind == 0 || length > MOST {
            return None;
        }
        let end = part.got.min(layout.bytes.checked_add(length)?);
        let left = length.checked_sub(end.checked_sub(layout.bytes)?)?;
        let at = part.at.checked_add(end)?;
        Some(Table { memory, read, spare, is_spare: false, next: layout.bytes, end, at, left })
    }

    fn next(&mut self) -> Option<u8> {
        if self.next == self.end {
            let size = self.left.min(self.spare.len());
            let room = self.spare.get_mut(..size).filter(|room| !room.is_empty())?;
            if self.memory.read(self.at, room) != size {
                return None;
            }
            self.at = self.at.checked_add(size)?;
            self.left = self.left.checked_sub(size)?;
            (self.is_spare, self.next, self.end) = (true, 0, size);
        }
        let bytes: &[u8] = if self.is_spare { self.spare } else { self.read };
        let byte = *bytes.get(self.next)?;
        self.next = self.next.checked_add(1)?;
        Some(byte)
    }

    /// Six bits a byte, the lowest first; the seventh says that there are more.
    fn number(&mut self) -> Option<u32> {
        let (mut value, mut shift) = (0u32, 0u32);
        loop {
            let byte = self.next()?;
            value |= u32::from(byte & 63).checked_shl(shift)?;
            if byte & 64 == 0 {
                return Some(value);
            }
            shift = shift.checked_add(6)?;
        }
    }

    /// The lowest bit is the sign.
    fn signed(&mut self) -> Option<i32> {
        let value = self.number()?;
        let size = (value >> 1) as i32;
        Some(if value & 1 == 0 { size } else { size.wrapping_neg() })
    }
}

/// Line of the instruction at byte `offset`; `None` if it has none. The table has pairs: bytes of code, and how much
/// further their line is than that of the pair before; -128 says that they have none.
pub fn of_3_10(table: &mut Table, offset: usize, first_line: i32) -> Option<i32> {
    let (mut end, mut line) = (0usize, first_line);
    loop {
        let (size, delta) = (table.next()?, table.next()? as i8);
        end = end.checked_add(size.into())?;
        let known = delta != i8::MIN;
        if known {
            line = line.wrapping_add(delta.into());
        }
        if offset < end {
            return known.then_some(line);
        }
    }
}

/// As [`of_3_10`], from 3.11 on. An entry begins with a byte that has the highest bit set: its kind, and how many
/// instructions it is about. What follows depends on the kind; the line comes first.
pub fn of_3_11(table: &mut Table, offset: usize, first_line: i32) -> Option<i32> {
    let (mut end, mut line) = (0usize, first_line);
    let mut head = table.next()?;
    loop {
        end = end.checked_add((usize::from(head & 7) + 1) * 2)?;
        let kind = (head >> 3) & 15;
        let delta = match kind {
            11 => 1,
            12 => 2,
            13 | 14 => table.signed()?,
            _ => 0,
        };
        line = line.wrapping_add(delta);
        if offset < end {
            return (kind != 15).then_some(line);
        }
        head = loop {
            let byte = table.next()?;
            if byte & 0x80 != 0 {
                break byte;
            }
        };
    }
}
