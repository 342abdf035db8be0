//! Link flags of the preload.

fn main() {
    // A library that programs call into until their last instruction must stay.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libkvtrace.so");
    // Beside rustc's own script, which lld accepts and GNU ld does not.
    let versions = format!("{}/versions.map", std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default());
    println!("cargo:rustc-cdylib-link-arg=-Wl,--version-script={versions}");
    println!("cargo:rerun-if-changed=versions.map");
    println!("cargo:rerun-if-changed=build.rs");
}
