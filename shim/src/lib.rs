//! `libkvtrace.so`: logs what a serving runtime asks about memory, and what it takes.
//!
//! The path of one call: a stub in [`hooks`] (one row in a table each) notes who called, the real function runs, an
//! [`effect`] turns its arguments and results into one line, and [`trace`] writes the line with one `write(2)`.
//! [`resolve`] is how the stubs come into play where a program looks functions up instead of linking them.
//!
//! Rules that hold for every line here: no panic, no heap, no lock that a signal or a fork can leave held, no thread,
//! no signal handler, `errno` untouched, and nothing from CUDA, HIP or NVML in the constructor.
//!
//! Built with `panic = "abort"` (profile `shim`) the crate uses no std; other profiles link std so that tools which
//! compile the whole workspace need no special flags. Only the former is ever shipped.
#![cfg_attr(panic = "abort", no_std)]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64", target_endian = "little")))]
compile_error!("the preload is for 64-bit little-endian Linux; `arch` has what is particular to a processor");

mod answer;
mod arch;
mod buffers;
mod config;
mod device;
mod effect;
mod elf;
mod facts;
mod header;
mod helper;
mod hooks;
mod host;
mod lines;
mod missing;
mod modules;
mod nvml;
mod patch;
mod pools;
mod proc_address;
mod process;
mod python;
mod resolve;
mod sys;
mod text;
mod trace;
mod view;
mod weights;

/// Unreachable by construction: `scripts/check-shim` shows that the linked library has no path to it.
#[cfg(panic = "abort")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // SAFETY: leaves the process the way abort would; there is nothing else to return to.
    unsafe { sys::exit_group(134) }
}

/// Reads the configuration and finds the functions that stand behind the libc hooks. Touches no GPU library.
#[ctor::ctor(unsafe)]
fn start() {
    config::read();
    config::check(patch::prepare);
    process::prepare();
    resolve::prepare();
}
