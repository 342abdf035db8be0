//! Files of a model's weights: which are opened, what is done with them, and how much of them is in the page cache.
//! Everything here runs in the program's own calls, in signal handlers and before constructors too: what is none of
//! ours goes by after a look at a few bytes.

pub mod evict;
pub mod name;
pub mod uses;

mod cache;
mod config;
mod event;
mod letters;
mod libraries;
mod maps;
mod safetensors;
mod table;

use crate::buffers::{Buffers, Claim};
use crate::sys::files::{self, Stat};
use crate::text::{Text, until_nul};
use crate::view::budget::{self, Leave};
use crate::{config as settings, process, sys};
use cache::{Answer, Cache};
use core::ffi::CStr;
use core::sync::atomic::Ordering;
use safetensors::{Scanner, Summary};
use table::{Entered, Facts, Table};
use uses::{How, Use};

pub use event::site;

/// Longest header of a safetensors file that is read, bytes.
const LONGEST_HEADER: u64 = 16 << 20;

/// A file whose name may be that of weights is about to be opened, relative to the folder `dir`.
#[cold]
pub fn opened(dir: i32, path: &CStr, flags: i32, function: &'static str, return_address: usize) {
    const NO_READING: i32 = libc::O_TRUNC | libc::O_PATH | libc::O_DIRECTORY;
    if flags & libc::O_ACCMODE == libc::O_WRONLY || flags & NO_READING != 0 || settings::get().is_none() {
        return;
    }
    let Some(format) = name::format(path.to_bytes()) else { return };
    let Ok(stat) = files::stat_at(dir, path) else { return };
    if !stat.is_regular || !format.fits(path.to_bytes(), stat.size) {
        return;
    }
    // A vfork child borrows this memory, but is not the process that it is about.
    if process::pid() != sys::getpid() || flags & libc::O_ACCMODE == libc::O_RDWR && !files::may_write(dir, path) {
        return;
    }
    let Some(table) = table::make() else { return };
    if let Some(at) = table.find(&stat) {
        let again = Use { how: How::Open, at: 0, size: 0, number: flags as u32 };
        return uses::note(table, at, &again, &site(function, return_address));
    }
    let site = site(function, return_address);
    let Some(mut claim) = Claim::new(process::pid()) else { return };
    let buffers = claim.get();
    if !absolute(dir, path.to_bytes(), &mut buffers.line) {
        return;
    }
    // What we may not read, the program is about to be refused too.
    let fd = files::look_into(dir, path);
    if fd < 0 {
        return;
    }
    if files::stat(fd).is_ok_and(|now| now.device == stat.device && now.inode == stat.inode)
        && let Entered::New(at) = table.enter(&stat)
    {
        let (cache, summary) = examine(fd, &stat, path, format == name::SAFETENSORS, &mut buffers.file);
        let path = with_nul(&buffers.line);
        let is_first = is_first(table, path);
        table.describe(at, path, |path| Facts { site, flags, format, stat, summary, cache, is_first, path });
        files::close_unlocked(fd);
        drop(claim);
        if process::is_tracing() {
            event::weights(table, at);
        }
    } else {
        files::close_unlocked(fd);
        drop(claim);
    }
    if process::is_tracing() {
        event::forgotten(table);
    }
}

/// What of the file is in the page cache, and then what its header says, which brings its first pages in.
fn examine(fd: i32, stat: &Stat, path: &CStr, has_header: bool, scratch: &mut [u8]) -> (Answer, Option<Summary>) {
    let begin = sys::clock(libc::CLOCK_MONOTONIC);
    let looks = settings::get().is_some_and(|config| config.views) && budget::allows();
    let cache = if looks { cache::of(fd, stat, path, scratch) } else { Answer::None };
    let summary = if has_header { header(fd, stat.size, scratch) } else { None };
    budget::charge(sys::clock(libc::CLOCK_MONOTONIC).saturating_sub(begin));
    (cache, summary)
}

/// Reads the header of a safetensors file: its length in eight bytes, then JSON.
fn header(fd: i32, size: u64, scratch: &mut [u8]) -> Option<Summary> {
    files::read_exactly(fd);
    let mut length = [0u8; 8];
    if files::read_at(fd, &mut length, 0) != 8 {
        return None;
    }
    let length = u64::from_le_bytes(length);
    let room = size.checked_sub(8)?.checked_sub(length).filter(|_| length <= LONGEST_HEADER)?;
    let mut scanner = Scanner::new(room);
    let mut done = 0u64;
    while done < length {
        let wanted = length.saturating_sub(done).min(scratch.len() as u64) as usize;
        let part = scratch.get_mut(..wanted)?;
        let got = usize::try_from(files::read_at(fd, part, done.saturating_add(8))).ok().filter(|got| *got != 0)?;
        if !scanner.feed(part.get(..got)?) {
            return None;
        }
        done = done.saturating_add(got as u64);
    }
    scanner.finish()
}

/// Writes the path that a program passed from the root on, NUL-terminated; false if it does not fit.
fn absolute(dir: i32, path: &[u8], out: &mut [u8]) -> bool {
    let mut used = 0usize;
    if path.first() != Some(&b'/') {
        used = if dir == files::HERE {
            sys::current_directory(out).len()
        } else {
            let mut link = Text::<40>::new();
            link.push(b"/proc/self/fd/");
            link.push_number(dir as u32 as u64);
            link.push(b"\0");
            sys::readlink(link.get(), out).len()
        };
        let Some(slash) = out.get_mut(used) else { return false };
        *slash = b'/';
        used = used.saturating_add(1);
    }
    let end = used.saturating_add(path.len());
    let Some(room) = out.get_mut(used..end) else { return false };
    for (to, from) in room.iter_mut().zip(path) {
        *to = *from;
    }
    let Some(nul) = out.get_mut(end) else { return false };
    *nul = 0;
    used != 1 || path.first() == Some(&b'/')
}

/// Up to the first NUL and with it.
fn with_nul(bytes: &[u8]) -> &[u8] {
    bytes.get(..until_nul(bytes).len().saturating_add(1)).unwrap_or_default()
}

/// Whether no file of this one's folder is known yet.
fn is_first(table: &Table, path: &[u8]) -> bool {
    let folder = |path: &[u8]| path.iter().rposition(|byte| *byte == b'/');
    let own = path.get(..folder(path).unwrap_or(0));
    table.positions().filter_map(|at| table.facts(at)).all(|facts| {
        let other = table.path(facts);
        other.get(..folder(other).unwrap_or(0)) != own
    })
}

/// The trace begins: tells of what was opened before.
pub fn begin() {
    let Some(table) = table::get() else { return };
    for at in table.positions() {
        event::weights(table, at);
    }
    table.uses.write(table);
    event::forgotten(table);
}

/// What of each file is in the page cache, beside query `of`: a line for each that has changed, and one for all.
pub fn view(of: u64, leave: Leave) {
    if of == 0 || !settings::get().is_some_and(|config| config.views) {
        return;
    }
    if let Some(table) = table::get() {
        let begin = sys::clock(libc::CLOCK_MONOTONIC);
        let mut sum = Sum::default();
        for at in table.positions() {
            if !leave.lasts() {
                return;
            }
            look(table, at, of, &mut sum);
        }
        if sum.files != 0 {
            event::together(of, begin, b"weights", &sum);
        }
    }
    if leave.lasts() {
        libraries::view(of, leave);
    }
}

/// Several files together. Bytes.
#[derive(Default)]
struct Sum {
    files: u64,
    size: u64,
    cached: u64,
    by: &'static str,
}

impl Sum {
    fn add(&mut self, size: u64, cache: &Cache) {
        self.files = self.files.saturating_add(1);
        self.size = self.size.saturating_add(size);
        self.cached = self.cached.saturating_add(cache.cached);
        self.by = cache.by;
    }
}

fn look(table: &Table, at: usize, of: u64, sum: &mut Sum) {
    let (Some(file), Some(facts)) = (table.file(at), table.facts(at)) else { return };
    let Ok(path) = CStr::from_bytes_with_nul(table.path(facts)) else { return };
    if file.denied.load(Ordering::Relaxed) != 0 {
        return;
    }
    let begin = sys::clock(libc::CLOCK_MONOTONIC);
    let fd = files::look_into(files::HERE, path);
    if fd < 0 {
        return;
    }
    let (mut answer, mut size) = (Answer::None, facts.stat.size);
    // Another file may have its path by now.
    if let Ok(stat) = files::stat(fd)
        && stat.device == facts.stat.device
        && stat.inode == facts.stat.inode
        && let Some(mut claim) = Claim::new(process::pid())
    {
        let Buffers { file: scratch, .. } = claim.get();
        size = stat.size;
        answer = cache::of(fd, &stat, path, scratch);
    }
    if !files::close_unlocked(fd) {
        // It is locked, and would cost a descriptor each time.
        file.denied.store(1, Ordering::Relaxed);
    }
    event::cached(table, at, of, begin, size, &answer);
    if let Answer::Known(cache) = &answer {
        sum.add(size, cache);
    }
    budget::charge(sys::clock(libc::CLOCK_MONOTONIC).saturating_sub(begin));
}
