//! `libcudnn.so.9` of the simulated GPU. Every convolution has one algorithm, which needs no workspace. Recurrent
//! networks are refused.

#![allow(non_snake_case, reason = "the functions carry the library's names")]

mod algorithms;
mod backend;
mod info;
mod quiet {
    //! Every function that is not written out, from the build script.
    include!(concat!(env!("OUT_DIR"), "/quiet.rs"));
}

/// What this library is, for whoever looks at it from outside.
#[unsafe(export_name = "kvtrace_sim_quiet")]
pub static LIBRARY: kvtrace_cuda_sim_quiet::Library = kvtrace_cuda_sim_quiet::Library::new("libcudnn.so.9");
