//! Strings of CPython, as UTF-8.

use super::guard::{Memory, word_in};
use super::layout::TYPE;
use super::pack::Bytes;
use super::runtime::Runtime;

/// Stands for what was left out of a string.
const CUT: &[u8] = b"...";
/// The longest string that is believed, in characters.
const MOST: usize = 1 << 30;

/// A string, or the part of it that is kept.
pub struct Text<'b> {
    bytes: &'b [u8],
    /// Bytes of a character.
    width: usize,
    /// What is left out.
    cut: Option<Cut>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    Begin,
    End,
}

impl<'b> Text<'b> {
    /// The string at `at`, of which `got` bytes are in the buffer; at most `most` characters of it, the last ones of a
    /// path.
    pub fn new(
        memory: &Memory,
        python: &Runtime,
        at: usize,
        buffer: &'b mut [u8],
        got: usize,
        (most, is_path): (usize, bool),
    ) -> Option<Text<'b>> {
        let layout = &python.layout;
        let head = buffer.get(..got)?;
        let (kind, length) = (word_in(head, TYPE)?, word_in(head, layout.text_length)?);
        let state = word_in(head, layout.text_state)?;
        if kind != python.text || kind == 0 || length > MOST {
            return None;
        }
        // Two bits of interning, three of the characters' width, then: in one piece with its head, and ASCII.
        let (width, is_compact, is_ascii) = ((state >> 2) & 7, state & 32 != 0, state & 64 != 0);
        if !matches!(width, 1 | 2 | 4) || !is_compact || is_ascii && width != 1 {
            return None;
        }
        let start = if is_ascii { layout.ascii } else { layout.wide };
        let kept = length.min(most);
        let cut = if kept == length {
            None
        } else if is_path {
            Some(Cut::Begin)
        } else {
            Some(Cut::End)
        };
        let skipped = if is_path { length.checked_sub(kept)?.checked_mul(width)? } else { 0 };
        let (from, size) = (start.checked_add(skipped)?, kept.checked_mul(width)?);
        let bytes = if from.checked_add(size)? <= got {
            buffer.get(from..from.checked_add(size)?)?
        } else {
            let room = buffer.get_mut(..size)?;
            if memory.read(at.checked_add(from)?, room) != size {
                return None;
            }
            room
        };
        Some(Text { bytes, width, cut })
    }

    /// Appends it as UTF-8.
    pub fn put(&self, out: &mut Bytes) {
        if self.cut == Some(Cut::Begin) {
            out.push(CUT);
        }
        for unit in self.bytes.chunks_exact(self.width) {
            let mut code = [0u8; 4];
            for (to, from) in code.iter_mut().zip(unit) {
                *to = *from;
            }
            let code = u32::from_le_bytes(code);
            match char::from_u32(code) {
                Some(letter) => out.push(letter.encode_utf8(&mut [0; 4]).as_bytes()),
                // Python keeps the bytes of file names that are no UTF-8 as lone surrogates.
                None => out.push(&[code as u8 | 0x80]),
            }
        }
        if self.cut == Some(Cut::End) {
            out.push(CUT);
        }
    }
}
