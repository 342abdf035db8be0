//! From an address to the module that holds it. Asked at every event, so it takes no lock where the loader has an index
//! that needs none (glibc 2.35): a child of `fork` would wait for ever for a lock that another thread held.

mod libraries;

use crate::elf::{self, Module};
use crate::process::Process;
use crate::resolve;
use crate::text::{Text, base_name};
use crate::trace::Event;
use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
pub use libraries::announce_libraries;

const ENTRIES: usize = 256;

/// Where a call came from.
#[derive(Clone, Copy)]
pub struct Caller {
    /// Path of the module, empty if the address lies in none.
    pub path: &'static [u8],
    /// Offset of the return address in it.
    pub offset: u64,
    index: Option<usize>,
}

/// The module that holds an address. `name` is the loader's own: whoever asks about a caller is called by that module,
/// which therefore stays for as long.
#[derive(Clone, Copy)]
struct Place {
    start: usize,
    end: usize,
    bias: usize,
    name: &'static [u8],
    /// Differs for every loading of a module.
    mark: usize,
}

/// glibc's `struct dl_find_object`.
#[repr(C)]
struct Object {
    flags: u64,
    start: usize,
    end: usize,
    map: *const LinkMap,
    eh_frame: usize,
    reserved: [u64; 7],
}

/// The public part of a `struct link_map`.
#[repr(C)]
struct LinkMap {
    bias: usize,
    name: *const c_char,
    dynamic: usize,
}

/// `_dl_find_object`, 0 where the loader has none.
static FIND_OBJECT: AtomicUsize = AtomicUsize::new(0);

/// `_r_debug`, 0 where the loader has none.
static LIST: AtomicUsize = AtomicUsize::new(0);

/// Finds the loader's index, and its list.
pub fn prepare() {
    let found = elf::walk(&mut |module| module.symbol(b"_dl_find_object"));
    FIND_OBJECT.store(found.unwrap_or(0), Ordering::Release);
    let list = elf::walk(&mut |module| module.symbol(b"_r_debug"));
    LIST.store(list.unwrap_or(0), Ordering::Release);
}

/// Address of the loader's `struct r_debug`, which is for debuggers: its list of modules may change while it is read.
pub fn list() -> Option<usize> {
    Some(LIST.load(Ordering::Acquire)).filter(|list| *list != 0)
}

/// Shows the module that holds an address. The caller says that it stays loaded meanwhile.
pub fn show<T>(address: usize, visit: impl FnOnce(Module) -> T) -> Option<T> {
    let place = place(address)?;
    image(place.start, place.bias, visit)
}

/// Asks the loader's index, which is at `find`.
fn find_object(find: usize, address: usize) -> Option<Object> {
    let mut object = Object { flags: 0, start: 0, end: 0, map: core::ptr::null(), eh_frame: 0, reserved: [0; 7] };
    // SAFETY: int _dl_find_object(void *, struct dl_find_object *) of the loader.
    let find: extern "C" fn(*const c_void, *mut Object) -> c_int = unsafe { core::mem::transmute(find) };
    (find(address as *const c_void, &mut object) == 0 && !object.map.is_null()).then_some(object)
}

fn place(address: usize) -> Option<Place> {
    let find = FIND_OBJECT.load(Ordering::Acquire);
    if find == 0 {
        return elf::walk(&mut |module| {
            let ((start, end), bias, mark) = (module.range(), module.bias(), module.unloads() as usize);
            // SAFETY: the name stays as long as the module; see `Place`.
            let name = unsafe { core::mem::transmute::<&[u8], &'static [u8]>(module.name()) };
            (start..end).contains(&address).then_some(Place { start, end, bias, name, mark })
        });
    }
    let object = find_object(find, address)?;
    // SAFETY: the loader's description of a module that is loaded.
    let map = unsafe { &*object.map };
    let name: &[u8] = match map.name.is_null() {
        true => &[],
        // SAFETY: a C string of the loader's.
        false => unsafe { CStr::from_ptr(map.name) }.to_bytes(),
    };
    let mark = object.start ^ object.end.rotate_left(24) ^ (object.map as usize).rotate_left(48) ^ map.dynamic;
    Some(Place { start: object.start, end: object.end, bias: map.bias, name, mark })
}

/// A figure that changes when the module at `address` is unloaded.
fn mark(address: usize) -> usize {
    match FIND_OBJECT.load(Ordering::Acquire) {
        0 => unloads() as usize,
        _ => place(address).map_or(0, |place| place.mark),
    }
}

/// Address of something in a module that the program may unload.
pub struct Found {
    at: AtomicUsize,
    mark: AtomicUsize,
}

impl Found {
    /// Not found yet.
    pub const fn new() -> Found {
        Found { at: AtomicUsize::new(0), mark: AtomicUsize::new(0) }
    }

    /// The address, as long as its module is the one in which it was found.
    pub fn get(&self) -> Option<usize> {
        let at = self.at.load(Ordering::Acquire);
        (at != 0 && mark(at) == self.mark.load(Ordering::Relaxed)).then_some(at)
    }

    /// Remembers an address. A thread that reads the halves of two different ones finds that they do not fit.
    pub fn set(&self, at: usize) {
        self.mark.store(mark(at), Ordering::Relaxed);
        self.at.store(at, Ordering::Release);
    }
}

/// States of an entry.
const READY: u32 = 1;
const HIDDEN: u32 = 2;

struct Entry {
    state: AtomicU32,
    start: AtomicUsize,
    end: AtomicUsize,
    bias: AtomicUsize,
    /// Whether the module exports functions of CUDA itself, and was loaded late: nobody else calls them by their names.
    provides: AtomicU32,
    path: UnsafeCell<Text<512>>,
}

// SAFETY: `path` is written by the one thread that reserved the entry, before `state` publishes it.
unsafe impl Sync for Entry {}

/// The callers that were seen. An entry is never used for another module, since a thread may be reading it; what finds
/// no room is not remembered.
static TABLE: [Entry; ENTRIES] = [const {
    Entry {
        state: AtomicU32::new(0),
        start: AtomicUsize::new(0),
        end: AtomicUsize::new(0),
        bias: AtomicUsize::new(0),
        provides: AtomicU32::new(0),
        path: UnsafeCell::new(Text::new()),
    }
}; ENTRIES];
/// Reserved entries.
static RESERVED: AtomicU32 = AtomicU32::new(0);
/// The loader's count of unloaded modules when the entries were last known good; for loaders without an index.
static UNLOADS: AtomicU64 = AtomicU64::new(0);

fn unloads() -> u64 {
    elf::walk(&mut |module| Some(module.unloads())).unwrap_or(0)
}

/// The caller behind a return address.
pub fn caller(address: usize) -> Caller {
    if FIND_OBJECT.load(Ordering::Acquire) == 0
        && let Some(caller) = cached(address)
    {
        return caller;
    }
    let Some(place) = place(address) else {
        return Caller { path: &[], offset: address as u64, index: None };
    };
    let index = known(&place).or_else(|| insert(&place));
    let path = index.and_then(|index| TABLE.get(index)).map_or(place.name, Entry::path);
    Caller { path, offset: address.wrapping_sub(place.bias) as u64, index }
}

/// As [`caller`], to be kept: the path is empty where it would go with its module.
pub fn lasting(address: usize) -> Caller {
    let caller = caller(address);
    if caller.index.is_some() { caller } else { Caller { path: &[], ..caller } }
}

/// Whether the call comes from a library whose lookups must reach the library itself that it asks for: NVIDIA's own,
/// HIP, whose `hipGetProcAddress` is a lookup in itself, AMD's profiler, UCX, which patches the code it finds, and this
/// one.
pub fn is_never_substituted(address: usize) -> bool {
    const PREFIXES: [&[u8]; 7] =
        [b"libcuda.so", b"libnvidia-", b"libcupti", b"libamdhip64.so", b"librocprofiler", b"libucm", b"libkvtrace.so"];
    place(address).is_some_and(|place| PREFIXES.iter().any(|prefix| base_name(place.name).starts_with(prefix)))
}

/// The caller's own function of this name, where the library that called has a copy of CUDA's functions in itself.
pub fn own_function(address: usize, symbol: &[u8]) -> Option<usize> {
    let entry = TABLE.get(caller(address).index?)?;
    if entry.provides.load(Ordering::Relaxed) == 0 {
        return None;
    }
    elf::walk(&mut |module| module.holds(address).then(|| module.symbol(symbol)))?
}

impl Entry {
    /// Of an entry that was published.
    fn path(&self) -> &'static [u8] {
        // SAFETY: nobody writes it any more, and entries are static.
        unsafe { &*self.path.get() }.get()
    }
}

/// By address alone, as far as no module was unloaded.
fn cached(address: usize) -> Option<Caller> {
    let unloads = unloads();
    if UNLOADS.swap(unloads, Ordering::AcqRel) != unloads {
        for entry in &TABLE {
            let _ = entry.state.compare_exchange(READY, HIDDEN, Ordering::AcqRel, Ordering::Relaxed);
        }
    }
    TABLE.iter().enumerate().find_map(|(index, entry)| {
        let ready = entry.state.load(Ordering::Acquire) == READY;
        let range = entry.start.load(Ordering::Relaxed)..entry.end.load(Ordering::Relaxed);
        let offset = address.wrapping_sub(entry.bias.load(Ordering::Relaxed)) as u64;
        (ready && range.contains(&address)).then(|| Caller { path: entry.path(), offset, index: Some(index) })
    })
}

fn known(place: &Place) -> Option<usize> {
    let count = RESERVED.load(Ordering::Acquire) as usize;
    TABLE.iter().take(count).position(|entry| {
        // Only the executable has no name, and there is one.
        let same = entry.state.load(Ordering::Acquire) != 0
            && entry.start.load(Ordering::Relaxed) == place.start
            && (place.name.is_empty() || entry.path() == place.name);
        if same {
            let _ = entry.state.compare_exchange(HIDDEN, READY, Ordering::AcqRel, Ordering::Relaxed);
        }
        same
    })
}

fn insert(place: &Place) -> Option<usize> {
    if RESERVED.load(Ordering::Relaxed) as usize >= ENTRIES {
        return None;
    }
    let index = RESERVED.fetch_add(1, Ordering::AcqRel) as usize;
    // Behind the last entry only while other threads come here too.
    let entry = TABLE.get(index)?;
    // SAFETY: fetch_add gave this entry to this thread alone.
    let path = unsafe { &mut *entry.path.get() };
    if place.name.is_empty() {
        let mut exe = [0u8; 512];
        path.push(crate::sys::readlink(b"/proc/self/exe\0", &mut exe));
    } else {
        path.push(place.name);
    }
    entry.bias.store(place.bias, Ordering::Relaxed);
    entry.start.store(place.start, Ordering::Relaxed);
    entry.end.store(place.end, Ordering::Relaxed);
    let provides =
        |module: Module| [&b"cudaMalloc"[..], b"cuMemAlloc_v2"].iter().any(|name| module.symbol(name).is_some());
    let provides = image(place.start, place.bias, provides).unwrap_or(false) && resolve::is_late(place.start);
    entry.provides.store(provides.into(), Ordering::Relaxed);
    entry.state.store(READY, Ordering::Release);
    Some(index)
}

/// Shows the module whose ELF header lies at `start`.
fn image<T>(start: usize, bias: usize, visit: impl FnOnce(Module) -> T) -> Option<T> {
    // SAFETY: a module is mapped from its first page on, which is larger than an ELF header, and it stays: it calls us.
    let header = unsafe { (start as *const libc::Elf64_Ehdr).read() };
    let size = usize::from(header.e_phnum).saturating_mul(size_of::<libc::Elf64_Phdr>());
    let inside = (header.e_phoff as usize).saturating_add(size) <= 4096;
    (header.e_ident.starts_with(b"\x7fELF") && inside).then(|| {
        let at = start.wrapping_add(header.e_phoff as usize) as *const libc::Elf64_Phdr;
        // SAFETY: the table lies in the first page, as was just checked.
        visit(Module::new(&[], bias, unsafe { core::slice::from_raw_parts(at, header.e_phnum.into()) }))
    })
}

/// Writes the `module` event of a caller that this process's trace has not named yet.
pub fn announce(process: &Process, caller: Caller) {
    let Some(index) = caller.index else { return };
    let Some(bits) = process.modules.get(index / 64) else { return };
    let bit = 1u64 << (index % 64);
    if bits.fetch_or(bit, Ordering::AcqRel) & bit != 0 {
        return;
    }
    let Some(entry) = TABLE.get(index) else { return };
    let (start, end) = (entry.start.load(Ordering::Relaxed), entry.end.load(Ordering::Relaxed));
    if libraries::is_new(process, start, caller.path) == Some(false) {
        return;
    }
    let mut id = [0u8; 40];
    let len = image(start, entry.bias.load(Ordering::Relaxed), |module| module.build_id(&mut id)).unwrap_or(0);
    let Some(mut event) = Event::begin("module", crate::sys::clock(libc::CLOCK_MONOTONIC)) else { return };
    event.write_with(|line, scratch| {
        let build_id = id.get(..len).unwrap_or_default();
        line.hex("base", start as u64).hex("end", end as u64).text("path", caller.path).text("build_id", build_id);
        let file = resolved(caller.path, scratch);
        if !file.is_empty() && file != caller.path {
            line.text("file", file);
        }
    });
}

/// What a path leads to, links followed; empty if that cannot be found out.
fn resolved<'b>(path: &[u8], buf: &'b mut [u8]) -> &'b [u8] {
    let mut name = Text::<520>::new();
    if !name.push(path) || !name.push(b"\0") {
        return &[];
    }
    let fd = crate::sys::open_path(name.get());
    if fd < 0 {
        return &[];
    }
    let mut link = Text::<32>::new();
    link.push(b"/proc/self/fd/");
    link.push_number(fd.unsigned_abs().into());
    link.push(b"\0");
    let file = crate::sys::readlink(link.get(), buf);
    crate::sys::close(fd);
    file
}
