//! What no Rust function can express: thread-local state without a destructor, and stubs that hand a call on without
//! touching it.

use crate::hooks::Hook;
use core::arch::global_asm;
use core::cell::Cell;

/// Per-thread state. All zero at thread start; never dropped.
#[repr(C)]
pub struct Thread {
    /// Return address of the hooked call that is being entered, stored by [`wrapper_stub`].
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

global_asm!(
    ".section .tbss.kvtrace,\"awT\",@nobits",
    ".hidden kvtrace_thread",
    ".globl kvtrace_thread",
    ".p2align 4",
    ".type kvtrace_thread,@object",
    ".size kvtrace_thread,32",
    "kvtrace_thread:",
    ".zero 32",
    ".text",
);

/// This thread's state. Initial-exec: the loader reserves it at program start, so an access never allocates.
pub fn thread() -> &'static Thread {
    let at: *const Thread;
    // SAFETY: reads the thread pointer and the offset that the loader filled in; the block lives as long as the thread.
    unsafe {
        core::arch::asm!(
            "mov {0}, qword ptr [rip + kvtrace_thread@GOTTPOFF]",
            "add {0}, qword ptr fs:[0]",
            out(reg) at,
            options(pure, readonly, nostack)
        );
        &*at
    }
}

/// Set in a noted return address where the call came through [`found_stub`]; no address of a program has it.
pub const FOUND: usize = 1 << 63;

/// Exported function that notes its return address and becomes its body: arguments, stack and all.
///
/// With a version node the stub is exported as `symbol@node`, so that the loader itself picks the wrapper of the
/// library that a caller was linked with.
macro_rules! wrapper_stub {
    ($symbol:ident, $body:path, ($($prefix:literal $node:literal)?)) => {
        #[allow(non_snake_case, reason = "named like the function that it hooks")]
        #[unsafe(export_name = concat!($($prefix,)? stringify!($symbol)))]
        #[unsafe(naked)]
        unsafe extern "C" fn $symbol() {
            core::arch::naked_asm!(
                $(concat!(".symver ", $prefix, stringify!($symbol), ", ", stringify!($symbol), $node),)?
                "endbr64",
                "mov r11, qword ptr [rip + kvtrace_thread@GOTTPOFF]",
                "mov r10, qword ptr [rsp]",
                "mov qword ptr fs:[r11], r10",
                "jmp {body}",
                body = sym $body,
            )
        }
    };
}
pub(crate) use wrapper_stub;

/// As [`wrapper_stub`], not exported: for callers that looked the library's own function up, where linked callers reach
/// another preload's function first.
macro_rules! found_stub {
    ($symbol:ident, $body:path) => {
        #[unsafe(naked)]
        pub unsafe extern "C" fn $symbol() {
            core::arch::naked_asm!(
                "endbr64",
                "mov r11, qword ptr [rip + kvtrace_thread@GOTTPOFF]",
                "mov r10, qword ptr [rsp]",
                "bts r10, 63",
                "mov qword ptr fs:[r11], r10",
                "jmp {body}",
                body = sym $body,
            )
        }
    };
}
pub(crate) use found_stub;

/// Exported function that first shows its first three arguments and its return address to `filter`. A non-zero answer
/// is one more than what the caller gets; after 0 the real function in `slot` runs as if called directly, with the
/// caller's own return address and all variadic arguments.
macro_rules! filter_stub {
    ($symbol:ident, $filter:path, $slot:path) => {
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        unsafe extern "C" fn $symbol() {
            core::arch::naked_asm!(
                "endbr64",
                "push rdi",
                "push rsi",
                "push rdx",
                "push rcx",
                "push r8",
                "push r9",
                "push rax",
                "mov rcx, qword ptr [rsp + 56]",
                "call {filter}",
                "mov r11, rax",
                "pop rax",
                "pop r9",
                "pop r8",
                "pop rcx",
                "pop rdx",
                "pop rsi",
                "pop rdi",
                "test r11, r11",
                "jnz 2f",
                "jmp qword ptr [rip + {slot}]",
                "2:",
                "lea rax, [r11 - 1]",
                "ret",
                filter = sym $filter,
                slot = sym $slot,
            )
        }
    };
}
pub(crate) use filter_stub;

/// As [`filter_stub`], with all six arguments; the return address is the seventh.
macro_rules! filter_all_stub {
    ($symbol:ident, $filter:path, $slot:path) => {
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        unsafe extern "C" fn $symbol() {
            core::arch::naked_asm!(
                "endbr64",
                "push rdi",
                "push rsi",
                "push rdx",
                "push rcx",
                "push r8",
                "push r9",
                "push rax",
                // Once more, so that the stack stays aligned.
                "push rax",
                "push qword ptr [rsp + 64]",
                "call {filter}",
                "add rsp, 16",
                "mov r11, rax",
                "pop rax",
                "pop r9",
                "pop r8",
                "pop rcx",
                "pop rdx",
                "pop rsi",
                "pop rdi",
                "test r11, r11",
                "jnz 2f",
                "jmp qword ptr [rip + {slot}]",
                "2:",
                "lea rax, [r11 - 1]",
                "ret",
                filter = sym $filter,
                slot = sym $slot,
            )
        }
    };
}
pub(crate) use filter_all_stub;
