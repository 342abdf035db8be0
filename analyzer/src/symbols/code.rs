//! Return addresses within one file -> functions and lines.

use super::Found;
use super::place::Files;
use addr2line::gimli::{Dwarf, EndianSlice, RunTimeEndian, SectionId};
use object::read::elf::ElfFile64;
use object::{Endianness, Object, ObjectSection, ObjectSegment, ObjectSymbol, ReadCache, SymbolKind};
use std::borrow::Cow;
use std::fs::File;

type Elf<'d> = ElfFile64<'d, Endianness, &'d ReadCache<&'d File>>;

/// Debug information beyond this is not read for the sake of a few names.
const MOST_DEBUG: u64 = 4 << 30;
/// The loader maps whole pages; every page size in use is a multiple of this.
const PAGE: u64 = 4096;

/// A function in a symbol table.
struct Function {
    begin: u64,
    /// 0 where the table does not tell.
    size: u64,
    name: String,
}

/// Finds what is at each return address.
///
/// # Errors
/// In words: why there is nothing to find.
pub fn resolve(files: &Files, offsets: &[u64]) -> Result<Vec<Found>, String> {
    let caches = [&files.module, &files.debug].map(|file| file.as_ref().map(ReadCache::new));
    let [module, debug] = &caches;
    let (module, debug) = (parse(module.as_ref()), parse(debug.as_ref()));
    let first = module.as_ref().or(debug.as_ref()).ok_or("the file is no 64-bit ELF file")?;
    let lowest = first.segments().map(|segment| segment.address()).min().unwrap_or(0) / PAGE * PAGE;
    // The call stands before the address that it returns to.
    let addresses: Vec<u64> = offsets.iter().map(|offset| lowest.saturating_add(offset.saturating_sub(1))).collect();
    let mut found = vec![Found::default(); offsets.len()];
    for elf in [&debug, &module].into_iter().flatten() {
        lines(elf, &addresses, &mut found);
    }
    for elf in [&debug, &module].into_iter().flatten() {
        functions(elf, &addresses, &mut found);
    }
    for answer in found.iter_mut().filter(|answer| answer.function.is_none()) {
        answer.unknown = Some("no symbol covers the address: the file is stripped".into());
    }
    Ok(found)
}

fn parse<'d>(cache: Option<&'d ReadCache<&'d File>>) -> Option<Elf<'d>> {
    Elf::parse(cache?).ok()
}

/// What the symbol tables say, where debug information did not.
fn functions(elf: &Elf, addresses: &[u64], found: &mut [Found]) {
    let missing = || found.iter().zip(addresses).filter(|(answer, _)| answer.function.is_none());
    let (Some(low), Some(high)) = (missing().map(|(_, at)| *at).min(), missing().map(|(_, at)| *at).max()) else {
        return;
    };
    let mut table: Vec<Function> = Vec::new();
    for symbol in elf.symbols().chain(elf.dynamic_symbols()) {
        let (begin, size) = (symbol.address(), symbol.size());
        let near = begin <= high && (size == 0 || begin.saturating_add(size) > low);
        if symbol.kind() == SymbolKind::Text && symbol.is_definition() && near {
            let name = symbol.name_bytes().map(|name| String::from_utf8_lossy(name).into_owned());
            table.push(Function { begin, size, name: name.unwrap_or_default() });
        }
    }
    table.sort_by(|a, b| (a.begin, a.size, &a.name).cmp(&(b.begin, b.size, &b.name)));
    for (answer, address) in found.iter_mut().zip(addresses).filter(|(answer, _)| answer.function.is_none()) {
        let end = table.partition_point(|function| function.begin <= *address);
        let covers = |function: &&Function| function.size == 0 || address - function.begin < function.size;
        // Neighbours only: a table may be crafted so that looking further back takes for ever.
        let near = table.get(end.saturating_sub(16)..end).unwrap_or_default();
        answer.function = near.iter().rev().find(covers).map(|function| demangled(&function.name));
    }
}

/// What DWARF says: the innermost function, inlined ones too, with file and line.
fn lines(elf: &Elf, addresses: &[u64], found: &mut [Found]) {
    let sizes = elf.sections().filter(|section| section.name().is_ok_and(|name| name.starts_with(".debug_")));
    let size = sizes.fold(0u64, |sum, section| sum.saturating_add(section.size()));
    if size == 0 || size > MOST_DEBUG {
        return;
    }
    let endian = if elf.is_little_endian() { RunTimeEndian::Little } else { RunTimeEndian::Big };
    let load = |id: SectionId| -> Result<Cow<'_, [u8]>, object::Error> {
        // A compressed section stays out: its names come from the symbol table.
        let data = elf.section_by_name(id.name()).and_then(|section| section.uncompressed_data().ok());
        Ok(data.unwrap_or_default())
    };
    let Ok(sections) = addr2line::gimli::DwarfSections::load(load) else { return };
    let dwarf: Dwarf<EndianSlice<RunTimeEndian>> = sections.borrow(|section| EndianSlice::new(section, endian));
    let Ok(context) = addr2line::Context::from_dwarf(dwarf) else { return };
    for (answer, address) in found.iter_mut().zip(addresses) {
        let Ok(mut frames) = context.find_frames(*address).skip_all_loads() else { continue };
        let Ok(Some(frame)) = frames.next() else { continue };
        if let Some(function) = frame.function {
            // Not by the language: a C file may hold functions of any.
            answer.function = function.raw_name().ok().map(|name| demangled(&name));
        }
        if let Some(location) = frame.location {
            answer.file = location.file.map(str::to_owned);
            answer.line = location.line;
        }
    }
}

fn demangled(name: &str) -> String {
    addr2line::demangle_auto(Cow::Borrowed(name), None).into_owned()
}
