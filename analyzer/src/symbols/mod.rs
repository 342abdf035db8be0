//! Return addresses of a trace -> functions and lines, read from the files on this machine.
//!
//! A trace may come from anywhere: its paths are opened for reading only, as regular files only, and a file is believed
//! only if its build id is the one that the trace names.

mod code;
mod place;

use crate::load::Trace;
use crate::load::events::{Call, ModuleIndex, ProcessIndex};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

/// A trace may name a new caller in each event; a person reads a few.
const MOST_CALLERS: usize = 4096;

/// Where the traced files lie on this machine.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Places {
    /// Folder with the files of the traced container or machine: DIR/PATH is tried before PATH
    ///
    /// Names of native callers come from the libraries themselves. Of a container that still runs, its root is
    /// /proc/PID/root.
    #[arg(long, value_name = "DIR")]
    pub sysroot: Option<PathBuf>,
    /// Folder of separate debug files by build id, as /usr/lib/debug; may be given several times
    #[arg(long, value_name = "DIR")]
    pub debug_dir: Vec<PathBuf>,
}

/// Who called, in native code.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Native {
    pub module: String,
    /// Of the return address, from the module's load address.
    pub offset: u64,
    /// Demangled.
    pub function: Option<String>,
    pub file: Option<String>,
    pub line: Option<u32>,
    /// Why there is no function.
    pub unknown: Option<String>,
}

/// What code of a module at one return address is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    function: Option<String>,
    file: Option<String>,
    line: Option<u32>,
    unknown: Option<String>,
}

/// A module as a trace describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Module {
    path: String,
    /// What the path leads to; empty if it is the same.
    file: String,
    /// Absent if no event describes the module.
    build_id: Option<String>,
}

/// The callers of a trace that were looked up.
#[derive(Debug, Default)]
pub struct Symbols {
    found: HashMap<(ProcessIndex, ModuleIndex, u64), Found>,
    too_many: bool,
}

impl Symbols {
    /// Looks up who asked for memory figures and who opened memory files.
    pub fn of(trace: &Trace, places: &Places) -> Symbols {
        let mut symbols = Symbols::default();
        // Each module is read once, for all of its callers.
        let mut wanted: BTreeMap<Module, BTreeMap<u64, Vec<(ProcessIndex, ModuleIndex)>>> = BTreeMap::new();
        let queries = trace.queries.iter().map(|query| (query.process, &query.asked, query.n));
        let reads = trace.reads.iter().map(|read| (read.process, &read.asked, read.n));
        for (process, call, n) in queries.chain(reads) {
            let key = (process, call.module, call.offset);
            if trace.module(call.module).is_empty() || symbols.found.contains_key(&key) {
                continue;
            }
            if symbols.found.len() >= MOST_CALLERS {
                symbols.too_many = true;
                break;
            }
            symbols.found.insert(key, Found::default());
            let loaded = trace.seen.loaded(process, call.module, n);
            let module = Module {
                path: trace.module(call.module).to_owned(),
                file: loaded.map(|loaded| loaded.file.clone()).unwrap_or_default(),
                build_id: loaded.map(|loaded| loaded.build_id.clone()),
            };
            wanted.entry(module).or_default().entry(call.offset).or_default().push((process, call.module));
        }
        for (module, offsets) in wanted {
            let list: Vec<u64> = offsets.keys().copied().collect();
            let answers = look_up(&module, &list, places);
            for ((offset, callers), found) in offsets.into_iter().zip(answers) {
                for (process, index) in callers {
                    symbols.found.insert((process, index, offset), found.clone());
                }
            }
        }
        symbols
    }

    pub fn native(&self, trace: &Trace, process: ProcessIndex, call: &Call) -> Native {
        let module = trace.module(call.module).to_owned();
        let found = self.found.get(&(process, call.module, call.offset)).cloned().unwrap_or_else(|| {
            let why = match (module.is_empty(), self.too_many) {
                (true, _) => "the call came from no module: generated code, or a library that was unloaded",
                (_, true) => "the trace names too many callers to look all up",
                _ => "it was not looked up",
            };
            Found { unknown: Some(why.into()), ..Found::default() }
        });
        let Found { function, file, line, unknown } = found;
        Native { module, offset: call.offset, function, file, line, unknown }
    }
}

/// An answer for each return address.
fn look_up(module: &Module, offsets: &[u64], places: &Places) -> Vec<Found> {
    let unknown = |why: String| vec![Found { unknown: Some(why), ..Found::default() }; offsets.len()];
    match place::files(module, places) {
        Ok(files) => code::resolve(&files, offsets).unwrap_or_else(unknown),
        Err(why) => unknown(why),
    }
}
