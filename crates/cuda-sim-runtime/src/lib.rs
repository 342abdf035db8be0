//! The CUDA runtime of the simulated GPU: linked into a program it is its static `libcudart`, and the shared libraries
//! `libcudart.so.12` and `libcudart.so.13` export it again.
//!
//! It knows nothing of the device. As the real runtime does, it opens `libcuda.so.1` at the first call that needs it and
//! asks `cuGetProcAddress` for each driver function, so a tracer sees the same sequence of calls.
//!
//! No function has a C symbol here: a program with this runtime inside shows none, and the shared libraries name theirs
//! with a symbol version.

#![allow(non_snake_case, missing_docs, reason = "the functions carry the runtime API's names and are documented there")]

mod context;
mod copy;
mod driver;
mod entry;
mod error;
mod error_names;
mod launch;
mod memory;
mod pointer;
mod pool;
mod properties;
mod stream;
mod version;

pub use context::*;
pub use copy::*;
pub use entry::*;
pub use error::*;
pub use launch::*;
pub use memory::*;
pub use pool::*;
pub use properties::*;
pub use stream::*;
pub use version::set_version;
