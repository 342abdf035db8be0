//! Files of any length, line by line through one small buffer.

use crate::sys;

/// Shows the lines of the file at a NUL-terminated path to `visit`; of a line longer than `buf`, its beginning. `Err`
/// is an `errno`.
pub fn each(path: &[u8], buf: &mut [u8], visit: &mut dyn FnMut(&[u8])) -> Result<(), i32> {
    let fd = sys::open(path, libc::O_RDONLY, 0);
    if fd < 0 {
        return Err(fd.wrapping_neg());
    }
    let mut result = Ok(());
    let (mut held, mut skips) = (0usize, false);
    loop {
        if held == buf.len() {
            if !skips {
                visit(buf);
            }
            (held, skips) = (0, true);
        }
        let got = sys::read(fd, buf.get_mut(held..).unwrap_or_default());
        if got <= 0 {
            if got < 0 {
                result = Err((got as i32).wrapping_neg());
            }
            break;
        }
        let end = held.saturating_add(got as usize);
        let mut start = 0usize;
        while let Some(rest) = buf.get(start..end)
            && let Some(size) = rest.iter().position(|byte| *byte == b'\n')
        {
            if !skips {
                visit(rest.get(..size).unwrap_or_default());
            }
            skips = false;
            start = start.saturating_add(size).saturating_add(1);
        }
        held = end.saturating_sub(start);
        for to in 0..held {
            let from = buf.get(start.saturating_add(to)).copied().unwrap_or_default();
            if let Some(slot) = buf.get_mut(to) {
                *slot = from;
            }
        }
    }
    sys::close(fd);
    if held != 0 && !skips {
        visit(buf.get(..held).unwrap_or_default());
    }
    result
}
