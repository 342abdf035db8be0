//! The preload beside everything else that hooks, forks, loads, unloads and ends. Each test fails when the preload's
//! answer to its class is taken away, and says in a line what it protects.

/// The right ABI for every way to ask.
mod abi;
/// Processes that inherit the preload and have no use for it.
mod children;
/// fork, clone, vfork, spawn, and kernels that do not help.
mod forks;
/// Other preloads, and libraries that patch code.
mod hookers;
/// `dlsym` answers as it would have without us.
mod lookups;
/// Threads without room.
mod threads;
/// Libraries that go, and processes that end early.
mod unloading;
/// The ways in which Python and MPI start workers.
mod workers;

use kvtrace_tests::{Bench, kit};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The preload.
fn shim() -> PathBuf {
    kit("lib/libkvtrace.so")
}

/// A library of the simulated GPU.
fn simulated(name: &str) -> String {
    kit(&format!("lib/sim/{name}")).to_str().expect("a path in UTF-8").to_owned()
}

/// A program of the class; see [`Bench::compile`].
fn compile(bench: &Bench, name: &str, output: &str, flags: &[&str]) -> PathBuf {
    bench.compile(&format!("coexist/{name}"), output, flags)
}

/// A shared library of the class.
fn library(bench: &Bench, name: &str, output: &str) -> PathBuf {
    compile(bench, name, output, &["-shared", "-fPIC"])
}

/// The command with these libraries preloaded, in this order.
fn preload<'c>(command: &'c mut Command, libraries: &[&Path]) -> &'c mut Command {
    let list: Vec<OsString> = libraries.iter().map(|library| library.as_os_str().to_owned()).collect();
    command.env("LD_PRELOAD", list.join(std::ffi::OsStr::new(":")))
}

/// Runs both, which must end, say and complain alike; gives the traced one's output as text.
fn alike(plain: &mut Command, traced: &mut Command) -> String {
    let plain_output = plain.output().expect("starts");
    let traced_output = traced.output().expect("starts");
    let told = |output: &Output| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.to_string(), text(&output.stdout), text(&output.stderr))
    };
    assert_eq!(told(&traced_output), told(&plain_output), "traced, plain: {traced:?}");
    told(&traced_output).1
}
