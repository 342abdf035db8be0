//! Which libraries of a GPU, of a tensor framework or of a serving runtime a process has loaded.
//!
//! The kernel's list of mappings tells, since the loader's may be locked for ever in a fork child. Nothing keeps
//! another thread from unloading what is found there, so all of it is read in a way that cannot fault.

use super::{FIND_OBJECT, LinkMap, find_object};
use crate::buffers::Claim;
use crate::elf::Module;
use crate::lines;
use crate::missing::{self, Reason};
use crate::process::Process;
use crate::resolve;
use crate::sys;
use crate::text::{self, base_name};
use crate::trace::Event;
use core::sync::atomic::Ordering;

const MAPS: &[u8] = b"/proc/self/maps\0";
const PAGE: usize = 4096;

/// Beginnings of the names of libraries that say what a process computes with.
const OF_INTEREST: [&[u8]; 38] = [
    b"libcuda",
    b"libnv",
    b"libcublas",
    b"libcudnn",
    b"libcufft",
    b"libcufile",
    b"libcurand",
    b"libcusolver",
    b"libcusparse",
    b"libcupti",
    b"libnccl",
    b"libmpi",
    b"libucp",
    b"libnixl",
    b"libamdhip",
    b"libhsa-runtime",
    b"libhip",
    b"librocblas",
    b"librccl",
    b"libMIOpen",
    b"libtorch",
    b"libc10",
    b"_C.",
    b"_C_",
    b"_moe_C",
    b"_vllm",
    b"_rocm_C",
    b"libtensorrt_llm",
    b"libth_common",
    b"libnvinfer",
    b"bindings.cpython",
    b"common_ops",
    b"sgl_kernel",
    b"libggml",
    b"libllama",
    b"flash_attn",
    b"libtriton",
    b"libonnxruntime",
];

/// Remembers that the module that begins at `start` is named; `Some(false)` if it was before, `None` if there is no
/// room.
pub fn is_new(process: &Process, start: usize, path: &[u8]) -> Option<bool> {
    // Another module may come to lie where one was unloaded. Addresses have 47 bits, and here the lowest 12 are zero.
    let hash = path.iter().fold(5381u64, |hash, byte| hash.wrapping_mul(33).wrapping_add(u64::from(*byte)));
    let key = start as u64 ^ (hash << 47) ^ (hash & 0xfff) | 1;
    process.views.libraries.iter().find_map(|slot| {
        match slot.compare_exchange(0, key, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Some(true),
            Err(known) => (known == key).then_some(false),
        }
    })
}

/// Writes the `module` events of the libraries of interest that are new, if the program has looked up a function
/// since the last time: whoever loads a library does.
#[inline(never)]
pub fn announce_libraries(process: &Process) {
    let lookups = resolve::lookups().wrapping_add(1);
    if process.views.lookups.swap(lookups, Ordering::AcqRel) == lookups {
        return;
    }
    let Some(mut claim) = Claim::new(process.pid()) else { return };
    let Some((buf, image)) = claim.get().file.split_at_mut_checked(PAGE) else { return };
    let read = lines::each(MAPS, buf, &mut |line| {
        if let Some((start, path)) = mapping(line) {
            tell(process, start, path, image);
        }
    });
    if let Err(error) = read {
        missing::view(process, missing::View::Libraries, 0, b"libraries", MAPS, Reason::Error(error));
    }
}

/// Where a library of interest begins, and its file: `7f00-7f01 r--p 00000000 fe:00 247030   /path`.
fn mapping(line: &[u8]) -> Option<(usize, &[u8])> {
    let path = line.get(line.iter().position(|byte| *byte == b'/')?..)?;
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    if !OF_INTEREST.iter().any(|prefix| base_name(path).starts_with(prefix)) {
        return None;
    }
    let mut words = text::words(line);
    let (range, offset) = (words.next()?, words.nth(1)?);
    if !offset.iter().all(|byte| *byte == b'0') {
        return None;
    }
    let mut start = 0usize;
    for byte in range.iter().take_while(|byte| **byte != b'-') {
        start = start.wrapping_mul(16).wrapping_add((*byte as char).to_digit(16)? as usize);
    }
    Some((start, path))
}

/// Writes the `module` event of what is mapped at `start`, if the loader has loaded it.
fn tell(process: &Process, start: usize, file: &[u8], page: &mut [u8]) {
    let end;
    let mut name = [0u8; 512];
    let find = FIND_OBJECT.load(Ordering::Acquire);
    if find == 0 {
        // Such a loader is asked under its lock at every event.
        let Some(place) = super::place(start).filter(|place| place.start == start) else { return };
        end = place.end;
        for (to, from) in name.iter_mut().zip(place.name) {
            *to = *from;
        }
    } else {
        let Some(object) = find_object(find, start).filter(|object| object.start == start) else { return };
        end = object.end;
        let mut map = [0u8; size_of::<LinkMap>()];
        let name_at = match sys::peek(object.map as usize, &mut map) {
            error @ ..0 => {
                let reason = Reason::Error((error as i32).wrapping_neg());
                return missing::view(process, missing::View::Libraries, 0, b"libraries", b"process_vm_readv", reason);
            }
            _ => word(&map, 8),
        };
        // Not beyond its page, where there may be nothing.
        let whole = name.len();
        let room = name.get_mut(..PAGE.wrapping_sub(name_at % PAGE).min(whole)).unwrap_or_default();
        sys::peek(name_at, room);
    }
    let path = match text::until_nul(&name) {
        [] => file,
        path => path,
    };
    if is_new(process, start, path) != Some(true) {
        return;
    }
    let mut id = [0u8; 40];
    let len = if sys::peek(start, page) == page.len() as isize { build_id(page, &mut id) } else { 0 };
    let Some(mut event) = Event::begin("module", sys::clock(libc::CLOCK_MONOTONIC)) else { return };
    event.write(|line| {
        line.hex("base", start as u64).hex("end", end as u64).text("path", path);
        line.text("build_id", id.get(..len).unwrap_or_default());
        if file != path {
            line.text("file", file);
        }
    });
}

fn word(bytes: &[u8], at: usize) -> usize {
    let bytes = bytes.get(at..at.saturating_add(8)).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, usize::from_ne_bytes)
}

/// The build id in the first page of a module, which is where linkers put it.
fn build_id(page: &[u8], out: &mut [u8; 40]) -> usize {
    let half = |at: usize| {
        page.get(at..at.saturating_add(2)).and_then(|two| two.try_into().ok()).map_or(0, u16::from_ne_bytes)
    };
    let (headers, number) = (word(page, 32), usize::from(half(56)));
    let size = size_of::<libc::Elf64_Phdr>();
    if !page.starts_with(b"\x7fELF") || usize::from(half(54)) != size {
        return 0;
    }
    for number in 0..number {
        let at = headers.saturating_add(number.saturating_mul(size));
        let Some(header) = page.get(at..at.saturating_add(size)) else { return 0 };
        let kind = header.get(..4).and_then(|kind| kind.try_into().ok()).map_or(0, u32::from_ne_bytes);
        // Of a segment that is mapped from the file's beginning on, offset and address are the same.
        let (from, size) = (word(header, 8), word(header, 32));
        if kind == libc::PT_NOTE
            && let Some(notes) = page.get(from..from.saturating_add(size))
        {
            let len = Module::build_id_in(notes, out);
            if len != 0 {
                return len;
            }
        }
    }
    0
}
