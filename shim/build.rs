//! Link flags of the preload.

fn main() {
    // A library that programs call into until their last instruction must stay.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libkvtrace.so");
    println!("cargo:rerun-if-changed=build.rs");
}
