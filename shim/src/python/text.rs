//! Strings of CPython, as UTF-8.

use super::guard::{Memory, Part, word_in};
use super::layout::TYPE;
use super::pack::Bytes;
use super::runtime::Runtime;

/// Stands for what was left out of a string.
const CUT: &[u8] = b"...";
/// The longest string that is believed, in characters.
const MOST: usize = 1 << 30;

/// What is kept of a string that is too long: so many characters.
#[derive(Clone, Copy)]
pub enum Keep {
    /// Its begin.
    First(usize),
    /// Its end, which tells more of a path.
    Last(usize),
}

/// Appends the string of which `part` is the begin, as UTF-8. Reads into `spare` what is longer.
pub fn put(
    memory: &Memory,
    python: &Runtime,
    part: &Part,
    keep: Keep,
    spare: &mut [u8],
    out: &mut Bytes,
) -> Option<()> {
    let layout = &python.layout;
    let head = part.into.get(..part.got)?;
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
    let (skipped, kept) = match keep {
        Keep::First(most) => (0, length.min(most)),
        Keep::Last(most) => (length.saturating_sub(most), length.min(most)),
    };
    let (from, size) = (start.checked_add(skipped.checked_mul(width)?)?, kept.checked_mul(width)?);
    let end = from.checked_add(size)?;
    let bytes = if end <= part.got {
        part.into.get(from..end)?
    } else {
        let room = spare.get_mut(..size)?;
        if memory.read(part.at.checked_add(from)?, room) != size {
            return None;
        }
        room
    };
    let is_cut = kept < length;
    if is_cut && matches!(keep, Keep::Last(_)) {
        out.push(CUT);
    }
    // Most are ASCII, and need no second look.
    let (plain, rest) = if is_ascii { (bytes, &[][..]) } else { (&[][..], bytes) };
    out.push(plain);
    for unit in rest.chunks_exact(width) {
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
    if is_cut && matches!(keep, Keep::First(_)) {
        out.push(CUT);
    }
    Some(())
}
