//! /proc/self/maps, a line at a time.

use crate::sys;

/// One mapping of a file.
pub struct Mapping<'t> {
    /// Its first address.
    pub start: usize,
    /// The address behind it.
    pub end: usize,
    /// Whether what is written to it reaches the file.
    pub is_shared: bool,
    /// Where in the file it begins, bytes.
    pub offset: u64,
    /// `MAJOR << 32 | MINOR`.
    pub device: u64,
    /// Inode of the file.
    pub inode: u64,
    /// Its path.
    pub path: &'t [u8],
}

/// Shows the mappings of files in the order of their addresses, as long as `visit` says so.
pub fn walk(scratch: &mut [u8], visit: &mut dyn FnMut(Mapping) -> bool) {
    let fd = sys::open(b"/proc/self/maps\0", libc::O_RDONLY, 0);
    if fd < 0 {
        return;
    }
    let mut held = 0usize;
    while let Some(room) = scratch.get_mut(held..)
        && !room.is_empty()
    {
        let got = sys::read(fd, room);
        if got <= 0 {
            break;
        }
        held = held.saturating_add(got as usize);
        let mut done = 0usize;
        while let Some(rest) = scratch.get(done..held)
            && let Some(size) = rest.iter().position(|byte| *byte == b'\n')
        {
            done = done.saturating_add(size).saturating_add(1);
            if let Some(mapping) = rest.get(..size).and_then(parse)
                && !visit(mapping)
            {
                sys::close(fd);
                return;
            }
        }
        if done == 0 {
            // A line that is longer than any path.
            break;
        }
        // What is left of the last line goes to the front.
        for at in done..held {
            let byte = scratch.get(at).copied().unwrap_or(0);
            if let Some(to) = scratch.get_mut(at.wrapping_sub(done)) {
                *to = byte;
            }
        }
        held = held.saturating_sub(done);
    }
    sys::close(fd);
}

/// `START-END rwxp OFFSET MAJOR:MINOR INODE    PATH`; `None` for what is no file.
fn parse(line: &[u8]) -> Option<Mapping<'_>> {
    let mut fields = line.splitn(6, |byte| *byte == b' ');
    let (start, end) = pair(fields.next()?, b'-')?;
    let kind = fields.next()?;
    let offset = hex(fields.next()?)?;
    let (major, minor) = pair(fields.next()?, b':')?;
    let inode = crate::text::number(fields.next()?)?;
    let path = fields.next()?.trim_ascii_start();
    (inode != 0 && path.first() == Some(&b'/')).then_some(Mapping {
        start: start as usize,
        end: end as usize,
        is_shared: kind.get(1) == Some(&b'w') && kind.get(3) == Some(&b's'),
        offset,
        device: major << 32 | minor,
        inode,
        path,
    })
}

fn pair(text: &[u8], between: u8) -> Option<(u64, u64)> {
    let mut halves = text.splitn(2, |byte| *byte == between);
    Some((hex(halves.next()?)?, hex(halves.next()?)?))
}

fn hex(text: &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for byte in text {
        value = value.checked_mul(16)? | u64::from((*byte as char).to_digit(16)?);
    }
    (!text.is_empty()).then_some(value)
}
