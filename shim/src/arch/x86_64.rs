//! x86-64. See [`super`] for what each item is.

use super::Thread;
use core::arch::asm;

/// Address of the calling thread's state.
pub fn thread_block() -> *const Thread {
    let at: *const Thread;
    // SAFETY: reads the thread pointer and the offset that the loader filled in.
    unsafe {
        asm!(
            "mov {0}, qword ptr [rip + kvtrace_thread@GOTTPOFF]",
            "add {0}, qword ptr fs:[0]",
            out(reg) at,
            options(pure, readonly, nostack)
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
    // SAFETY: the kernel clobbers rcx and r11 only; the caller answers for the arguments.
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
            in("r8") e, lateout("rcx") _, lateout("r11") _, options(nostack));
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
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
            in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _, options(nostack));
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

macro_rules! filter_stub {
    ($symbol:ident, $filter:path, $slot:path) => {
        $crate::arch::filter_stub!($symbol, $filter, $slot, ["mov rcx, qword ptr [rsp + 56]"], []);
    };
    ($symbol:ident, $filter:path, $slot:path, [$($before:literal),*], [$($after:literal),*]) => {
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
                $($before,)*
                "call {filter}",
                $($after,)*
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
        // `rax` once more, so that the stack stays aligned.
        $crate::arch::filter_stub!($symbol, $filter, $slot, ["push rax", "push qword ptr [rsp + 64]"], ["add rsp, 16"]);
    };
}
pub(crate) use filter_all_stub;
