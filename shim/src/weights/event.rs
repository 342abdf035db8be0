//! The events about files of weights.

use super::cache::{Answer, Cache};
use super::table::{Facts, Site, Table};
use super::{Sum, config};
use crate::trace::Event;
use crate::{arch, modules, sys, text};
use core::sync::atomic::Ordering;
use kvtrace_trace::line::Line;
use kvtrace_trace::record;

/// Number of the file at a position, as the trace has it.
pub fn id(at: usize) -> u64 {
    (at as u64).wrapping_add(1)
}

/// Who calls now.
pub fn site(function: &'static str, return_address: usize) -> Site {
    Site {
        time: sys::clock(libc::CLOCK_MONOTONIC),
        function,
        depth: arch::thread().depth.get(),
        caller: modules::lasting(return_address),
    }
}

/// Writes an event that is no call. Returns its number, 0 if it was not written.
pub fn write(kind: &'static str, time: u64, fields: impl FnOnce(&mut Line)) -> u64 {
    let Some(mut event) = Event::begin(kind, time) else { return 0 };
    event.write(fields);
    event.number
}

/// Writes the event of a call.
pub fn call(kind: &'static str, site: &Site, fields: impl FnOnce(&mut Line)) -> u64 {
    let Some(mut event) = Event::begin(kind, site.time) else { return 0 };
    modules::announce(event.process(), site.caller);
    let call = record::Call {
        name: site.function,
        layer: "libc",
        depth: site.depth,
        rc: 0,
        dur: 0,
        module: site.caller.path,
        offset: site.caller.offset,
    };
    event.write(|line| fields(record::call(line, &call)));
    event.number
}

/// Tells of the file at a position, unless that was done.
#[cold]
pub fn weights(table: &Table, at: usize) {
    let (Some(file), Some(facts)) = (table.file(at), table.facts(at)) else { return };
    if file.written.swap(1, Ordering::AcqRel) != 0 {
        return;
    }
    let path = table.path(facts);
    let number = call("weights", &facts.site, |line| describe(line, at, facts, path));
    if number == 0 {
        return;
    }
    cached(table, at, number, facts.site.time, facts.stat.size, &facts.cache);
    if facts.is_first {
        config::tell(path);
    }
}

fn describe(line: &mut Line, at: usize, facts: &Facts, path: &[u8]) {
    let stat = &facts.stat;
    line.u64("id", id(at)).text("path", text::until_nul(path)).u64("device", stat.device).u64("inode", stat.inode);
    line.u64("size", stat.size).u64("mtime", stat.mtime).hex("flags", facts.flags as u32 as u64);
    line.text("format", facts.format.name.as_bytes());
    if let Some(summary) = &facts.summary {
        line.numbers("dtypes", summary.dtypes()).u64("tensors", summary.tensors).hex("header", summary.digest);
    }
}

/// Writes what came of asking for the pages of the file at a position, beside event `of`, unless it is as it was.
pub fn cached(table: &Table, at: usize, of: u64, time: u64, size: u64, answer: &Answer) {
    let Some(facts) = table.facts(at) else { return };
    match answer {
        Answer::None => {}
        Answer::Denied => {
            if let Some(file) = table.file(at) {
                file.denied.store(1, Ordering::Relaxed);
            }
            denied(table, table.path(facts));
        }
        Answer::Known(Cache { cached, dirty, evicted, by }) => {
            let figures = [*cached, dirty.unwrap_or(0), evicted.unwrap_or(0)];
            let mark = figures.iter().fold(1u64, |mark, bytes| mark.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ bytes);
            if table.file(at).is_some_and(|file| file.told.swap(mark.max(1), Ordering::Relaxed) == mark.max(1)) {
                return;
            }
            write("cached", time, |line| {
                line.u64("of", of).u64("id", id(at)).u64("files", 1).u64("size", size).u64("cached", *cached);
                for (key, value) in [("dirty", dirty), ("evicted", evicted)] {
                    if let Some(value) = value {
                        line.u64(key, *value);
                    }
                }
                line.text("by", by.as_bytes());
            });
        }
    }
}

/// Writes what of several files is in the page cache, beside event `of`.
pub fn together(of: u64, time: u64, group: &[u8], sum: &Sum) {
    write("cached", time, |line| {
        line.u64("of", of).text("group", group).u64("files", sum.files).u64("size", sum.size);
        line.u64("cached", sum.cached).text("by", sum.by.as_bytes());
    });
}

/// Says once that the kernel does not tell who may not write to the file.
pub fn denied(table: &Table, path: &[u8]) {
    if table.denied.swap(1, Ordering::Relaxed) == 0 {
        write("missing", sys::clock(libc::CLOCK_MONOTONIC), |line| {
            line.text("what", b"cached").text("source", text::until_nul(path)).text("reason", b"EPERM");
        });
    }
}

/// Says once that there were more files than are told apart.
pub fn forgotten(table: &Table) {
    if table.forgotten.load(Ordering::Relaxed) != 0 && table.told.swap(1, Ordering::Relaxed) == 0 {
        write("warning", sys::clock(libc::CLOCK_MONOTONIC), |line| {
            line.text(
                "text",
                b"more files of weights were opened, or used in more ways, than are kept: some are left out",
            );
        });
    }
}
