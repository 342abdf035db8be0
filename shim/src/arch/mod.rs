//! What no Rust function can express, once for each processor: thread-local state without a destructor, system calls,
//! and stubs that hand a call on without touching it.
//!
//! Each processor has `thread_block`, `call`, `call6`, and the macros `wrapper_stub`, `found_stub`,
//! `filter_stub` and `filter_all_stub`:
//!
//! * `wrapper_stub!(symbol, body, (node))`: an exported function that notes its return address and becomes its body:
//!   arguments, stack and all. With a version node the stub is exported as `symbol@node`, so that the loader itself
//!   picks the wrapper of the library that a caller was linked with.
//! * `found_stub!(symbol, body)`: the same, not exported: for callers that looked the library's own function up, where
//!   linked callers reach another preload's function first. It marks the noted address with [`FOUND`].
//! * `filter_stub!(symbol, filter, slot)`: an exported function that first shows its first three arguments and its
//!   return address to `filter`. A non-zero answer is one more than what the caller gets; after 0 the real function in
//!   `slot` runs as if called directly, with the caller's own return address and all variadic arguments.
//! * `filter_all_stub!(symbol, filter, slot)`: the same with all six arguments; the return address is the seventh.

#[cfg(target_arch = "aarch64")]
#[path = "aarch64.rs"]
mod cpu;
#[cfg(target_arch = "x86_64")]
#[path = "x86_64.rs"]
mod cpu;

use crate::hooks::Hook;
use core::arch::global_asm;
use core::cell::Cell;

pub(crate) use cpu::{call, call6, filter_all_stub, filter_stub, found_stub, wrapper_stub};

/// Per-thread state. All zero at thread start; never dropped.
#[repr(C)]
pub struct Thread {
    /// Return address of the hooked call that is being entered, stored by `wrapper_stub`. The first field.
    pub return_address: Cell<usize>,
    /// Traced calls open on this thread.
    pub depth: Cell<u32>,
    /// Thread id, valid while `tid_of_pid` is the current process.
    pub tid: Cell<u32>,
    /// The process for which `tid` was read.
    pub tid_of_pid: Cell<u32>,
    /// Questions of our own that are under way on this thread: see `helper`.
    pub asking: Cell<u32>,
    /// The hook whose own function was last told of: see `effect::Call`.
    pub told: Cell<Option<&'static Hook>>,
}

const _: () = assert!(core::mem::offset_of!(Thread, return_address) == 0, "where the stubs store it");

global_asm!(
    ".section .tbss.kvtrace,\"awT\",%nobits",
    ".hidden kvtrace_thread",
    ".globl kvtrace_thread",
    ".p2align 4",
    ".type kvtrace_thread,%object",
    ".size kvtrace_thread,{size}",
    "kvtrace_thread:",
    ".zero {size}",
    ".text",
    size = const size_of::<Thread>(),
);

/// This thread's state. Initial-exec: the loader reserves it at program start, so an access never allocates.
pub fn thread() -> &'static Thread {
    // SAFETY: the thread's block of the symbol above, zero at first; it lives as long as the thread.
    unsafe { &*cpu::thread_block() }
}

/// Set in a noted return address where the call came through `found_stub`; no address of a program has it.
pub const FOUND: usize = 1 << 63;
