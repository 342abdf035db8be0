//! Finds the preload and makes sure that it will work, before the server starts: a loader that cannot preload a library
//! says so on the server's stderr and goes on without it.

use crate::failure::Failure;
use crate::installed;
use object::{Object, ObjectSection, ObjectSymbol};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// File name of the preload.
pub const NAME: &str = "libkvtrace.so";
const HINT_BUILD: &str = "build it with scripts/build, or name it with --shim";

/// The preload: as told, or where it is installed beside this program.
pub fn find(told: Option<&Path>) -> Result<PathBuf, Failure> {
    let shim = match told {
        Some(path) => path.to_owned(),
        None => beside()?,
    };
    let shown = shim.display().to_string();
    let shim = shim.canonicalize().map_err(|error| Failure::input(format!("{shown}: {error}"), HINT_BUILD))?;
    let data = fs::read(&shim).map_err(|error| Failure::input(format!("{shown}: {error}"), HINT_BUILD))?;
    let file = object::File::parse(&*data);
    let ours = file.is_ok_and(|file| file.dynamic_symbols().any(|symbol| symbol.name() == Ok("cuMemGetInfo_v2")));
    if !ours {
        return Err(Failure::input(format!("{shown}: not kvtrace's preload"), HINT_BUILD));
    }
    check_path(&shim)
}

/// The same path, if LD_PRELOAD can hold it: the loader splits the variable at both, and knows no escape.
pub fn check_path(shim: &Path) -> Result<PathBuf, Failure> {
    match shim.as_os_str().as_bytes().iter().any(|byte| matches!(byte, b' ' | b':')) {
        true => Err(Failure::input(
            format!("{}: LD_PRELOAD cannot hold a path with a space or a colon", shim.display()),
            "put libkvtrace.so elsewhere and name it with --shim",
        )),
        false => Ok(shim.to_owned()),
    }
}

fn beside() -> Result<PathBuf, Failure> {
    let exe = std::env::current_exe()?;
    installed::library(NAME)
        .ok_or_else(|| Failure::input(format!("{NAME} is not beside {}", exe.display()), HINT_BUILD))
}

/// The value of LD_PRELOAD: ours first, so that nothing else answers for a function that we watch, then those `behind`.
///
/// # Errors
/// Bad input if a path has what the variable cannot hold.
pub fn list(shim: &Path, behind: &[PathBuf]) -> Result<OsString, Failure> {
    let mut list = shim.as_os_str().to_owned();
    for path in behind {
        list.push(":");
        list.push(check_path(path)?);
    }
    if let Some(others) = std::env::var_os("LD_PRELOAD").filter(|others| !others.is_empty()) {
        list.push(":");
        list.push(others);
    }
    Ok(list)
}

/// Loads the preload into a program that is sure to end at once: this one.
pub fn check_loads(shim: &Path) -> Result<(), Failure> {
    let output = Command::new(std::env::current_exe()?)
        .arg("--version")
        .env("LD_PRELOAD", shim)
        .env("KVTRACE_DISABLE", "1")
        .output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    match output.status.success() && complaint.trim().is_empty() {
        true => Ok(()),
        false => Err(Failure::input(
            format!("the loader cannot preload {}: {}", shim.display(), complaint.trim()),
            "build it on this machine with scripts/build",
        )),
    }
}

/// The file that the command will run. Refuses what the loader would silently not preload.
pub fn check_program(name: &OsStr, shim: &Path) -> Result<PathBuf, Failure> {
    // What is not found is left to the start itself, which knows the shell's exit codes.
    let Some(path) = on_path(name) else { return Ok(PathBuf::from(name)) };
    let shown = path.display();
    let mode = fs::metadata(&path).map(|metadata| metadata.mode()).unwrap_or(0);
    if mode & (libc::S_ISUID | libc::S_ISGID) != 0 {
        return Err(Failure::input(
            format!("{shown} changes its user or group: the loader ignores LD_PRELOAD"),
            "trace the server itself: sudo kvtrace run ..., not kvtrace run -- sudo ...",
        ));
    }
    let mut magic = [0; 4];
    let elf = fs::File::open(&path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == *b"\x7fELF";
    if !elf {
        // A script: its interpreter inherits LD_PRELOAD.
        return Ok(path);
    }
    let (Ok(data), Ok(shim_data)) = (fs::read(&path), fs::read(shim)) else { return Ok(path) };
    let (Ok(program), Ok(preload)) = (object::File::parse(&*data), object::File::parse(&*shim_data)) else {
        return Ok(path);
    };
    if program.architecture() != preload.architecture() || program.is_64() != preload.is_64() {
        return Err(Failure::input(
            format!(
                "{shown} is for {:?}, {NAME} for {:?}: it cannot be preloaded",
                program.architecture(),
                preload.architecture()
            ),
            "use the kvtrace of that machine",
        ));
    }
    let linked = program.section_by_name(".interp").is_some_and(|section| section.size() > 0);
    match linked || program.section_by_name(".dynamic").is_none() && program.sections().next().is_none() {
        true => Ok(path),
        false => Err(Failure::input(
            format!("{shown} is statically linked: nothing can be preloaded into it"),
            "trace a dynamically linked program",
        )),
    }
}

/// The file of a command, as a shell finds it.
pub fn on_path(name: &OsStr) -> Option<PathBuf> {
    let executable = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    };
    if name.as_bytes().contains(&b'/') {
        return Some(PathBuf::from(name)).filter(executable);
    }
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(name)).find(executable)
}
