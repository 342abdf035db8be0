//! Completes the export list of a simulated CUDA library. Used by build scripts only.
//!
//! Each library keeps the sorted list of all names that the real one exports. What its sources do not define gets a
//! stub: a jump to the hand-written function of which it is the per-thread-stream form, or else a function that returns
//! a fixed code.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// The names in a list file: one a line, `#` starts a comment.
pub fn names(list: &Path) -> io::Result<BTreeSet<String>> {
    println!("cargo:rerun-if-changed={}", list.display());
    let text = fs::read_to_string(list)?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or("").trim());
    Ok(lines.filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// The `extern "C"` functions defined in the Rust files of `folder`, subfolders included.
pub fn written(folder: &Path) -> io::Result<BTreeSet<String>> {
    println!("cargo:rerun-if-changed={}", folder.display());
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(written(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.extend(definitions(&fs::read_to_string(&path)?));
        }
    }
    Ok(found)
}

fn definitions(source: &str) -> impl Iterator<Item = String> {
    source.lines().filter_map(|line| {
        let (before, rest) = line.split_once("extern \"C\" fn ")?;
        let code = !before.trim_start().starts_with("//");
        code.then(|| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
    })
}

/// The hand-written function that stands for `name`: itself, or its form without a per-thread-stream suffix.
pub fn stands_for<'a>(name: &'a str, written: &BTreeSet<String>) -> Option<&'a str> {
    let base = name.strip_suffix("_ptsz").or_else(|| name.strip_suffix("_ptds"));
    [Some(name), base].into_iter().flatten().find(|name| written.contains(*name))
}

/// Rust source of an exported function `name` that jumps to `target`, a path. Arguments stay where the caller put them,
/// whatever they are.
pub fn jump(name: &str, target: &str) -> String {
    format!(
        "#[unsafe(no_mangle)]\n#[unsafe(naked)]\npub(crate) extern \"C\" fn {name}() {{\n    core::arch::naked_asm!(\n        \
         #[cfg(target_arch = \"x86_64\")] \"jmp {{}}\",\n        #[cfg(target_arch = \"aarch64\")] \"b {{}}\",\n        \
         sym {target})\n}}\n"
    )
}

/// Rust source of an exported function `name` that ignores its arguments and returns `code`.
pub fn stub(name: &str, code: i32) -> String {
    format!("#[unsafe(no_mangle)]\npub(crate) extern \"C\" fn {name}() -> i32 {{\n    {code}\n}}\n")
}

/// What a quiet function writes before it returns success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// Which argument it is, by the registers and stack slots that hold integers.
    argument: usize,
    /// `z` for 64 bits of 0, `i` for 32, `h` for a fresh handle.
    value: char,
}

/// A row of a list: a name, and the places that the function fills in, as `ARGUMENT=VALUE`.
fn row(line: &str) -> io::Result<(&str, Vec<Place>)> {
    let mut words = line.split_whitespace();
    let name = words.next().unwrap_or_default();
    let place = |word: &str| {
        let (argument, value) = word.split_once('=')?;
        let value = value.chars().next().filter(|value| "zih".contains(*value))?;
        Some(Place { argument: argument.parse().ok()?, value })
    };
    let places: Option<Vec<Place>> = words.map(place).collect();
    places.map(|places| (name, places)).ok_or_else(|| io::Error::other(format!("not a row of a list: {line}")))
}

/// Rust source of an exported function `name` that says that it does nothing, fills in its places and returns `code`.
fn quiet(name: &str, places: &[Place], code: i32) -> String {
    let count = places.iter().map(|place| place.argument + 1).max().unwrap_or(0);
    let argument = |index| match places.iter().any(|place| place.argument == index) {
        true => format!("a{index}: usize"),
        false => "_: usize".to_owned(),
    };
    let arguments: Vec<_> = (0..count).map(argument).collect();
    let mut source =
        format!("#[unsafe(no_mangle)]\npub(crate) extern \"C\" fn {name}({}) -> isize {{\n", arguments.join(", "));
    source.push_str("    static SAID: quiet::Said = quiet::Said::new();\n");
    let _ = writeln!(source, "    SAID.does_nothing(crate::LIBRARY.name(), \"{name}\");");
    for Place { argument, value } in places {
        let _ = match value {
            'h' => writeln!(source, "    quiet::place::<usize>(a{argument}).offer(quiet::fresh_handle());"),
            'z' => writeln!(source, "    quiet::place::<u64>(a{argument}).offer(0);"),
            _ => writeln!(source, "    quiet::place::<i32>(a{argument}).offer(0);"),
        };
    }
    let _ = writeln!(source, "    {code}\n}}");
    source
}

/// Completes a library that computes nothing: each name of `names.txt` that `src` does not define gets a function that
/// returns success, or `refusal` for what is in `refused`. For the build script of a crate that depends on
/// `kvtrace-cuda-sim-quiet` and has a static `LIBRARY`.
pub fn quiet_library(soname: &str, refused: &[&str], refusal: i32) -> io::Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let written = written(Path::new("src"))?;
    let rows = names(Path::new("names.txt"))?;
    let mut source = String::from("use kvtrace_cuda_sim_quiet as quiet;\n");
    for line in &rows {
        let (name, places) = row(line)?;
        if !written.contains(name) {
            let is_refused = refused.iter().any(|start| name.starts_with(start));
            source.push_str(&quiet(name, &places, if is_refused { refusal } else { 0 }));
        }
    }
    fs::write(out.join("quiet.rs"), source)?;
    link_as(soname);
    Ok(())
}

/// Tells cargo to link a cdylib as `soname`, with its own references bound inside it: a preloaded library must see what
/// the program asks, not what this library asks itself.
pub fn link_as(soname: &str) {
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,{soname}");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-Bsymbolic");
}

/// Gives `names` the symbol version `node`.
pub fn version_node(node: &str, names: &BTreeSet<String>, out: &Path) -> io::Result<()> {
    // Beside rustc's own script, which lld accepts and GNU ld does not. On x86-64 rustc links with lld by itself.
    if env::var("CARGO_CFG_TARGET_ARCH").as_deref() != Ok("x86_64") {
        println!("cargo:rustc-cdylib-link-arg=-fuse-ld=lld");
        if let Some(folder) = lld_of_rustc() {
            println!("cargo:rustc-cdylib-link-arg=-B{folder}");
        }
    }
    let mut script = format!("{node} {{\n  global:\n");
    for name in names {
        let _ = writeln!(script, "    {name};");
    }
    script.push_str("};\n");
    let path = out.join("version.map");
    fs::write(&path, script)?;
    println!("cargo:rustc-cdylib-link-arg=-Wl,--version-script={}", path.display());
    Ok(())
}

/// Where rustup's toolchains keep an `ld.lld` for the C compiler. Others leave it to the system's.
fn lld_of_rustc() -> Option<String> {
    let output = Command::new(env::var_os("RUSTC")?).args(["--print", "sysroot"]).output().ok()?;
    let sysroot = String::from_utf8(output.stdout).ok()?;
    let folder = format!("{}/lib/rustlib/{}/bin/gcc-ld", sysroot.trim_end(), env::var("HOST").ok()?);
    Path::new(&folder).join("ld.lld").exists().then_some(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_definitions_and_not_comments() {
        let source =
            "pub extern \"C\" fn cuInit(flags: u32) -> i32 {\n// extern \"C\" fn cuNot(\n    extern \"C\" fn cu_b() {}";
        assert_eq!(definitions(source).collect::<Vec<_>>(), ["cuInit", "cu_b"]);
    }

    #[test]
    fn a_quiet_function_fills_in_its_places() {
        let (name, places) = row("cufftGetSize 1=z 0=h").unwrap();
        let source = quiet(name, &places, 0);
        assert!(source.contains("fn cufftGetSize(a0: usize, a1: usize) -> isize"), "{source}");
        assert!(source.contains("place::<u64>(a1).offer(0)"), "{source}");
        assert!(row("cufftGetSize 1=q").is_err());
        assert!(row("cufftGetSize z").is_err());
    }

    #[test]
    fn per_thread_forms_stand_on_the_plain_one() {
        let written = BTreeSet::from(["cuMemFreeAsync".to_owned()]);
        assert_eq!(stands_for("cuMemFreeAsync_ptsz", &written), Some("cuMemFreeAsync"));
        assert_eq!(stands_for("cuMemFree_v2", &written), None);
    }
}
