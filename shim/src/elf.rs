//! Finding symbols in loaded modules without the dynamic loader's lookup functions: those are what we override, and a
//! failed lookup of ours would overwrite the error text that `dlerror` owes the program.

use crate::text::{base_name, hex_digit};
use core::ffi::{CStr, c_int, c_void};
use libc::{Elf64_Phdr, Elf64_Sym, dl_phdr_info};

const PT_DYNAMIC: u32 = 2;
const DT_HASH: i64 = 4;
const DT_STRTAB: i64 = 5;
const DT_SYMTAB: i64 = 6;
const DT_SONAME: i64 = 14;
const DT_VERSYM: i64 = 0x6fff_fff0;
const DT_GNU_HASH: i64 = 0x6fff_fef5;
const STT_GNU_IFUNC: u8 = 10;

/// A loaded module, as the loader describes it. Valid inside the walk that produced it.
#[derive(Clone, Copy)]
pub struct Module<'a> {
    name: &'a [u8],
    bias: usize,
    headers: &'a [Elf64_Phdr],
    unloads: u64,
}

impl<'a> Module<'a> {
    /// One that is known by other ways.
    pub fn new(name: &'a [u8], bias: usize, headers: &'a [Elf64_Phdr]) -> Self {
        Module { name, bias, headers, unloads: 0 }
    }

    fn of(info: &'a dl_phdr_info) -> Self {
        let name: &[u8] = match info.dlpi_name.is_null() {
            true => &[],
            // SAFETY: the loader keeps a C string here for as long as the module is loaded.
            false => unsafe { CStr::from_ptr(info.dlpi_name) }.to_bytes(),
        };
        let headers: &[Elf64_Phdr] = match info.dlpi_phdr.is_null() {
            true => &[],
            // SAFETY: the loader gives the address and number of the module's headers.
            false => unsafe { core::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) },
        };
        Module { name, bias: info.dlpi_addr as usize, headers, unloads: info.dlpi_subs }
    }

    /// File name; empty for the executable.
    pub fn name(&self) -> &'a [u8] {
        self.name
    }

    /// Difference between addresses in the file and in memory.
    pub fn bias(&self) -> usize {
        self.bias
    }

    /// How many modules were unloaded so far.
    pub fn unloads(&self) -> u64 {
        self.unloads
    }

    /// Whether it goes by a name that `is_wanted`: that of its file, or the one that it gives itself.
    pub fn is_named(&self, is_wanted: impl Fn(&[u8]) -> bool) -> bool {
        is_wanted(base_name(self.name)) || is_wanted(self.soname())
    }

    /// The program headers.
    pub fn headers(&self) -> &'a [Elf64_Phdr] {
        self.headers
    }

    /// Lowest and highest mapped address.
    pub fn range(&self) -> (usize, usize) {
        let mut range = (usize::MAX, 0);
        for header in self.headers().iter().filter(|header| header.p_type == libc::PT_LOAD) {
            let start = self.bias().wrapping_add(header.p_vaddr as usize);
            range = (range.0.min(start), range.1.max(start.wrapping_add(header.p_memsz as usize)));
        }
        range
    }

    /// Whether `address` lies in the module.
    pub fn holds(&self, address: usize) -> bool {
        let (start, end) = self.range();
        (start..end).contains(&address)
    }

    /// The name that the module gives itself.
    pub fn soname(&self) -> &'a [u8] {
        let dynamic = Dynamic::of(self);
        match dynamic.soname {
            // SAFETY: DT_SONAME is an offset into the module's string table.
            Some(offset) if dynamic.strings != 0 => unsafe { c_str(dynamic.strings.wrapping_add(offset)) },
            _ => &[],
        }
    }

    /// Address of the function `name` in its default version.
    pub fn symbol(&self, name: &[u8]) -> Option<usize> {
        let dynamic = Dynamic::of(self);
        if dynamic.symbols == 0 || dynamic.strings == 0 {
            return None;
        }
        // SAFETY: the tables are those of a module that the loader has relocated and keeps mapped.
        unsafe {
            match (dynamic.gnu_hash, dynamic.hash) {
                (0, 0) => None,
                (0, _) => dynamic.scan(self.bias(), name),
                _ => dynamic.lookup(self.bias(), name),
            }
        }
    }

    /// Whether a function of the module is exported at `address`, under whatever name.
    pub fn exports(&self, address: usize) -> bool {
        let dynamic = Dynamic::of(self);
        // SAFETY: as in `symbol`.
        dynamic.symbols != 0 && unsafe { dynamic.any(self.bias(), address) }
    }

    /// Writes the GNU build id in hex, and tells how long it is.
    pub fn build_id(&self, out: &mut [u8; 40]) -> usize {
        for header in self.headers.iter().filter(|header| header.p_type == libc::PT_NOTE) {
            let at = self.bias.wrapping_add(header.p_vaddr as usize) as *const u8;
            // SAFETY: a note segment is mapped for its whole size.
            let notes = unsafe { core::slice::from_raw_parts(at, header.p_memsz as usize) };
            let len = Module::build_id_in(notes, out);
            if len != 0 {
                return len;
            }
        }
        0
    }

    /// As [`Self::build_id`], of a note segment.
    pub fn build_id_in(notes: &[u8], out: &mut [u8; 40]) -> usize {
        // Name size 4, description size, type 3 (build id), "GNU\0".
        for (place, note) in notes.windows(16).enumerate().step_by(4) {
            let [4, 0, 0, 0, size, 0, 0, 0, 3, 0, 0, 0, b'G', b'N', b'U', 0] = note else { continue };
            let from = place.wrapping_add(16);
            let id = notes.get(from..from.wrapping_add(usize::from(*size))).unwrap_or_default();
            let mut len = 0usize;
            for (pair, byte) in out.chunks_exact_mut(2).zip(id) {
                for (slot, nibble) in pair.iter_mut().zip([byte >> 4, byte & 15]) {
                    *slot = hex_digit(nibble);
                }
                len = len.wrapping_add(2);
            }
            return len;
        }
        0
    }
}

/// The part of a module's dynamic section that a lookup needs; addresses in memory.
#[derive(Default)]
struct Dynamic {
    strings: usize,
    symbols: usize,
    versions: usize,
    gnu_hash: usize,
    hash: usize,
    soname: Option<usize>,
}

impl Dynamic {
    fn of(module: &Module) -> Dynamic {
        let mut found = Dynamic::default();
        let Some(header) = module.headers.iter().find(|header| header.p_type == PT_DYNAMIC) else { return found };
        let bias = module.bias;
        let mut at = bias.wrapping_add(header.p_vaddr as usize) as *const [i64; 2];
        // glibc relocates these addresses in place, musl leaves them relative, and so does the vDSO. Which of both is not
        // to be told by size: the vDSO of User-Mode Linux is linked at 0xffffffffff700000, above where it is mapped.
        let range = module.range();
        let inside = |address: &usize| (range.0..range.1).contains(address);
        let absolute = |value: i64| {
            let value = value as usize;
            [value, bias.wrapping_add(value)].into_iter().find(inside).unwrap_or(0)
        };
        loop {
            // SAFETY: PT_DYNAMIC points at an array of pairs that ends in a zero tag.
            let [tag, value] = unsafe { at.read() };
            match tag {
                0 => return found,
                DT_STRTAB => found.strings = absolute(value),
                DT_SYMTAB => found.symbols = absolute(value),
                DT_VERSYM => found.versions = absolute(value),
                DT_GNU_HASH => found.gnu_hash = absolute(value),
                DT_HASH => found.hash = absolute(value),
                DT_SONAME => found.soname = Some(value as usize),
                _ => {}
            }
            // SAFETY: the tag was not the last.
            at = unsafe { at.add(1) };
        }
    }

    /// # Safety
    /// The tables must be those of a loaded module with a GNU hash table.
    unsafe fn lookup(&self, bias: usize, name: &[u8]) -> Option<usize> {
        let hash = name.iter().fold(5381u32, |hash, byte| hash.wrapping_mul(33).wrapping_add(u32::from(*byte)));
        let word = |index: usize| {
            // SAFETY: indexes below follow the layout of the table: 4 words, bloom filter, buckets, chains.
            unsafe { (self.gnu_hash as *const u32).add(index).read() }
        };
        let (buckets, first, bloom) = (word(0), word(1), word(2) as usize);
        if buckets == 0 {
            return None;
        }
        let bucket_base = bloom.wrapping_mul(2).wrapping_add(4);
        let chain_base = bucket_base.wrapping_add(buckets as usize);
        let mut index = word(bucket_base.wrapping_add((hash.checked_rem(buckets)?) as usize));
        if index < first {
            return None;
        }
        loop {
            let chained = word(chain_base.wrapping_add(index.wrapping_sub(first) as usize));
            if chained | 1 == hash | 1
                // SAFETY: the chain holds indexes of the symbol table.
                && let Some(found) = unsafe { self.check(bias, index as usize, name) }
            {
                return Some(found);
            }
            if chained & 1 == 1 {
                return None;
            }
            index = index.wrapping_add(1);
        }
    }

    /// For modules with the old hash table only: its second word is the number of symbols.
    ///
    /// # Safety
    /// The tables must be those of a loaded module with a System V hash table.
    unsafe fn scan(&self, bias: usize, name: &[u8]) -> Option<usize> {
        // SAFETY: the caller answers for the table.
        let count = unsafe { (self.hash as *const u32).add(1).read() } as usize;
        // SAFETY: indexes below the number of symbols.
        (1..count).find_map(|index| unsafe { self.check(bias, index, name) })
    }

    /// Whether a defined symbol lies at `address`. The GNU table has no count: its chains are walked one by one.
    ///
    /// # Safety
    /// The tables must be those of a loaded module.
    unsafe fn any(&self, bias: usize, address: usize) -> bool {
        let is_at = |index: usize| {
            // SAFETY: the indexes below are those of the symbol table.
            let symbol = unsafe { (self.symbols as *const Elf64_Sym).add(index).read() };
            symbol.st_shndx != 0 && symbol.st_value != 0 && bias.wrapping_add(symbol.st_value as usize) == address
        };
        if self.gnu_hash == 0 {
            // SAFETY: the second word of the old table is the number of symbols.
            let count = if self.hash == 0 { 0 } else { unsafe { (self.hash as *const u32).add(1).read() } };
            return (1..count as usize).any(is_at);
        }
        let word = |index: usize| {
            // SAFETY: as in `lookup`.
            unsafe { (self.gnu_hash as *const u32).add(index).read() }
        };
        let (buckets, first, bloom) = (word(0), word(1), word(2) as usize);
        let bucket_base = bloom.wrapping_mul(2).wrapping_add(4);
        let chain_base = bucket_base.wrapping_add(buckets as usize);
        (0..buckets as usize).any(|bucket| {
            let mut index = word(bucket_base.wrapping_add(bucket));
            while index >= first && index != 0 {
                if is_at(index as usize) {
                    return true;
                }
                if word(chain_base.wrapping_add(index.wrapping_sub(first) as usize)) & 1 == 1 {
                    return false;
                }
                index = index.wrapping_add(1);
            }
            false
        })
    }

    /// # Safety
    /// `index` must be inside the symbol table.
    unsafe fn check(&self, bias: usize, index: usize, name: &[u8]) -> Option<usize> {
        // SAFETY: the caller answers for the index.
        let symbol = unsafe { (self.symbols as *const Elf64_Sym).add(index).read() };
        // SAFETY: st_name is an offset into the string table.
        let own_name = unsafe { c_str(self.strings.wrapping_add(symbol.st_name as usize)) };
        let hidden = self.versions != 0 && {
            // SAFETY: the version table has an entry for each symbol.
            let version = unsafe { (self.versions as *const u16).add(index).read() };
            version & 0x8000 != 0
        };
        let usable = symbol.st_shndx != 0 && symbol.st_value != 0 && symbol.st_info & 15 != STT_GNU_IFUNC;
        (usable && !hidden && own_name == name).then(|| bias.wrapping_add(symbol.st_value as usize))
    }
}

/// # Safety
/// `at` must be the address of a C string in a loaded module.
unsafe fn c_str<'a>(at: usize) -> &'a [u8] {
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(at as *const _) }.to_bytes()
}

/// Shows every loaded module to `visit`, in the loader's search order, until it answers something.
pub fn walk<T>(visit: &mut dyn FnMut(Module) -> Option<T>) -> Option<T> {
    struct State<'a, T> {
        visit: &'a mut dyn FnMut(Module) -> Option<T>,
        found: Option<T>,
    }
    unsafe extern "C" fn each<T>(info: *mut dl_phdr_info, _: usize, data: *mut c_void) -> c_int {
        // SAFETY: `data` is the state below, and the loader passes a valid description.
        let (state, info) = unsafe { (&mut *data.cast::<State<T>>(), &*info) };
        state.found = (state.visit)(Module::of(info));
        state.found.is_some().into()
    }
    let mut state = State { visit, found: None };
    // SAFETY: the callback matches the state's type and does not outlive this call.
    unsafe { libc::dl_iterate_phdr(Some(each::<T>), (&raw mut state).cast()) };
    state.found
}

/// An address in this library.
pub fn here() -> usize {
    here as *const () as usize
}

/// Whether the address lies in this library.
pub fn is_here(address: usize) -> bool {
    walk(&mut |module| module.holds(here()).then(|| module.holds(address))).unwrap_or(false)
}

/// Address of `name` in the first module behind this one in search order: what `dlsym(RTLD_NEXT)` would answer. Where a
/// program has opened this library itself, it stands behind all others.
pub fn next(name: &[u8]) -> Option<usize> {
    let (mut behind, mut before) = (false, None);
    let found = walk(&mut |module| {
        if module.holds(here()) {
            behind = true;
        } else if behind {
            return module.symbol(name);
        } else if before.is_none() {
            before = module.symbol(name);
        }
        None
    });
    found.or(before)
}

/// Position of the module that holds `address`, in the loader's order.
pub fn position(address: usize) -> Option<usize> {
    let mut at = 0usize;
    walk(&mut |module| {
        let found = module.holds(address).then_some(at);
        at = at.wrapping_add(1);
        found
    })
}

/// How many modules are loaded.
pub fn count() -> usize {
    let mut count = 0usize;
    walk::<()>(&mut |_| {
        count = count.wrapping_add(1);
        None
    });
    count
}
