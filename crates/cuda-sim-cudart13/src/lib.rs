//! `libcudart.so.13` of the simulated GPU: the functions of the runtime crate under the names and the version node
//! of the real library, and a stub for each name that is not written there.

#![allow(non_snake_case, reason = "the functions carry the runtime API's names")]

mod exports {
    //! Every name that the library exports, from the build script.
    include!(concat!(env!("OUT_DIR"), "/exports.rs"));
}

/// Runs when the loader maps this library, before any function of it can be called.
#[used]
#[unsafe(link_section = ".init_array")]
static SET_VERSION: extern "C" fn() = set_version;

extern "C" fn set_version() {
    kvtrace_cuda_sim_runtime::set_version(13_000);
}
