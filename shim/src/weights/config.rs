//! The `config.json` beside the first weights of a folder.

use super::event;
use super::safetensors::{FNV, fnv};
use crate::buffers::Claim;
use crate::sys::files;
use crate::text::{base_name, until_nul};
use crate::view::budget;
use crate::{process, sys};
use core::ffi::CStr;

/// A larger file is none that a model is described by, bytes.
const LARGEST: u64 = 4 << 20;
const NAME: &[u8] = b"config.json\0";

/// Writes the `config` event of the folder of `path`, if it has one.
pub fn tell(path: &[u8]) {
    let begin = sys::clock(libc::CLOCK_MONOTONIC);
    let Some(mut claim) = Claim::new(process::pid()) else { return };
    let buffers = claim.get();
    let path = until_nul(path);
    let folder = path.get(..path.len().saturating_sub(base_name(path).len())).unwrap_or_default();
    let Some(room) = buffers.line.get_mut(..folder.len().saturating_add(NAME.len())) else { return };
    for (to, from) in room.iter_mut().zip(folder.iter().chain(NAME)) {
        *to = *from;
    }
    let Ok(name) = CStr::from_bytes_with_nul(room) else { return };
    let Ok(stat) = files::stat_at(files::HERE, name) else { return };
    if !stat.is_regular || stat.size > LARGEST {
        return;
    }
    let fd = files::look_into(files::HERE, name);
    if fd < 0 {
        return;
    }
    let (mut digest, mut size) = (FNV, 0u64);
    // What fits is read last, so that it stays in the buffer: the file is small, or too large for the line anyway.
    let mut held = 0usize;
    loop {
        let got = files::read_at(fd, &mut buffers.file, size);
        let Some(part) = usize::try_from(got).ok().and_then(|got| buffers.file.get(..got)) else { break };
        if part.is_empty() || size > LARGEST {
            break;
        }
        digest = fnv(digest, part);
        held = if size == 0 { part.len() } else { 0 };
        size = size.saturating_add(part.len() as u64);
        if size >= stat.size {
            break;
        }
    }
    files::close_unlocked(fd);
    let tight = tighten(buffers.file.get_mut(..held).unwrap_or_default());
    let text = buffers.file.get(..tight).unwrap_or_default();
    if size != 0 {
        event::write("config", begin, |line| {
            line.text("path", name.to_bytes()).u64("size", size).hex("digest", digest);
            // A text that was not read whole has no place here.
            if tight != 0 {
                line.text("text", text);
            }
        });
    }
    budget::charge(sys::clock(libc::CLOCK_MONOTONIC).saturating_sub(begin));
}

/// Takes the white space between the parts of a JSON text out; gives what is left.
fn tighten(text: &mut [u8]) -> usize {
    let (mut is_text, mut is_escaped, mut kept) = (false, false, 0usize);
    for at in 0..text.len() {
        let byte = text.get(at).copied().unwrap_or(0);
        if !is_text && byte.is_ascii_whitespace() {
            continue;
        }
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_text,
            b'"' => is_text = !is_text,
            _ => {}
        }
        if let Some(to) = text.get_mut(kept) {
            *to = byte;
        }
        kept = kept.saturating_add(1);
    }
    kept
}
