//! Completes the export list and writes the table behind `cuGetProcAddress`.

use kvtrace_cuda_sim_exports as exports;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Memory functions that are not modelled. A stub that succeeds would leave the caller with what it had in its variables.
const REFUSED: [&str; 18] = [
    "cuDestroyExternalMemory",
    "cuExternalMemoryGetMappedBuffer",
    "cuExternalMemoryGetMappedMipmappedArray",
    "cuImportExternalMemory",
    "cuMemDiscardAndPrefetchBatchAsync",
    "cuMemDiscardBatchAsync",
    "cuMemGetHandleForAddressRange",
    "cuMemMapArrayAsync",
    "cuMemPoolExportPointer",
    "cuMemPoolExportToShareableHandle",
    "cuMemPoolImportFromShareableHandle",
    "cuMemPoolImportPointer",
    "cuMemPrefetchBatchAsync",
    "cuMulticastAddDevice",
    "cuMulticastBindAddr",
    "cuMulticastBindMem",
    "cuMulticastCreate",
    "cuMulticastUnbind",
];
const NOT_SUPPORTED: i32 = 801;

fn main() -> io::Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let names = exports::names(Path::new("names.txt"))?;
    let written = exports::written(Path::new("src"))?;

    let mut stubs = String::new();
    for name in names.difference(&written) {
        let source = match exports::stands_for(name, &written) {
            Some(base) => exports::jump(name, &format!("crate::{base}")),
            None if is_refused(name) => exports::stub(name, NOT_SUPPORTED),
            None => exports::stub(name, 0),
        };
        stubs.push_str(&source);
    }
    fs::write(out.join("stubs.rs"), stubs)?;

    let mut table = String::from("pub(super) static TABLE: &[Entry] = &[\n");
    for row in exports::names(Path::new("versions.txt"))? {
        let cells: Vec<_> = row.split_whitespace().collect();
        let [base, version, flag, symbol] = cells[..] else {
            return Err(io::Error::other(format!("versions.txt: not four words: {row}")));
        };
        let _ = writeln!(table, "    Entry::new({base:?}, {version}, {flag}, crate::{symbol} as *const ()),");
    }
    table.push_str("];\n");
    fs::write(out.join("table.rs"), table)?;

    exports::link_as("libcuda.so.1");
    Ok(())
}

/// In any of its ABIs.
fn is_refused(name: &str) -> bool {
    let base = name.strip_suffix("_ptsz").unwrap_or(name);
    REFUSED.contains(&base.strip_suffix("_v2").unwrap_or(base))
}
