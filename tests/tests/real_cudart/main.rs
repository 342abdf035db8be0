//! NVIDIA's own runtimes under the preload, on the simulated driver: they look up their driver's functions, and hold our
//! wrappers then. Without a real driver they go no further: they stop with an error of their own, with the preload and
//! without it. `scripts/cudart-wheels` fetches them.

use kvtrace_tests::hooks::{self, Row};
use kvtrace_tests::{Bench, cudart, elf, kit, run};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How many functions each runtime asks for when it starts.
const QUESTIONS: [(u32, usize); 3] = [(11, 384), (12, 419), (13, 481)];

/// File name of a shared runtime.
fn library(major: u32) -> String {
    let minor = if major == 11 { ".0" } else { "" };
    format!("libcudart.so.{major}{minor}")
}

/// One question of the runtime's.
#[derive(Debug, PartialEq, Eq)]
struct Question {
    name: String,
    version: u32,
    flags: u32,
    rc: i32,
    /// Library and symbol of what the driver handed out.
    real: [String; 2],
    /// Library and symbol of what the runtime holds.
    held: [String; 2],
    /// The library that asked the driver.
    asker: String,
    /// Whether the runtime holds what the driver handed out.
    untouched: bool,
}

#[test]
fn a_shared_runtime_holds_our_wrappers() {
    for (major, questions) in QUESTIONS {
        let Some(folder) = cudart(major, "NVIDIA's shared runtimes") else { return };
        let bench = Bench::new();
        let library = folder.join("lib").join(library(major));
        let program = bench.compile("symbol_phase", "symbol_phase", &["-ldl"]);
        compare(&bench, &format!("shared {major}"), &program, Some(&library), questions);

        let library = library.display().to_string();
        let rpath = format!("-Wl,-rpath,{}", folder.join("lib").display());
        let program = bench.compile("symbol_phase", "linked", &["-DLINKED", &library, &rpath, "-ldl"]);
        compare(&bench, &format!("linked {major}"), &program, None, questions);
    }
}

/// A wrapper of a function that the runtime does not have, or under another version than its own, is never called.
#[test]
fn every_wrapper_of_a_runtime_stands_for_an_export_of_it() {
    for (major, _) in QUESTIONS {
        let Some(folder) = cudart(major, "the exports of NVIDIA's runtimes") else { return };
        let exports = elf::exports(&folder.join("lib").join(library(major)));
        let rows: Vec<Row> = hooks::table().into_iter().filter(|row| row.major == major).collect();
        for row in &rows {
            let export = exports.iter().find(|export| export.name == row.symbol);
            let export = export.unwrap_or_else(|| panic!("{} has no {}", library(major), row.symbol));
            assert_eq!(export.version, library(major), "{}", row.symbol);
        }
        println!("{}: {} wrappers, {} exports", library(major), rows.len(), exports.len());
    }
}

#[test]
fn a_static_runtime_holds_our_wrappers() {
    // CUDA 11 is published as a shared library only.
    for (major, questions) in QUESTIONS.into_iter().filter(|(major, _)| *major > 11) {
        let Some(folder) = cudart(major, "NVIDIA's static runtimes") else { return };
        let bench = Bench::new();
        let archive = folder.join("lib/libcudart_static.a").display().to_string();
        let libraries = [archive.as_str(), "-ldl", "-lrt"];
        let program = bench.compile("symbol_phase", "static", &[&["-DLINKED"], &libraries[..]].concat());
        compare(&bench, &format!("static {major}"), &program, None, questions);

        // As libraries carry it: in a shared object that a program loads.
        let flags = ["-DCARRIED", "-shared", "-fPIC"];
        let library = bench.compile("symbol_phase", "carries.so", &[&flags, &libraries[..]].concat());
        let program = bench.compile("symbol_phase", "symbol_phase", &["-ldl"]);
        compare(&bench, &format!("static {major} in a library"), &program, Some(&library), questions);
    }
}

/// Runs the program with and without the preload and compares what its runtime holds in the end.
fn compare(bench: &Bench, what: &str, program: &Path, library: Option<&PathBuf>, questions: usize) {
    let folder = bench.path("recording");
    if !folder.exists() {
        std::fs::create_dir(&folder).unwrap();
        // A runtime that has failed unloads its driver.
        let flags = ["-shared", "-fPIC", "-ldl", "-Wl,-Bsymbolic", "-Wl,-z,nodelete", "-Wl,-soname,libcuda.so.1"];
        bench.compile("recording_driver", "recording/libcuda.so.1", &flags);
    }
    let start = |mut command: Command| {
        command.env("LD_LIBRARY_PATH", &folder).env("OTHER_DRIVER", kit("lib/sim/libcuda.so.1")).args(library);
        let text = String::from_utf8(run(&mut command).stdout).unwrap();
        let mut lines = text.lines();
        let result = lines.next().unwrap().to_owned();
        (result, lines.map(parse).collect::<Vec<_>>())
    };
    let (plain_result, plain) = start(bench.plain(program));
    let (result, traced) = start(bench.traced(program));
    assert_ne!(result, "cudaGetDeviceCount 0", "{what}: the runtime must not take the simulated driver for a real one");
    assert_eq!(result, plain_result, "{what}");
    assert_eq!(traced.len(), questions, "{what}");
    assert_eq!(plain.len(), questions, "{what}: without the preload");
    for (before, question) in plain.iter().zip(&traced) {
        let asked = |one: &Question| (one.name.clone(), one.version, one.flags, one.rc, one.real.clone());
        assert_eq!(asked(before), asked(question), "{what}: the same question, and the driver's same answer");
    }

    let table = hooks::table();
    let (mut wrapped, mut untouched, mut absent, mut gone) = (BTreeMap::new(), 0, 0, 0);
    for (before, question) in plain.iter().zip(&traced) {
        assert_eq!(question.asker, "libkvtrace.so", "{what}: past the preload: {question:?}");
        if question.held[0] == "gone" {
            // What the runtime uses to ask the rest, and the probe that comes first: the asker says that it was ours.
            assert!(["EMPTY", "cuGetProcAddress"].contains(&question.name.as_str()), "{what}: {question:?}");
            gone += 1;
            continue;
        }
        assert!(before.untouched, "{what}: {before:?}");
        if question.rc != 0 {
            assert_eq!(question.held, before.held, "{what}: {question:?}");
            absent += 1;
            continue;
        }
        match row(&table, question) {
            Some(row) => {
                assert_eq!(question.held, ["libkvtrace.so", row.symbol.as_str()], "{what}: {question:?}");
                wrapped.entry(&row.symbol).and_modify(|count| *count += 1).or_insert(1);
            }
            None => {
                assert!(question.untouched, "{what}: {question:?}");
                untouched += 1;
            }
        }
    }
    println!(
        "{what}: {questions} questions: {} answered with {} wrappers, {untouched} untouched, {absent} for what the driver \
         has not, {gone} not kept; {result}",
        wrapped.values().sum::<u32>(),
        wrapped.len()
    );
    assert!(wrapped.contains_key(&"cuMemAlloc_v2".to_owned()), "{what}: {wrapped:?}");
    let warnings = bench.trace().events("warning").len();
    assert_eq!(warnings, 0, "{what}");
}

/// The row that a driver as new as the table means by the question.
fn row<'t>(table: &'t [Row], question: &Question) -> Option<&'t Row> {
    let find = |per_thread| table.iter().find(|row| row.is_abi(&question.name, question.version, per_thread));
    // The lookup function for per-thread streams is never handed out.
    let find = |per_thread| find(per_thread).filter(|row| row.symbol != "cuGetProcAddress_v2_ptsz");
    if question.flags == 2 { find(true).or_else(|| find(false)) } else { find(false) }
}

fn parse(line: &str) -> Question {
    let words: Vec<&str> = line.split(' ').collect();
    let [name, version, flags, rc, real, real_symbol, held, held_symbol, asker, untouched] = words[..] else {
        panic!("{line}")
    };
    Question {
        name: name.to_owned(),
        version: version.parse().unwrap(),
        flags: flags.parse().unwrap(),
        rc: rc.parse().unwrap(),
        real: [real.to_owned(), real_symbol.to_owned()],
        held: [held.to_owned(), held_symbol.to_owned()],
        asker: asker.to_owned(),
        untouched: untouched == "1",
    }
}
