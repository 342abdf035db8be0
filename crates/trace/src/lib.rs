//! The kvtrace trace format, schema 1.3: the only bridge between the preload and the analyzer.
//!
//! A trace is a directory of JSON-lines files, one per process. [`line`] writes lines without std, heap or panic;
//! [`record`] knows which fields each event carries, [`redact`] what must not stand in them; [`event`] and [`read`]
//! (feature `std`) bring them back as types.
//! `docs/trace-format.md` describes every field.
#![cfg_attr(not(feature = "std"), no_std)]

pub mod line;
pub mod record;
pub mod redact;

#[cfg(feature = "std")]
pub mod event;
#[cfg(feature = "std")]
mod parse;
#[cfg(feature = "std")]
mod quick;
#[cfg(feature = "std")]
pub mod read;

/// A schema version. Readers accept their own major and any minor: fields may be added, never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Schema {
    /// Raised when a line of an older reader's trace would be misunderstood.
    pub major: u32,
    /// Raised when fields or events are added.
    pub minor: u32,
}

/// The version that this crate writes.
///
/// * 1.0: process, module, device, query, view, alloc, free, map, unmap, file, log, fork, exec, exit, patch, dropped,
///   warning.
/// * 1.1: call (limit, soft and hard of those that ask for a limit), retain, prefetch, pool; the kinds array, graph,
///   vmm-host, registered, foreign and vmm-foreign of alloc and free, and the pool of an alloc; the layer hip, and NVML's
///   own fields of query and call.
/// * 1.2: zone, group, node, usage, card, stack, fact, missing, sample, weights, use, cached, config; all of
///   /proc/meminfo, more of the control group, limits and cost of a view; file of a module; uuid, pci and numa_node of a
///   device.
/// * 1.3: evict; wanted and rule of a patch, which may be about a file too.
pub const SCHEMA: Schema = Schema { major: 1, minor: 3 };

/// [`SCHEMA`] as it stands in a process header.
pub const SCHEMA_TEXT: &str = "1.3";

/// Longest line in bytes, its newline included. A line that would be longer loses whole fields, and says so.
pub const MAX_LINE: usize = 4096;
