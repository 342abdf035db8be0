//! `kvtrace doctor`: whether a program can be traced here, and what would bias its sizing right now.
//!
//! Everything is read from files, from the kernel's answers to this process, and from the driver, which a child asks.
//! The program itself is never started, and nothing is changed.

mod cgroup;
mod container;
mod driver;
mod elf;
mod environment;
mod finding;
pub mod gpu;
mod leftovers;
mod limits;
mod machine;
mod memory;
mod output;
mod render;
mod target;
#[cfg(test)]
mod tests;

use crate::failure::Failure;
use crate::render::Format;
use crate::run::preload;
use finding::{Finding, State};
use kvtrace_trace::redact;
use machine::Machine;
use serde::Serialize;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Raised when a name of the JSON changes its meaning.
const SCHEMA: u32 = 1;

/// What is to be looked at.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Trace directory that `run` would use
    #[arg(short, long, value_name = "DIR", env = "KVTRACE_OUT", default_value = "kvtrace-out")]
    pub out: PathBuf,
    /// The preload, where it is not beside kvtrace (../lib/libkvtrace.so)
    #[arg(long, value_name = "FILE", env = "KVTRACE_SHIM", hide_env_values = true)]
    pub shim: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// The same as --format json: for bug reports, secrets blanked
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    /// Started anew with an inert preload
    #[arg(long, hide = true)]
    pub inert: bool,
    /// The program that would be traced, behind `--`
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// The answer; its JSON is stable.
#[derive(Debug, Serialize)]
pub struct Report {
    doctor_schema: u32,
    kvtrace: &'static str,
    /// Whether nothing prevents tracing.
    traceable: bool,
    /// Program and arguments, secrets blanked; empty if none was given.
    command: Vec<String>,
    findings: Vec<Finding>,
}

/// Looks and prints. The code is 1 if something prevents tracing.
///
/// # Errors
/// Internal, if the report cannot be written.
pub fn command(options: &Options) -> Result<ExitCode, Failure> {
    if !options.inert && is_preloaded() {
        return Err(start_inert().into());
    }
    let report = examine(options);
    let format = if options.json { Format::Json } else { options.format };
    match format {
        Format::Table => crate::write_out(render::terminal(&report))?,
        _ => crate::print(&render::document(&report), &report, format)?,
    }
    Ok(if report.traceable { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Whether this very process would leave a trace: in a shell where `kvtrace env` was evaluated.
fn is_preloaded() -> bool {
    let disabled = std::env::var_os("KVTRACE_DISABLE").is_some_and(|value| value == "1");
    !disabled && std::fs::read_to_string("/proc/self/maps").is_ok_and(|maps| maps.contains(preload::NAME))
}

/// Becomes the same command with an inert preload. Comes back only if that fails.
fn start_inert() -> std::io::Error {
    let exe = match std::env::current_exe() {
        Ok(exe) => exe,
        Err(error) => return error,
    };
    let mut arguments = std::env::args_os().skip(1);
    let mut again = Command::new(exe);
    again.args(arguments.by_ref().take(1)).arg("--inert").args(arguments);
    again.env("KVTRACE_DISABLE", "1").exec()
}

fn examine(options: &Options) -> Report {
    let machine = Machine::here();
    let variables: Vec<(String, String)> = std::env::vars_os()
        .filter(|(name, _)| !(options.inert && name == "KVTRACE_DISABLE"))
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .collect();
    let shim = preload::find(options.shim.as_deref());
    let needs = shim.as_ref().ok().and_then(|shim| elf::needs(shim));
    let mut findings = Vec::new();
    if let Some(program) = options.command.first() {
        findings.extend(target::findings(program, needs.as_deref()));
    }
    findings.extend(preload_findings(&shim, needs.as_deref()));
    findings.extend(environment::findings(&machine, &variables));
    findings.push(output::finding(&options.out));
    findings.extend(driver::findings(&machine));
    let (gpus, unified) = gpu::findings();
    findings.extend(gpus);
    findings.extend(about_the_machine(&machine, unified));
    findings.push(container::finding(&machine, |name| std::env::var(name).ok()));
    let arguments = options.command.iter().map(|argument| argument.as_bytes());
    Report {
        doctor_schema: SCHEMA,
        kvtrace: env!("CARGO_PKG_VERSION"),
        traceable: findings.iter().all(|finding| finding.state != State::Problem),
        command: redact::arguments(arguments).map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect(),
        findings,
    }
}

fn about_the_machine(machine: &Machine, unified: memory::Unified) -> Vec<Finding> {
    let total = machine.meminfo().map(|info| info.or_zero("MemTotal")).unwrap_or(0);
    let mut findings = memory::findings(machine, unified);
    findings.extend(leftovers::findings(machine));
    findings.extend(cgroup::findings(machine, total));
    findings.extend(limits::findings(machine));
    findings
}

fn preload_findings(shim: &Result<PathBuf, Failure>, needs: Option<&str>) -> Vec<Finding> {
    let path = match shim {
        Ok(path) => path,
        Err(failure) => {
            let why = "Without it nothing is traced.";
            return vec![Finding::problem("preload.file", failure.message.clone(), why, failure.hint.clone())];
        }
    };
    let found = format!("{}, for glibc {} and newer", machine::shown(path), needs.unwrap_or("of any version"));
    let mut findings = vec![match readable_by_all(path) {
        true => Finding::ok("preload.file", found),
        false => Finding::note(
            "preload.file",
            format!("{found}; not every user may read it"),
            "The loader skips a preload that the program's user cannot read.",
            format!("chmod a+r {0}, and a+x on the folders above it", machine::shown(path)),
        ),
    }];
    findings.push(match preload::check_loads(path) {
        Ok(()) => Finding::ok("preload.loads", "the loader takes it, and it says nothing"),
        Err(failure) => {
            let why = "A preload that does not load leaves the program untraced, or keeps it from starting.";
            Finding::problem("preload.loads", failure.message, why, failure.hint)
        }
    });
    findings
}

fn readable_by_all(path: &Path) -> bool {
    let allows =
        |path: &Path, bits| std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & bits == bits);
    allows(path, 0o004) && path.ancestors().skip(1).all(|folder| allows(folder, 0o001))
}
