//! `kvtrace`: what memory an LLM serving runtime saw, and how its KV cache was sized.
//!
//! Data flows one way: load -> ledger -> decision -> attribution -> render.

mod attribution;
mod check;
mod decision;
mod demo;
mod diff;
mod doctor;
mod env;
mod experiment;
mod export;
mod facts;
mod failure;
mod fit;
mod history;
mod installed;
mod ledger;
mod load;
mod manual;
mod model;
mod output;
mod page_cache;
mod phases;
mod plan;
mod render;
mod report;
mod residual;
mod run;
mod scene;
mod settings;
mod show;
mod simulate;
mod statistics;
mod symbols;
mod timeline;
mod verdict;
mod verdicts;
mod whatif;

use clap::{CommandFactory, Parser, Subcommand};
use failure::Failure;
use render::{Document, Format};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Shows what memory an LLM serving runtime saw, and how its KV cache was sized.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a program under the preload and trace what memory it sees and takes
    ///
    /// The program behaves as it would without kvtrace: its exit code, its output and the signals sent to it pass
    /// through. Its output goes through a pipe, so that memory lines can be kept as a second witness; --no-tee leaves
    /// it alone.
    Run(run::Options),
    /// Show what one run saw, and how its KV cache was sized
    ///
    /// For the query that sized the KV cache: the line of Python and the native function that asked, what it was told,
    /// and every figure of the machine beside it, with its difference to that. Figures that could not be had say why. Then
    /// where the device's memory went, to the byte, which explanations of the size the evidence supports, and what to set.
    #[command(
        after_long_help = "Names of native functions are read from the libraries on this machine, if their build \
        ids are those of the trace. Of a container that still runs:\n  \
        kvtrace show traces/container --sysroot /proc/PID/root\nAny other query, by its name in the tables:\n  \
        kvtrace show traces/container --query 4242:16"
    )]
    Show(show::Options),
    /// Run a serving stack on a simulated GPU, and show how it sized its KV cache there
    ///
    /// Sets up the simulated GPU's libraries in place of NVIDIA's, traces the program as `run` does, and ends as `show`
    /// does, with the runtime's own lines and with what is not modelled. Needs no GPU.
    Simulate(simulate::Options),
    /// Play the whole story on a simulated GPU, in under a minute
    ///
    /// Runs a serving workload, reads a large file, runs it again, and asks `show` and `diff` what happened. Needs no GPU.
    Demo(demo::Options),
    /// Say which memory makes the KV cache of B differ from that of A
    ///
    /// Takes the difference apart along the runtime's own rule: page cache, device memory, transient activations,
    /// fraction, caps, and what stays unexplained. The parts sum to the difference to the byte. Says which explanations the
    /// evidence supports, and what to set. Differing models, fractions or devices are named first. A folder of trace directories is a group of runs: groups are compared by
    /// their means, with intervals.
    #[command(after_long_help = "Trace both runs with the same model and settings, then compare:\n  \
        kvtrace diff traces/native traces/container\n  kvtrace diff traces/native traces/container --format json\n\n\
        Several runs a side, each in its own folder (native/1, native/2, ... and container/1, ...):\n  \
        kvtrace diff native container")]
    Diff {
        /// Trace directory of the baseline, or a folder of them
        a: PathBuf,
        /// Trace directory of the other run, or a folder of them
        b: PathBuf,
        /// Show all verdicts, not only what is supported
        #[arg(long)]
        all: bool,
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Fit a line through many runs and test the explanations on offer
    ///
    /// Says which runtime's rule the runs follow and how well it is known, which runs lie off it, whether there is a
    /// ceiling, whether the memory in use drifts or jumps over the runs, and whether groups that should differ do. Further
    /// columns of a table are labels (model, environment) or figures (kv_bytes_per_token, throughput, order).
    #[command(after_long_help = "Examples:\n  kvtrace fit traces/run-*\n  kvtrace fit published.csv --format json\n  \
        kvtrace fit published.csv --page 'What we measured' > page.md")]
    Fit {
        /// CSV or JSON with peak_gib and kv_gib for each run, or trace directories
        #[arg(required = true)]
        inputs: Vec<PathBuf>,
        /// Write a page of Markdown instead, with the questions that the runs answer, under this title
        #[arg(long, value_name = "TITLE", conflicts_with = "format")]
        page: Option<String>,
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Say how many tokens and requests a KV cache holds for a model, and the setting that gives it
    Plan {
        #[command(flatten)]
        plan: plan::Options,
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Say what KV cache a run would have had with another fraction, more free memory, another model or type
    ///
    /// Feeds the runtime's own rule with the figures of the trace and your changes, and gives the flags. Says no where the
    /// trace does not allow it, and why.
    Whatif {
        #[command(flatten)]
        whatif: whatif::Options,
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Say over thousands of runs where KV cache was lost, and to what
    ///
    /// Groups every trace below a folder by model, runtime, device, host and driver, and takes what each run has less than the
    /// best run of the same model, runtime and device apart as `diff` does. `kvtrace report --fleet` writes it as a page.
    #[command(after_long_help = "Examples:\n  kvtrace fleet /srv/traces\n  kvtrace fleet /srv/traces --format csv")]
    Fleet {
        /// Folder with trace directories in it, at any depth
        folder: PathBuf,
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Write what `show`, `diff` or `fit` answer as one HTML page
    ///
    /// One trace, as `show`; two, as `diff`; two folders of traces, as `diff` of groups; more traces or tables of runs, as
    /// `fit`. The page needs no network and no JavaScript, and its figures are those of the command's JSON. It holds
    /// command lines and environment variables of the traced program: look at it before you pass it on.
    #[command(after_long_help = "Examples:\n  kvtrace report native -o native.html\n  \
        kvtrace report native container -o difference.html\n  kvtrace report runs/native runs/container\n  \
        kvtrace report published.csv -o line.html")]
    Report(report::Options),
    /// Write traces in the formats of other tools: Perfetto, Parquet, Prometheus
    #[command(after_long_help = "Examples:\n  kvtrace export native --to perfetto -o native.json\n  \
        kvtrace export runs/native runs/container --to parquet -o events\n  \
        kvtrace export native --to prometheus -o /var/lib/node_exporter/kvtrace.prom")]
    Export(export::Options),
    /// Fail when a run does not keep the bounds that you set, for CI
    Check {
        #[command(flatten)]
        bounds: check::Options,
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Run a server several times in several ways, and hold its KV cache against what was predicted
    ///
    /// Arms differ in what the server is told (--patch), in what is given back before it asks (--evict-weights), in its
    /// arguments, or in where it runs. The runs are made in mixed order, can be interrupted and gone on with, and end in
    /// one report: for each arm the KV cache with an interval, what its rule predicted from the baseline, and whether
    /// that held. The exit code is 1 if a run gave no answer.
    Experiment {
        #[command(flatten)]
        experiment: experiment::Options,
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Say whether a program can be traced here, and what would bias its sizing right now
    ///
    /// Looks at the program's file (it is not started), the preload, the environment, memory, limits, the driver and
    /// the GPU. Changes nothing. The exit code is 0 if the program can be traced, and 1 if something prevents it.
    #[command(after_long_help = "Examples:\n  kvtrace doctor -- trtllm-serve\n  kvtrace doctor --json > doctor.json")]
    Doctor(doctor::Options),
    /// Print the path of the preload, for LD_PRELOAD=$(kvtrace shim-path)
    ShimPath {
        /// The preload, where it is not beside kvtrace (../lib/libkvtrace.so)
        #[arg(long, value_name = "FILE", env = "KVTRACE_SHIM", hide_env_values = true)]
        shim: Option<PathBuf>,
    },
    /// Print the settings by which programs are traced without `kvtrace run`
    #[command(after_long_help = "Examples:\n  eval \"$(kvtrace env -o native)\"\n  \
        kvtrace env --format dockerfile --prefix /opt/kvtrace")]
    Env(env::Options),
    /// Print completions for a shell
    Completions {
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a directory
    Man {
        /// The directory; made if it is not there
        dir: PathBuf,
    },
    /// What `doctor` asks the driver, in a process of its own
    #[command(hide = true)]
    ProbeGpu,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(options) => {
            return match run::run(&options) {
                Ok(code) => ExitCode::from(code),
                Err(failure) => failure.report(),
            };
        }
        Command::Doctor(options) => {
            return doctor::command(&options).unwrap_or_else(|failure| failure.report());
        }
        Command::ShimPath { shim } => env::shim_path(shim.as_deref()),
        Command::Env(options) => env::env(&options),
        Command::Completions { shell } => manual::completions(shell, Cli::command()),
        Command::Man { dir } => manual::pages(&dir, Cli::command()),
        Command::ProbeGpu => doctor::gpu::probe(),
        Command::Demo(options) => demo::demo(&options),
        Command::Simulate(options) => {
            return match simulate_command(&options) {
                Ok(code) => ExitCode::from(code),
                Err(failure) => failure.report(),
            };
        }
        Command::Show(options) => show_command(&options),
        Command::Diff { a, b, format, .. } if [&a, &b].into_iter().any(|side| diff::runs_below(side).is_some()) => {
            diff::groups(&a, &b)
                .and_then(|groups| print(&render::groups::document(&groups).patched(&groups.patched), &groups, format))
        }
        Command::Diff { a, b, all, format } => load::pair(&a, &b)
            .and_then(|(a, b)| diff::diff(&a, &b))
            .and_then(|diff| print(&render::diff::document(&diff, all).patched(&diff.patched), &diff, format)),
        Command::Fit { inputs, page: Some(title), .. } => {
            let named: Vec<_> = inputs.iter().map(|input| input.display().to_string()).collect();
            let command = format!("kvtrace fit {} --page '{title}'", named.join(" "));
            fit::fit(&inputs).and_then(|fit| write_out(render::page::page(&fit, &title, &command)))
        }
        Command::Fit { inputs, format, .. } => {
            fit::fit(&inputs).and_then(|fit| print(&render::fit::document(&fit).patched(&fit.patched), &fit, format))
        }
        Command::Export(options) => export::export(&options),
        Command::Report(options) => report::report(&options),
        Command::Fleet { folder, format } => diff::fleet(&folder)
            .and_then(|fleet| print(&render::fleet::document(&fleet).patched(&fleet.patched), &fleet, format)),
        Command::Plan { plan: options, format } => {
            plan::plan(&options).and_then(|plan| print(&render::plan::document(&plan), &plan, format))
        }
        Command::Whatif { whatif: options, format } => whatif::whatif(&options)
            .and_then(|answer| print(&render::whatif::document(&answer).patched(&answer.patched), &answer, format)),
        Command::Experiment { experiment: options, format } => {
            return match experiment_command(&options, format) {
                Ok(true) => ExitCode::SUCCESS,
                Ok(false) => ExitCode::FAILURE,
                Err(failure) => failure.report(),
            };
        }
        Command::Check { bounds, format } => {
            return match check_command(&bounds, format) {
                Ok(true) => ExitCode::SUCCESS,
                Ok(false) => ExitCode::FAILURE,
                Err(failure) => failure.report(),
            };
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// A trace without a decision still has queries and owners to show.
fn show_command(options: &show::Options) -> Result<(), Failure> {
    let trace = load::trace(&options.trace)?;
    let show = show::show(&trace, options)?;
    if show.queries.is_empty() && show.owners.is_empty() {
        return Err(show::no_decision(&trace));
    }
    print(&render::show::document(&show, options.all).patched(&show.patched), &show, options.format)?;
    match show.decisions.is_empty() {
        true => Err(show::no_decision(&trace)),
        false => Ok(()),
    }
}

/// The program's own exit code if it failed.
fn simulate_command(options: &simulate::Options) -> Result<u8, Failure> {
    let (code, trace) = simulate::simulate(options)?;
    let show = show::show(&trace, &show::Options::of(options.run.out.clone()))?;
    let mut document = render::show::document(&show, false);
    render::show::add_log(&mut document, &trace);
    document.sentences.extend(simulate::not_modelled(&trace).into_iter().map(str::to_owned));
    let document = document.patched(&show.patched);
    print(&document, &show, Format::Table)?;
    match show.decisions.is_empty() && code == 0 {
        true => Err(show::no_decision(&trace)),
        false => Ok(code),
    }
}

/// Whether every run gave an answer.
fn experiment_command(options: &experiment::Options, format: Format) -> Result<bool, Failure> {
    match experiment::experiment(options)? {
        experiment::Outcome::Plan(lines) => {
            write_out(lines.iter().map(|line| format!("{line}\n")).collect::<String>())?;
            Ok(true)
        }
        experiment::Outcome::Report(report) => {
            print(&render::experiment::document(&report).patched(&report.patched), &*report, format)?;
            Ok(report.without_answer == 0)
        }
    }
}

/// Whether all bounds are kept.
fn check_command(bounds: &check::Options, format: Format) -> Result<bool, Failure> {
    let check = check::check(bounds)?;
    print(&render::check::document(&check).patched(&check.patched), &check, format)?;
    Ok(check.passed)
}

fn print(document: &Document, answer: &impl serde::Serialize, format: Format) -> Result<(), Failure> {
    write_out(render::text(document, answer, format))
}

fn write_out(bytes: impl AsRef<[u8]>) -> Result<(), Failure> {
    match std::io::stdout().write_all(bytes.as_ref()) {
        // `kvtrace show | head` is no failure.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
