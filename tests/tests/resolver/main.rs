//! `cuGetProcAddress` under the preload: every answer is the driver's own, or a wrapper of the same ABI.

/// What the headers of CUDA say about each name, and whether the table agrees.
mod abis;
/// `cudaGetDriverEntryPoint` and its like.
mod entry_points;
/// NVIDIA's own headers against the list and the wrappers' arguments.
mod headers;
/// Every name, version and flag, asked of the simulated driver with and without the preload.
mod matrix;
/// Drivers that hand out what they do not export, or what nobody knows.
mod strange;

use kvtrace_tests::{Bench, run};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

/// How a function was asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Question {
    /// Through which lookup function.
    way: String,
    name: String,
    version: i32,
    flags: u32,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    rc: i32,
    status: i32,
    /// The library that it lies in; `-` for none.
    library: String,
    offset: u64,
    /// The export at that place; `-` for none.
    symbol: String,
}

/// Asks for all `names` in all `versions`, with the libraries in `folder` and under the preload if `traced`.
fn ask(
    bench: &Bench,
    folder: Option<&Path>,
    names: &[&str],
    versions: &[i32],
    traced: bool,
) -> BTreeMap<Question, Answer> {
    let program = bench.path("resolver");
    if !program.exists() {
        bench.compile("resolver", "resolver", &["-ldl"]);
    }
    let list = bench.path("names");
    std::fs::write(&list, names.iter().map(|name| format!("{name}\n")).collect::<String>()).unwrap();
    let mut command: Command = if traced { bench.traced(&program) } else { bench.plain(&program) };
    if let Some(folder) = folder {
        command.env("LD_LIBRARY_PATH", folder);
    }
    command.arg(&list).args(versions.iter().map(|version| version.to_string()));
    let output = String::from_utf8(run(&mut command).stdout).unwrap();
    output.lines().map(parse).collect()
}

fn parse(line: &str) -> (Question, Answer) {
    let words: Vec<_> = line.split(' ').collect();
    let [way, name, version, flags, rc, status, library, offset, symbol] = words[..] else { panic!("{line}") };
    let [way, name, library, symbol] = [way, name, library, symbol].map(str::to_owned);
    let question = Question { way, name, version: version.parse().unwrap(), flags: flags.parse().unwrap() };
    let offset = u64::from_str_radix(offset, 16).unwrap();
    let answer = Answer { rc: rc.parse().unwrap(), status: status.parse().unwrap(), library, offset, symbol };
    (question, answer)
}

impl Answer {
    /// Whether it is a wrapper of the preload's.
    fn is_wrapper(&self) -> bool {
        Path::new(&self.library).file_name() == Some(OsStr::new("libkvtrace.so"))
    }
}
