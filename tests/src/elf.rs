//! What a library exports.

use object::Endianness;
use object::read::elf::{ElfFile64, Sym as _};
use std::path::Path;

/// One exported function or object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Export {
    /// Its name, without its version.
    pub name: String,
    /// Its version node, empty if it has none.
    pub version: String,
    /// Whether references without a version get it.
    pub default: bool,
    /// Offset from the library's load address.
    pub offset: u64,
}

/// Every export of the library at `path`.
///
/// # Panics
/// If it is no library.
pub fn exports(path: &Path) -> Vec<Export> {
    let data = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    read(&data).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn read(data: &[u8]) -> object::read::Result<Vec<Export>> {
    let file = ElfFile64::<Endianness>::parse(data)?;
    let endian = file.endian();
    let sections = file.elf_section_table();
    let symbols = sections.symbols(endian, data, object::elf::SHT_DYNSYM)?;
    let versions = sections.versions(endian, data)?;
    let mut found = Vec::new();
    for (index, symbol) in symbols.enumerate() {
        let local = symbol.st_bind() == object::elf::STB_LOCAL;
        if symbol.st_shndx(endian) == object::elf::SHN_UNDEF || local || symbol.st_name(endian) == 0 {
            continue;
        }
        let name = text(symbol.name(endian, symbols.strings())?);
        let mut export = Export { name, version: String::new(), default: true, offset: symbol.st_value(endian) };
        if let Some(versions) = &versions {
            let mark = versions.version_index(endian, index);
            export.default = !mark.is_hidden();
            if let Some(version) = versions.version(mark)? {
                export.version = text(version.name());
            }
        }
        // The node's own name is an absolute symbol.
        if symbol.st_shndx(endian) != object::elf::SHN_ABS {
            found.push(export);
        }
    }
    found.sort();
    Ok(found)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
