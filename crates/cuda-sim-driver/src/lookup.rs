//! `cuGetProcAddress`: base name, version and stream flag to the function of the right ABI.

use crate::{INVALID_VALUE, NOT_FOUND, SUCCESS, VERSION};
use kvtrace_cuda_sim::abi::{In, Out};
use std::ffi::{c_char, c_void};

const LEGACY_STREAM: u64 = 1;
const PER_THREAD_STREAM: u64 = 2;
const FOUND: i32 = 0;
const NO_SUCH_SYMBOL: i32 = 1;
const VERSION_TOO_LOW: i32 = 2;

struct Entry {
    name: &'static str,
    version: i32,
    per_thread: bool,
    function: *const (),
}

// SAFETY: the pointer is the address of a function of this library; nothing is written through it.
unsafe impl Sync for Entry {}

impl Entry {
    const fn new(name: &'static str, version: i32, flag: u8, function: *const ()) -> Self {
        Self { name, version, per_thread: flag == 2, function }
    }
}

mod table {
    //! Sorted by name, from the build script.
    use super::Entry;
    include!(concat!(env!("OUT_DIR"), "/table.rs"));
}
use table::TABLE;

/// The newest ABI of `name` that `version` knows, and the status to report.
fn find(name: &str, version: i32, flags: u64) -> (*const (), i32) {
    let start = TABLE.partition_point(|entry| entry.name < name);
    let named = TABLE[start..].iter().take_while(|entry| entry.name == name);
    let newest = |per_thread: bool| {
        let fits = |entry: &&Entry| entry.version <= version && entry.per_thread == per_thread;
        named.clone().filter(fits).max_by_key(|entry| entry.version)
    };
    let wanted = if flags & PER_THREAD_STREAM != 0 { newest(true) } else { None };
    match wanted.or_else(|| newest(false)) {
        Some(entry) => (entry.function, FOUND),
        None if named.count() == 0 => (core::ptr::null(), NO_SUCH_SYMBOL),
        None => (core::ptr::null(), VERSION_TOO_LOW),
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGetProcAddress(name: In<c_char>, function: Out<*const ()>, version: i32, flags: u64) -> i32 {
    cuGetProcAddress_v2(name, function, version, flags, Out::none())
}

/// The empty name is a probe that the runtime begins with: not found, and no more.
#[unsafe(no_mangle)]
pub extern "C" fn cuGetProcAddress_v2(
    name: In<c_char>,
    function: Out<*const ()>,
    version: i32,
    flags: u64,
    status: Out<i32>,
) -> i32 {
    let (found, how) = find(name.text(), version, flags);
    status.offer(how);
    if function.set(found) != SUCCESS {
        return INVALID_VALUE;
    }
    if how == FOUND { SUCCESS } else { NOT_FOUND }
}

/// The form for programs whose default stream is one per thread: it means that where the flags do not say.
#[unsafe(no_mangle)]
pub extern "C" fn cuGetProcAddress_v2_ptsz(
    name: In<c_char>,
    function: Out<*const ()>,
    version: i32,
    flags: u64,
    status: Out<i32>,
) -> i32 {
    let said = flags & (LEGACY_STREAM | PER_THREAD_STREAM) != 0;
    cuGetProcAddress_v2(name, function, version, if said { flags } else { flags | PER_THREAD_STREAM }, status)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDriverGetVersion(version: Out<i32>) -> i32 {
    version.set(VERSION)
}

/// Undocumented tables are not modelled.
#[unsafe(no_mangle)]
pub extern "C" fn cuGetExportTable(table: Out<*const c_void>, _id: In<[u8; 16]>) -> i32 {
    table.offer(core::ptr::null());
    NOT_FOUND
}
