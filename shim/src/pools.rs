//! What the driver holds for stream-ordered memory and for graphs. It takes such memory in advance and keeps it for
//! later, so what a program allocates and what leaves the device are two figures; the second is asked of the driver,
//! past our own hooks, and written when it has changed.

use crate::process::{self, Process};
use crate::trace::Event;
use crate::{device, sys};
use core::sync::atomic::Ordering;

/// How many pools of one process are watched.
pub const MOST: usize = 16;
/// Stands for the memory that a device holds for graphs.
const GRAPHS: u64 = 0;

const POOL_RESERVED: i32 = 5;
const POOL_USED: i32 = 7;
const GRAPH_USED: i32 = 0;
const GRAPH_RESERVED: i32 = 2;

/// From now on the pool is asked for what it holds. A handle of 0 means the current pool of `dev`.
pub fn watch(pool: u64, dev: i32) {
    let pool = if pool == 0 { device::current_pool(dev) } else { pool };
    if pool == 0 {
        return;
    }
    let process = process::current();
    for slot in &process.pools {
        match slot.compare_exchange(0, pool, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return,
            Err(other) if other == pool => return,
            Err(_) => {}
        }
    }
}

/// The pool is gone, and what it held with it.
pub fn forget(pool: u64) {
    let process = process::current();
    for (slot, last) in process.pools.iter().zip(&process.pool_reserved) {
        if slot.load(Ordering::Acquire) == pool && slot.swap(0, Ordering::AcqRel) == pool {
            if last.swap(0, Ordering::AcqRel) != 0 {
                write(pool, -1, 0, 0);
            }
            return;
        }
    }
}

/// From now on the device of this thread is asked for what it holds for graphs.
pub fn watch_graphs(dev: i32) {
    if let Some(bit) = bit(dev) {
        process::current().graphs.fetch_or(bit, Ordering::AcqRel);
    }
}

/// Writes what has changed since the last time.
pub fn tell(dev: i32) {
    let process = process::current();
    for (slot, last) in process.pools.iter().zip(&process.pool_reserved) {
        let pool = slot.load(Ordering::Acquire);
        if pool == 0 {
            continue;
        }
        if let (Some(reserved), Some(used)) = (device::of_pool(pool, POOL_RESERVED), device::of_pool(pool, POOL_USED))
            && last.swap(reserved, Ordering::AcqRel) != reserved
        {
            write(pool, dev, reserved, used);
        }
    }
    tell_graphs(process, dev);
}

fn tell_graphs(process: &Process, dev: i32) {
    let Some(bit) = bit(dev) else { return };
    if process.graphs.load(Ordering::Acquire) & bit == 0 {
        return;
    }
    if let (Some(reserved), Some(used)) = (device::of_graphs(dev, GRAPH_RESERVED), device::of_graphs(dev, GRAPH_USED))
        && process.graph_reserved.swap(reserved, Ordering::AcqRel) != reserved
    {
        write(GRAPHS, dev, reserved, used);
    }
}

fn bit(dev: i32) -> Option<u64> {
    1u64.checked_shl(u32::try_from(dev).ok()?)
}

fn write(pool: u64, dev: i32, reserved: u64, used: u64) {
    if let Some(mut event) = Event::begin("pool", sys::clock(libc::CLOCK_MONOTONIC)) {
        event.write(|line| {
            line.hex("pool", pool).i64("dev", dev.into()).u64("reserved", reserved).u64("used", used);
        });
    }
}
