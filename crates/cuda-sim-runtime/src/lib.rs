//! The CUDA runtime of the simulated GPU: linked into a program it is its static `libcudart`, and the shared libraries
//! `libcudart.so.12` and `libcudart.so.13` export it again.
//!
//! It knows nothing of the device. As the real runtime does, it opens `libcuda.so.1` at the first call that needs it and
//! asks `cuGetProcAddress` for each driver function, so a tracer sees the same sequence of calls.

#![allow(non_snake_case, missing_docs, reason = "the functions carry the runtime API's names and are documented there")]

mod context;
mod copy;
mod driver;
mod error;
mod error_names;
mod memory;
mod pointer;
mod version;

pub use context::*;
pub use copy::*;
pub use error::*;
pub use memory::*;
pub use version::set_version;
