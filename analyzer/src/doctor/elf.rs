//! What ELF files say of themselves: machine, loader, and the versions of glibc that they need or are.

use object::elf::{EM_AARCH64, EM_X86_64, FileHeader64, PT_INTERP};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, FileKind};
use std::path::{Path, PathBuf};

type Header = FileHeader64<Endianness>;

const X86_64: &str = "64-bit x86-64";
const AARCH64: &str = "64-bit ARM";
/// What the preload beside this program is built for.
pub const OURS: &str = if cfg!(target_arch = "aarch64") { AARCH64 } else { X86_64 };
/// No program is larger; a file that is would not be read into memory for nothing.
const MOST_BYTES: u64 = 1 << 30;

/// A program's file.
#[derive(Debug)]
pub struct Program {
    /// Class and machine.
    pub machine: String,
    /// The loader that it asks for; none if it is statically linked.
    pub interpreter: Option<PathBuf>,
    /// Whether Go's linker made it.
    pub go: bool,
}

/// Reads a program. Fails with the reason, in words.
pub fn read(path: &Path) -> Result<Program, String> {
    let data = bytes(path)?;
    match FileKind::parse(&*data) {
        Ok(FileKind::Elf64) => {}
        Ok(FileKind::Elf32) => return Ok(Program { machine: "32-bit".into(), interpreter: None, go: false }),
        _ => return Err("neither an ELF program nor a script".into()),
    }
    parse(&data).ok_or_else(|| "not a whole ELF program".into())
}

fn parse(data: &[u8]) -> Option<Program> {
    let header = Header::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let machine = match header.e_machine(endian) {
        EM_X86_64 => X86_64.into(),
        EM_AARCH64 => AARCH64.into(),
        other => format!("64-bit machine {other}"),
    };
    // Section headers may be stripped: the loader goes by the program headers, and so does this.
    let segments = header.program_headers(endian, data).ok()?;
    let interpreter = segments.iter().find(|segment| segment.p_type(endian) == PT_INTERP).and_then(|segment| {
        let text = segment.data(endian, data).ok()?;
        let text = text.split(|byte| *byte == 0).next()?;
        Some(PathBuf::from(String::from_utf8_lossy(text).into_owned()))
    });
    let go = header.sections(endian, data).is_ok_and(|sections| {
        sections.iter().any(|section| {
            let name = sections.section_name(endian, section).unwrap_or_default();
            matches!(name, b".go.buildinfo" | b".note.go.buildid")
        })
    });
    Some(Program { machine, interpreter, go })
}

/// The newest glibc that a file needs, such as `2.17`.
pub fn needs(path: &Path) -> Option<String> {
    let data = bytes(path).ok()?;
    let header = Header::parse(&*data).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, &*data).ok()?;
    let mut newest = None;
    for section in sections.iter() {
        let Ok(Some((mut needs, strings))) = section.gnu_verneed(endian, &*data) else { continue };
        let strings = sections.strings(endian, &*data, strings).ok()?;
        while let Some((_, mut names)) = needs.next().ok()? {
            while let Some(name) = names.next().ok()? {
                keep_newest(&mut newest, name.name(endian, strings).ok()?);
            }
        }
    }
    newest
}

/// The newest glibc that a libc.so.6 is compatible with, which is its own version.
pub fn provides(path: &Path) -> Option<String> {
    let data = bytes(path).ok()?;
    let header = Header::parse(&*data).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, &*data).ok()?;
    let mut newest = None;
    for section in sections.iter() {
        let Ok(Some((mut definitions, strings))) = section.gnu_verdef(endian, &*data) else { continue };
        let strings = sections.strings(endian, &*data, strings).ok()?;
        while let Some((_, mut names)) = definitions.next().ok()? {
            while let Some(name) = names.next().ok()? {
                keep_newest(&mut newest, name.name(endian, strings).ok()?);
            }
        }
    }
    newest
}

fn keep_newest(newest: &mut Option<String>, name: &[u8]) {
    let version = std::str::from_utf8(name).ok().and_then(|name| name.strip_prefix("GLIBC_"));
    if let Some(version) = version.filter(|version| version.starts_with(|c: char| c.is_ascii_digit()))
        && newest.as_ref().is_none_or(|newest| older(newest, version))
    {
        *newest = Some(version.to_owned());
    }
}

/// Whether a version is older than another, by numbers: 2.4 is older than 2.17.
pub fn older(version: &str, than: &str) -> bool {
    let numbers = |text: &str| text.split('.').map(|part| part.parse().unwrap_or(0)).collect::<Vec<u32>>();
    numbers(version) < numbers(than)
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    match size <= MOST_BYTES {
        true => std::fs::read(path).map_err(|error| error.to_string()),
        false => Err("larger than any program".into()),
    }
}
