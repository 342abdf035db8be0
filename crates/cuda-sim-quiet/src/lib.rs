//! What the libraries that compute nothing have in common: cuBLAS, cuDNN and their kin on the simulated GPU.
//!
//! Their functions succeed, answer questions about sizes, and leave results as they were. That this is so can be seen
//! from outside: each library exports `kvtrace_sim_quiet`, a C string that names it, and with `KVTRACE_SIM_VERBOSE=1`
//! each function says on stderr, once in a process, that it did nothing.

pub use kvtrace_cuda_sim::abi;

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use kvtrace_cuda_sim::abi::Out;
use std::sync::OnceLock;

/// Set to `1`, makes functions that do nothing say so.
pub const ENV_VERBOSE: &str = "KVTRACE_SIM_VERBOSE";

/// Bytes of a library's mark.
pub const MARK: usize = 64;

/// A library's mark: what kind of library it is, and its name. The build lays the same library out under the name of
/// another major version by writing over the name, which is as long: the library learns its version from its mark.
#[derive(Debug)]
#[repr(transparent)]
pub struct Library([u8; MARK]);

impl Library {
    /// The mark of the library `soname`, such as `libcublas.so.13`.
    pub const fn new(soname: &str) -> Self {
        let mut mark = [0; MARK];
        let text = b"computes nothing: ";
        let (mut at, name) = (0, soname.as_bytes());
        while at < text.len() + name.len() {
            mark[at] = if at < text.len() { text[at] } else { name[at - text.len()] };
            at += 1;
        }
        Self(mark)
    }

    /// The library's soname.
    pub fn name(&'static self) -> &'static str {
        // The file may have been changed since the compiler saw the mark.
        let mark: &'static [u8; MARK] = std::hint::black_box(&self.0);
        let text = core::ffi::CStr::from_bytes_until_nul(mark).map_or("", |text| text.to_str().unwrap_or(""));
        text.rsplit(' ').next().unwrap_or(text)
    }

    /// The number at the end of the soname.
    pub fn major(&'static self) -> usize {
        self.name().rsplit('.').next().and_then(|number| number.parse().ok()).unwrap_or(0)
    }
}

/// Whether a function has said that it does nothing.
#[derive(Debug)]
pub struct Said(AtomicBool);

impl Said {
    /// It has not.
    #[allow(clippy::new_without_default, reason = "a static needs a constant")]
    pub const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Says so where that is wanted, once.
    pub fn does_nothing(&self, library: &str, function: &str) {
        if verbose() && !self.0.swap(true, Ordering::Relaxed) {
            eprintln!("simulated {library}: {function} does nothing");
        }
    }
}

fn verbose() -> bool {
    static VERBOSE: OnceLock<bool> = OnceLock::new();
    *VERBOSE.get_or_init(|| std::env::var_os(ENV_VERBOSE).is_some_and(|value| value == "1"))
}

/// A handle that was not given before: an address that can be read, in case that a macro of a header looks into it.
pub fn fresh_handle() -> usize {
    static ROOM: [u64; 1 << 12] = [0; 1 << 12];
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    // When the room is used up, handles come again; nobody tells them apart.
    let index = NEXT.fetch_add(1, Ordering::Relaxed) % (ROOM.len() / 2);
    &raw const ROOM[index] as usize
}

/// The place that a C caller names by an argument: null, or the address of a `T`.
pub fn place<T>(address: usize) -> Out<T> {
    // SAFETY: by the contract of the function that was called, the argument is null or may be written as a `T`.
    unsafe { Out::from_raw(address as *mut T) }
}

/// Answers a `...GetProperty`: 0 asks for the major version, 1 for the minor one, 2 for the patch level. Returns
/// whether that was done.
pub fn property(version: (i32, i32, i32), kind: i32, value: Out<i32>) -> bool {
    let part = match kind {
        0 => version.0,
        1 => version.1,
        2 => version.2,
        _ => return false,
    };
    value.set(part) == 0
}

/// What the driver of the simulated GPU says that a library takes for itself on the current device, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Overhead {
    /// A cuBLAS handle, by an allocation of its own.
    BlasHandle = 1,
    /// A process's first NCCL communicator of several ranks; no allocation shows it.
    Communicator = 2,
}

/// Asks for it; a driver that is not ours says nothing, and so does a device for which it was not measured.
pub fn overhead(of: Overhead) -> usize {
    // SAFETY: C strings. The library is the one that the runtime uses, loaded already or found in the same way.
    let function = unsafe {
        let driver = libc::dlopen(c"libcuda.so.1".as_ptr(), libc::RTLD_NOW);
        if driver.is_null() {
            return 0;
        }
        libc::dlsym(driver, c"kvtrace_sim_overhead".as_ptr())
    };
    if function.is_null() {
        return 0;
    }
    // SAFETY: a function of that name is our driver's and has this type.
    let function: extern "C" fn(i32) -> usize = unsafe { core::mem::transmute(function) };
    function(of as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    static THIRTEEN: Library = Library::new("libcublas.so.13");

    #[test]
    fn a_library_reads_its_version_from_its_mark() {
        assert_eq!((THIRTEEN.name(), THIRTEEN.major()), ("libcublas.so.13", 13));
    }

    #[test]
    fn handles_differ() {
        assert_ne!(fresh_handle(), fresh_handle());
    }
}
