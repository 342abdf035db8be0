//! How much of a file is in the page cache.

use crate::header;
use crate::sys::files::{self, Stat};
use core::ffi::CStr;
use core::sync::atomic::{AtomicU64, Ordering};

/// An overlay keeps no pages of its own: `cachestat` finds none there, and a mapping shows the file below.
const OVERLAY: u64 = 0x794c_7630;
/// Files here are memory, not copies of what is on a disk.
const MEMORY: [u64; 3] = [0x0102_1994, 0x8584_58f6, 0x9584_58f6];
/// Looked at in one piece, bytes of 4 KiB pages: what the scratch memory has room for.
const PIECE: u64 = 32 << 20;

/// What of a file is in the page cache, bytes.
#[derive(Clone, Copy)]
pub struct Cache {
    /// Of the file.
    pub cached: u64,
    /// Of these, to be written back.
    pub dirty: Option<u64>,
    /// Were there, and are not any more.
    pub evicted: Option<u64>,
    /// How it was asked.
    pub by: &'static str,
}

/// What came of asking.
#[derive(Clone, Copy)]
pub enum Answer {
    /// Nothing: it was not asked, or there is no such figure.
    None,
    /// The kernel tells only who may write to the file.
    Denied,
    /// The figures.
    Known(Cache),
}

/// Asks. `scratch` is for the answer of `mincore`.
pub fn of(fd: i32, stat: &Stat, path: &CStr, scratch: &mut [u8]) -> Answer {
    let kind = files::file_system(fd);
    if MEMORY.contains(&kind) {
        return Answer::None;
    }
    if kind != OVERLAY {
        match files::cachestat(fd) {
            Ok(pages) => {
                let page = page_size();
                let bytes = |pages: u64| pages.saturating_mul(page).min(stat.size);
                return Answer::Known(Cache {
                    cached: bytes(pages.cached),
                    dirty: Some(bytes(pages.dirty)),
                    evicted: Some(bytes(pages.evicted)),
                    by: "cachestat",
                });
            }
            Err(error) if error == -libc::ENOSYS => {}
            Err(error) if error == -libc::EPERM => return Answer::Denied,
            Err(_) => return Answer::None,
        }
    }
    // Of other people's files `mincore` says that all is there.
    if files::user() != 0 && stat.uid != files::user() && !files::may_write(files::HERE, path) {
        return Answer::Denied;
    }
    match resident(fd, stat.size, scratch) {
        Some(cached) => Answer::Known(Cache { cached, dirty: None, evicted: None, by: "mincore" }),
        None => Answer::None,
    }
}

/// Asked of the kernel once.
fn page_size() -> u64 {
    static SIZE: AtomicU64 = AtomicU64::new(0);
    let known = SIZE.load(Ordering::Relaxed);
    if known != 0 {
        return known;
    }
    let size = header::page_size();
    SIZE.store(size, Ordering::Relaxed);
    size
}

fn resident(fd: i32, size: u64, scratch: &mut [u8]) -> Option<u64> {
    let page = page_size();
    let (mut at, mut pages) = (0u64, 0u64);
    while at < size {
        let piece = size.saturating_sub(at).min(PIECE) as usize;
        let mapping = files::map(fd, at, piece)?;
        let answer = files::mincore(mapping, piece, scratch);
        files::unmap(mapping, piece);
        answer.ok()?;
        let count = piece.div_ceil(page.max(1) as usize);
        let there = scratch.iter().take(count).filter(|byte| **byte & 1 != 0).count();
        pages = pages.saturating_add(there as u64);
        at = at.saturating_add(PIECE);
    }
    Some(pages.saturating_mul(page).min(size))
}
