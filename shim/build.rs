//! Link flags of the preload.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    // A library that programs call into until their last instruction must stay.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libkvtrace.so");
    // Beside rustc's own script, which lld accepts and GNU ld does not.
    let versions = format!("{}/versions.map", env::var("CARGO_MANIFEST_DIR").unwrap_or_default());
    println!("cargo:rustc-cdylib-link-arg=-Wl,--version-script={versions}");
    // On x86-64 rustc links with lld by itself.
    if env::var("CARGO_CFG_TARGET_ARCH").as_deref() != Ok("x86_64") {
        println!("cargo:rustc-cdylib-link-arg=-fuse-ld=lld");
        if let Some(folder) = lld_of_rustc() {
            println!("cargo:rustc-cdylib-link-arg=-B{folder}");
        }
    }
    println!("cargo:rerun-if-changed=versions.map");
    println!("cargo:rerun-if-changed=build.rs");
}

/// Where rustup's toolchains keep an `ld.lld` for the C compiler. Others leave it to the system's.
fn lld_of_rustc() -> Option<String> {
    let output = Command::new(env::var_os("RUSTC")?).args(["--print", "sysroot"]).output().ok()?;
    let sysroot = String::from_utf8(output.stdout).ok()?;
    let folder = format!("{}/lib/rustlib/{}/bin/gcc-ld", sysroot.trim_end(), env::var("HOST").ok()?);
    Path::new(&folder).join("ld.lld").exists().then_some(folder)
}
