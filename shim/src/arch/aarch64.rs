//! 64-bit Arm. See [`super`] for what each item is.
//!
//! Stubs use x16 and x17 alone, which every call may overwrite. They begin with a landing pad (`hint 34` is `bti c`,
//! and nothing on processors before Armv8.5) and go on by `b`, or by x16, from which a `bti c` may be branched to.

use super::Thread;
use core::arch::asm;

/// Address of the calling thread's state.
pub fn thread_block() -> *const Thread {
    let at: *const Thread;
    // SAFETY: reads the thread pointer and the offset that the loader filled in.
    unsafe {
        asm!(
            "adrp {0}, :gottprel:kvtrace_thread",
            "ldr {0}, [{0}, :gottprel_lo12:kvtrace_thread]",
            "mrs {1}, tpidr_el0",
            "add {0}, {0}, {1}",
            out(reg) at,
            out(reg) _,
            options(pure, readonly, nostack, preserves_flags)
        );
    }
    at
}

/// A system call of five arguments or fewer; negative results are `-errno`.
///
/// # Safety
/// The caller guarantees that the arguments are what the kernel expects of `number`.
pub unsafe fn call(number: i64, [a, b, c, d, e]: [usize; 5]) -> isize {
    let result: isize;
    // SAFETY: the kernel keeps every register but x0; the caller answers for the arguments.
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a => result, in("x1") b, in("x2") c, in("x3") d, in("x4") e,
            options(nostack));
    }
    result
}

/// As [`call`], of six arguments.
///
/// # Safety
/// As of [`call`].
pub unsafe fn call6(number: i64, [a, b, c, d, e, f]: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: as in `call`.
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a => result, in("x1") b, in("x2") c, in("x3") d, in("x4") e,
            in("x5") f, options(nostack));
    }
    result
}

macro_rules! wrapper_stub {
    ($symbol:ident, $body:path, ($($prefix:literal $node:literal)?)) => {
        #[allow(non_snake_case, reason = "named like the function that it hooks")]
        #[unsafe(export_name = concat!($($prefix,)? stringify!($symbol)))]
        #[unsafe(naked)]
        unsafe extern "C" fn $symbol() {
            core::arch::naked_asm!(
                $(concat!(".symver ", $prefix, stringify!($symbol), ", ", stringify!($symbol), $node),)?
                "hint 34",
                "adrp x16, :gottprel:kvtrace_thread",
                "ldr x16, [x16, :gottprel_lo12:kvtrace_thread]",
                "mrs x17, tpidr_el0",
                "str x30, [x17, x16]",
                "b {body}",
                body = sym $body,
            )
        }
    };
}
pub(crate) use wrapper_stub;

macro_rules! found_stub {
    ($symbol:ident, $body:path) => {
        #[unsafe(naked)]
        pub unsafe extern "C" fn $symbol() {
            core::arch::naked_asm!(
                "hint 34",
                "adrp x16, :gottprel:kvtrace_thread",
                "ldr x16, [x16, :gottprel_lo12:kvtrace_thread]",
                "mrs x17, tpidr_el0",
                "add x16, x16, x17",
                "orr x17, x30, 0x8000000000000000",
                "str x17, [x16]",
                "b {body}",
                body = sym $body,
            )
        }
    };
}
pub(crate) use found_stub;

macro_rules! filter_stub {
    ($symbol:ident, $filter:path, $slot:path) => {
        $crate::arch::filter_stub!($symbol, $filter, $slot, "mov x3, x30");
    };
    ($symbol:ident, $filter:path, $slot:path, $pass:literal) => {
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        unsafe extern "C" fn $symbol() {
            core::arch::naked_asm!(
                "hint 34",
                "stp x29, x30, [sp, -80]!",
                "mov x29, sp",
                "stp x0, x1, [sp, 16]",
                "stp x2, x3, [sp, 32]",
                "stp x4, x5, [sp, 48]",
                "stp x6, x7, [sp, 64]",
                $pass,
                "bl {filter}",
                "mov x16, x0",
                "ldp x0, x1, [sp, 16]",
                "ldp x2, x3, [sp, 32]",
                "ldp x4, x5, [sp, 48]",
                "ldp x6, x7, [sp, 64]",
                "ldp x29, x30, [sp], 80",
                "cbnz x16, 2f",
                "adrp x16, {slot}",
                "ldr x16, [x16, :lo12:{slot}]",
                "br x16",
                "2:",
                "sub x0, x16, 1",
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
        $crate::arch::filter_stub!($symbol, $filter, $slot, "mov x6, x30");
    };
}
pub(crate) use filter_all_stub;
