//! What the machine has: the kernel's figures, or those of the machine that the simulated GPU stands in, where CPU and
//! GPU share one memory. There the simulated GPU tells in a file how large that is and how much of it is held.

use crate::{config, sys};
use kvtrace_patch::{Pool, meminfo as text};

const MEMINFO: &[u8] = b"/proc/meminfo\0";

/// Whether programs see a simulated machine.
pub fn is_simulated() -> bool {
    pool().is_some()
}

fn pool() -> Option<Pool> {
    let path = config::get()?.pool.get();
    if path.is_empty() {
        return None;
    }
    Pool::from_bytes(sys::read_file(path, &mut [0; Pool::SIZE]))
}

/// The text of /proc/meminfo, in `room`. `Err` is an `errno`.
pub fn meminfo<'b>(room: &'b mut [u8], scratch: &mut [u8]) -> Result<&'b [u8], i32> {
    let fd = sys::open(MEMINFO, libc::O_RDONLY, 0);
    let Some(pool) = pool() else { return sys::load_once(fd, room) };
    let real = sys::load_once(fd, scratch)?;
    let total = text::figure(real, b"MemTotal").unwrap_or(0);
    let given_up = pool.given_up(text::figure(real, b"MemFree").unwrap_or(0), total);
    let length = text::rewrite(real, room, |line| match line.key {
        b"MemTotal" => Some(pool.total),
        b"MemFree" | b"MemAvailable" => Some(pool.free(line.value, total)),
        b"Cached" if given_up != 0 => Some(line.value.saturating_sub(given_up)),
        _ => None,
    });
    Ok(room.get(..length.unwrap_or(0)).unwrap_or_default())
}

/// Free and total memory as programs shall see them, from what the kernel says. Bytes.
pub fn memory(free: Option<u64>, total: Option<u64>) -> (Option<u64>, Option<u64>) {
    let Some(pool) = pool() else { return (free, total) };
    let Some(real_total) = total.or_else(real_total) else { return (free, total) };
    (free.map(|free| pool.free(free, real_total)), total.map(|_| pool.total))
}

fn real_total() -> Option<u64> {
    let mut start = [0u8; 256];
    text::figure(sys::load_once(sys::open(MEMINFO, libc::O_RDONLY, 0), &mut start).ok()?, b"MemTotal")
}
