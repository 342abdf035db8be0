//! Completes the export list and writes the table behind `cuGetProcAddress`.

use kvtrace_cuda_sim_exports as exports;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let names = exports::names(Path::new("names.txt"))?;
    let written = exports::written(Path::new("src"))?;

    let mut stubs = String::new();
    for name in names.difference(&written) {
        let source = match exports::stands_for(name, &written) {
            Some(base) => exports::jump(name, &format!("crate::{base}")),
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
