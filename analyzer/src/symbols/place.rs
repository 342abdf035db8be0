//! Which file on this machine is a module of a trace.

use super::{Module, Places};
use object::read::elf::ElfFile64;
use object::{Endianness, Object, ReadCache};
use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The smallest ELF file is its header. The kernel's own files say 0.
const SMALLEST: u64 = 64;
/// The largest library of a serving image has 3 GiB.
const LARGEST: u64 = 16 << 30;
const DEBUG: &str = "/usr/lib/debug";

/// The module itself, and what has its debug information. At least one is there.
#[derive(Debug, Default)]
pub struct Files {
    pub module: Option<File>,
    pub debug: Option<File>,
}

/// Finds the files of a module.
///
/// # Errors
/// In words: what is in the way.
pub fn files(module: &Module, places: &Places) -> Result<Files, String> {
    // It becomes part of a path below, and a trace may hold anything.
    let Some(id) = module.build_id.as_deref() else {
        return Err("the trace does not describe this library".into());
    };
    let proper = (4..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if id.is_empty() {
        return Err("it has no build id to know its file by".into());
    }
    if !proper {
        return Err("the trace names no proper build id of it".into());
    }
    let mut why = String::new();
    let mut found = Files::default();
    for path in candidates(module, places) {
        match open(&path, id) {
            Ok(file) => {
                found.module = Some(file);
                break;
            }
            // A file of another build says more than one that is not there.
            Err(reason) if why.is_empty() || reason == OTHER => why = reason,
            Err(_) => {}
        }
    }
    found.debug = debug_files(id, places).into_iter().find_map(|path| open(&path, id).ok());
    match found.module.is_some() || found.debug.is_some() {
        true => Ok(found),
        false => Err(why),
    }
}

const OTHER: &str = "the file has another build id";

fn candidates(module: &Module, places: &Places) -> Vec<PathBuf> {
    let named = [&module.file, &module.path].into_iter().filter(|path| path.starts_with('/'));
    let under = |path: &&String| places.sysroot.as_ref().map(|root| root.join(path.trim_start_matches('/')));
    named.clone().filter_map(|path| under(&path)).chain(named.map(PathBuf::from)).collect()
}

fn debug_files(id: &str, places: &Places) -> Vec<PathBuf> {
    let (first, rest) = id.split_at(2);
    let name = format!("{first}/{rest}.debug");
    let mut list = Vec::new();
    for folder in &places.debug_dir {
        list.extend([folder.join(".build-id").join(&name), folder.join(&name)]);
    }
    if let Some(root) = &places.sysroot {
        list.push(root.join(DEBUG.trim_start_matches('/')).join(".build-id").join(&name));
    }
    list.push(Path::new(DEBUG).join(".build-id").join(&name));
    list
}

/// Opens what is surely a regular file of that build.
fn open(path: &Path, id: &str) -> Result<File, String> {
    // Asked before it is opened: to open a device or a FIFO already does something.
    let told = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => "the file is not on this machine".to_owned(),
        std::io::ErrorKind::PermissionDenied => "the file may not be read".to_owned(),
        _ => format!("the file cannot be read: {error}"),
    };
    regular(&fs::metadata(path).map_err(told)?)?;
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(told)?;
    regular(&file.metadata().map_err(told)?)?;
    let cache = ReadCache::new(&file);
    let elf: ElfFile64<'_, Endianness, _> = ElfFile64::parse(&cache).map_err(|_| "the file is no 64-bit ELF file")?;
    let own = elf.build_id().ok().flatten().unwrap_or_default();
    let own: String = own.iter().map(|byte| format!("{byte:02x}")).collect();
    match own.eq_ignore_ascii_case(id) {
        true => Ok(file),
        false => Err(OTHER.into()),
    }
}

fn regular(metadata: &fs::Metadata) -> Result<(), String> {
    match metadata.is_file() && (SMALLEST..LARGEST).contains(&metadata.len()) {
        true => Ok(()),
        false => Err("the path leads to no library".into()),
    }
}
