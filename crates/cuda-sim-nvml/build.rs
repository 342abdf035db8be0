//! Completes the export list: what is not written out is not supported.

use kvtrace_cuda_sim_exports as exports;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// `NVML_ERROR_NOT_SUPPORTED`.
const NOT_SUPPORTED: i32 = 3;

fn main() -> io::Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let names = exports::names(Path::new("names.txt"))?;
    let written = exports::written(Path::new("src"))?;
    let stubs: String = names.difference(&written).map(|name| exports::stub(name, NOT_SUPPORTED)).collect();
    fs::write(out.join("stubs.rs"), stubs)?;
    exports::link_as("libnvidia-ml.so.1");
    Ok(())
}
