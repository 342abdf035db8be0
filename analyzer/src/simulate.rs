//! `kvtrace simulate`: a serving stack on the simulated GPU, traced, and what came out of it.

use crate::failure::Failure;
use crate::load::events::Trace;
use crate::run::{self, Setting};
use crate::{installed, load};
use kvtrace_sizing::units::parse_bytes;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Major version of CUDA whose libraries stand in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Cuda {
    #[value(name = "12")]
    V12,
    #[value(name = "13")]
    V13,
}

/// What to simulate, as the user asked for it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Options {
    /// gb10, h100-80, h200, b200, rtx5090, gh200, l4, or a file with a profile (docs/simulate.md)
    #[arg(long, value_name = "NAME|FILE", default_value = "gb10")]
    pub gpu: String,
    /// How many devices there are, or a list of profiles, one for each
    #[arg(long, value_name = "N|LIST")]
    pub devices: Option<String>,
    /// Replace a figure of the profile: total=SIZE, or context=SIZE (what each process's context takes)
    #[arg(long, value_name = "FIGURE=SIZE", value_parser = figure)]
    pub set: Vec<(&'static str, u64)>,
    /// Major version of CUDA that the program was built for
    #[arg(long, value_enum, default_value_t = Cuda::V13)]
    pub cuda: Cuda,
    #[command(flatten)]
    pub run: run::Options,
}

const EXAMPLES: &str = "\
Examples:
  PyTorch, as it would see a DGX Spark:
    kvtrace simulate --gpu gb10 -o spark -- python3 serve.py
  Half of an H100's memory, a build for CUDA 12:
    kvtrace simulate --gpu h100-80 --set total=40GiB --cuda 12 -- vllm serve MODEL --load-format dummy

Kernels do nothing, so outputs mean nothing; sizes are real. docs/simulate.md says which stacks were run.";

fn figure(text: &str) -> Result<(&'static str, u64), String> {
    let (name, size) = text.split_once('=').ok_or("write for example total=119.7GiB")?;
    let variable = match name {
        "total" => "KVTRACE_SIM_TOTAL",
        "context" => "KVTRACE_SIM_CONTEXT",
        _ => return Err(format!("{name:?} is neither total nor context")),
    };
    Ok((variable, parse_bytes(size)?))
}

/// Runs the program to its end. The answer is the exit code to end with, and the trace.
///
/// # Errors
/// Bad input if the simulated GPU is not installed, and those of `kvtrace run`.
pub fn simulate(options: &Options) -> Result<(u8, Trace), Failure> {
    let libraries = installed::library("sim").ok_or_else(|| {
        Failure::input("the simulated GPU is not installed beside kvtrace", "build it with scripts/build")
    })?;
    let libraries = libraries.canonicalize()?;
    // Its own devices: another run's would count as used by others.
    let state = tempfile::tempdir()?;
    let setting = setting(options, &libraries, state.path())?;
    // The device opens for the first time, and with it the machine's memory is the simulated one's: a program may ask for
    // that long before it comes to the GPU.
    let opens = Command::new(std::env::current_exe()?)
        .arg("probe-gpu")
        .envs(setting.variables.iter().map(|(name, value)| (name, value)))
        .env("KVTRACE_DISABLE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()?;
    if !opens.success() {
        return Err(Failure::internal(format!("the simulated GPU cannot be opened: {opens}"), "its output is above"));
    }
    let code = run::run_in(&options.run, &setting)?;
    Ok((code, load::trace(&options.run.out)?))
}

fn setting(options: &Options, libraries: &Path, state: &Path) -> Result<Setting, Failure> {
    let mut search = OsString::from(libraries);
    if let Some(others) = std::env::var_os("LD_LIBRARY_PATH").filter(|others| !others.is_empty()) {
        search.push(":");
        search.push(others);
    }
    let gpu = match Path::new(&options.gpu).canonicalize() {
        Ok(file) if options.gpu.contains(['/', '.']) => file.into_os_string(),
        _ => OsString::from(&options.gpu),
    };
    let mut variables = vec![
        ("LD_LIBRARY_PATH", search),
        ("KVTRACE_SIM_STATE", state.join("gpu.state").into_os_string()),
        ("KVTRACE_SIM_GPU", gpu),
        // Triton looks for the driver by its own way.
        ("TRITON_LIBCUDA_PATH", libraries.into()),
    ];
    variables.extend(options.devices.iter().map(|devices| ("KVTRACE_SIM_DEVICES", devices.into())));
    variables.extend(options.set.iter().map(|(name, bytes)| (*name, bytes.to_string().into())));
    Ok(Setting { variables, behind: preloads(libraries, options.cuda)? })
}

/// The libraries that wheels would otherwise bring their own of, in the order in which they must be preloaded.
fn preloads(libraries: &Path, cuda: Cuda) -> Result<Vec<PathBuf>, Failure> {
    let list = libraries.join("preload");
    let text = std::fs::read_to_string(&list)
        .map_err(|error| Failure::input(format!("{}: {error}", list.display()), "build it with scripts/build"))?;
    let major = if cuda == Cuda::V12 { "12 " } else { "13 " };
    Ok(text.lines().filter_map(|line| line.strip_prefix(major)).map(|name| libraries.join(name)).collect())
}

/// What such a run does not tell, in sentences.
pub fn not_modelled(trace: &Trace) -> Vec<&'static str> {
    let mut list = vec![
        "Not modelled: kernels (outputs, and shapes that depend on them), workspaces of cuDNN, cuFFT and cuSOLVER.",
        "Not modelled: what a driver takes for modules, streams and local memory; contexts only where they were measured \
         (docs/simulate.md).",
    ];
    if trace.integrated() == Some(true) {
        list.push(
            "Not modelled: of the shared memory only MemTotal, MemFree and MemAvailable are the simulated machine's; the \
             other lines of /proc/meminfo, the control groups and the zones are this one's.",
        );
    }
    list
}
