//! `cuGetProcAddress`: a wrapper in place of what the driver handed out, if it is certain which function that is.
//!
//! One name has several ABIs, and a wrapper of the wrong one would pass the program's arguments on mangled. The version
//! that the program asked for says which ABI it means; the address that the driver gave says which it got, where that is
//! one that the driver exports. A driver older than the program gives an older ABI than asked for; one newer than this
//! table may give an ABI that no row describes. What the two witnesses do not settle passes untouched.

use crate::effect::Call;
use crate::elf::{self, Module};
use crate::hooks::{Hook, Layer, driver};
use crate::text::{Text, base_name};
use crate::trace::Event;
use crate::{config, modules, resolve};
use core::ffi::{CStr, c_char};
use core::sync::atomic::{AtomicU64, Ordering};

/// The CUDA version whose headers the table was checked against. Later ones may have given a name a new ABI.
const NEWEST: u32 = 13050;

/// `CU_GET_PROC_ADDRESS_LEGACY_STREAM`
const LEGACY: u64 = 1;
/// `CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM`
const PER_THREAD: u64 = 2;

/// The stream kind that `flags` ask for.
pub fn is_per_thread(flags: u64) -> bool {
    flags & PER_THREAD != 0
}

/// As [`is_per_thread`], of the lookup function whose default is a stream per thread.
pub fn is_per_thread_by_default(flags: u64) -> bool {
    flags & LEGACY == 0 || is_per_thread(flags)
}

/// What was asked.
struct Request<'a> {
    name: &'a [u8],
    version: u32,
    per_thread: bool,
}

/// What is known of an address that the driver handed out.
enum Witness {
    /// It is the export of this row.
    Row(&'static Hook),
    /// It is an export that no row of the name describes, or no function of the driver's.
    Other,
    /// It lies in the driver and is not exported.
    Internal,
}

/// After a lookup: puts the wrapper of the function that was found in its place.
pub fn looked_up(call: &Call, rc: i32, name: *const c_char, function: *mut usize, version: i32, per_thread: bool) {
    // The first question of every runtime is for the empty name, as a probe.
    if rc != 0 || name.is_null() || function.is_null() {
        return;
    }
    // SAFETY: the lookup succeeded, so the name is a C string and the pointer was written.
    let (name, found) = unsafe { (CStr::from_ptr(name).to_bytes(), function.read_unaligned()) };
    if found == 0 || config::get().is_none() {
        return;
    }
    let request = Request { name, version: version.try_into().unwrap_or(0), per_thread };
    if rows(&request).next().is_none() || modules::is_never_substituted(call.return_address()) {
        return;
    }
    match request.answer(found) {
        // Where a process has two copies of the driver, the wrappers go to one of them.
        Some(hook) if hook.is_own(found) => {
            // SAFETY: written by the real function a moment ago, into memory that the program gave for it.
            unsafe { function.write_unaligned(hook.answer()) };
        }
        Some(_) => {}
        None => tell_once(&request),
    }
}

/// The rows of a name.
fn rows<'a>(request: &'a Request) -> impl Iterator<Item = &'static Hook> + Clone + 'a {
    let all = driver::TABLES.iter().flat_map(|table| table.iter()).copied();
    all.filter(|hook| hook.name.as_bytes() == request.name)
}

impl Request<'_> {
    /// The row whose wrapper stands for `found`.
    fn answer(&self, found: usize) -> Option<&'static Hook> {
        match self.witness(found) {
            Witness::Row(hook) => Some(hook),
            Witness::Other => None,
            // Only the table speaks. Above what it knows, the newest ABI need not be the one that was found.
            Witness::Internal if self.version <= NEWEST => self
                .known()
                .find(|hook| self.version < hook.versions.1 && hook.per_thread == self.per_thread)
                .or_else(|| self.known().find(|hook| self.version < hook.versions.1)),
            Witness::Internal => None,
        }
    }

    /// The ABIs that the driver may answer with: a name without a form for per-thread streams is answered with the plain
    /// one, and a driver older than the request with the newest that it has.
    fn known(&self) -> impl Iterator<Item = &'static Hook> + Clone + '_ {
        rows(self).filter(|hook| hook.versions.0 <= self.version && (self.per_thread || !hook.per_thread))
    }

    fn witness(&self, found: usize) -> Witness {
        let in_driver = |module: &Module| {
            module.holds(found)
                && (Layer::Driver.is_library(base_name(module.name())) || Layer::Driver.is_library(module.soname()))
        };
        elf::walk(&mut |module| {
            if !in_driver(&module) {
                return None;
            }
            // One function may be exported under several names: the newest that fits is what was asked for.
            let exported = self.known().filter(|hook| module.symbol(hook.symbol.as_bytes()) == Some(found));
            Some(match exported.max_by_key(|hook| (hook.versions.0, hook.per_thread)) {
                Some(hook) => Witness::Row(hook),
                None if module.exports(found) => Witness::Other,
                None => Witness::Internal,
            })
        })
        .unwrap_or(Witness::Other)
    }
}

/// Once for each name: a runtime asks for all of them again in each of its copies.
#[cold]
fn tell_once(request: &Request) {
    static TOLD: [AtomicU64; 256] = [const { AtomicU64::new(0) }; 256];
    let (word, bit) = resolve::place(request.name);
    if TOLD.get(word).is_none_or(|word| word.fetch_or(bit, Ordering::Relaxed) & bit != 0) {
        return;
    }
    let mut text = Text::<200>::new();
    text.push(request.name);
    text.push(b" of CUDA ");
    text.push_number(request.version.into());
    text.push(b": the driver's answer is no form of it that this version knows: not traced");
    if let Some(mut event) = Event::begin("warning", crate::sys::clock(libc::CLOCK_MONOTONIC)) {
        event.write(|line| {
            line.text("text", text.get());
        });
    }
}
