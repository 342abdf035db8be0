//! `kvtrace run`: starts a program under the preload, keeps its memory lines, and ends as it ends.

pub mod patch;
pub mod preload;
mod recorder;
mod sample;
mod signals;
mod tee;

use crate::failure::Failure;
use recorder::Recorder;
use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// What a shell answers for a program that is there and cannot be started, and for one that is not there.
const CANNOT_START: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Names the file that the processes of a simulated GPU share. Beside it, with `.pool` behind its name, stands how much
/// of the memory is held that it shares with the CPU.
const STATE: &str = "KVTRACE_SIM_STATE";

/// A run as the user asked for it.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Trace directory, new or empty
    #[arg(short, long, value_name = "DIR", env = "KVTRACE_OUT", default_value = "kvtrace-out")]
    pub out: PathBuf,
    /// Free text for the trace, such as "native" or "container"
    #[arg(long, value_name = "TEXT", env = "KVTRACE_LABEL", default_value = "")]
    pub label: String,
    /// The preload, where it is not beside kvtrace (../lib/libkvtrace.so)
    #[arg(long, value_name = "FILE", env = "KVTRACE_SHIM", hide_env_values = true)]
    pub shim: Option<PathBuf>,
    /// Leave the program's output alone: it keeps its terminal, and its memory lines are not kept as a second witness
    #[arg(long)]
    pub no_tee: bool,
    #[command(flatten)]
    pub samples: sample::Options,
    #[command(flatten)]
    pub patch: patch::Options,
    /// Give the page cache of weights that the program has read back, each time before it asks for a GPU's free memory
    ///
    /// Where CPU and GPU share one memory, more of it is free then. Clean pages only, and only of files that the program
    /// itself opened; what it or another process reads once more comes from the disk.
    #[arg(long)]
    pub evict_weights: bool,
    /// Say nothing at the end
    #[arg(short, long)]
    pub quiet: bool,
    /// The program and its arguments, behind `--`
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// What a program finds beside its own environment.
#[derive(Debug, Default)]
pub struct Setting {
    pub variables: Vec<(&'static str, OsString)>,
    /// Libraries to preload behind ours and before the user's.
    pub behind: Vec<PathBuf>,
}

/// Runs the program to its end. The answer is the exit code to end with: the program's own, or 128 + the signal that
/// killed it.
///
/// # Errors
/// Before the program starts only: bad input, or a preload that cannot be used.
pub fn run(options: &Options) -> Result<u8, Failure> {
    run_in(options, &Setting::default())
}

/// As [`run`], in a setting.
///
/// # Errors
/// As [`run`].
pub fn run_in(options: &Options, setting: &Setting) -> Result<u8, Failure> {
    // What is no option of ours is taken for the program: no program is called like that.
    if let Some(name) = options.command[0].to_str().filter(|name| name.starts_with('-')) {
        let name = crate::render::escape::terminal(name);
        return Err(Failure::input(format!("{name} is no option of `kvtrace run`"), "see `kvtrace run --help`"));
    }
    let patch = options.patch.setting()?;
    let shim = preload::find(options.shim.as_deref())?;
    let program = preload::check_program(&options.command[0], &shim)?;
    preload::check_loads(&shim)?;
    let out = fresh_directory(&options.out)?;
    let mut recorder = Recorder::create(&out, &options.label)?;
    let relay = signals::Relay::install()?;

    let mut command = Command::new(&options.command[0]);
    command.args(&options.command[1..]).envs(setting.variables.iter().map(|(name, value)| (name, value)));
    command.env("LD_PRELOAD", preload::list(&shim, &setting.behind)?).env("KVTRACE_OUT", &out);
    if !options.label.is_empty() {
        command.env("KVTRACE_LABEL", &options.label);
    }
    if options.evict_weights {
        command.env("KVTRACE_EVICT", "1");
    }
    command.env_remove(patch::PATCH);
    if !patch.is_empty() {
        command.env(patch::PATCH, &patch);
        if !options.quiet {
            eprint!("{}", patch::notice(&patch));
        }
    }
    if !options.no_tee {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    }
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            recorder.remove();
            let _ = fs::remove_dir(&out);
            return Ok(cannot_start(&program, &error));
        }
    };
    relay.to(child.id());
    let state = setting.variables.iter().find(|(name, _)| *name == STATE).map(|(_, path)| path.clone());
    let pool = state.or_else(|| std::env::var_os(STATE)).map(|mut path| {
        path.push(".pool");
        PathBuf::from(path)
    });
    let sampler = sample::Sampler::start(&options.samples, child.id(), &recorder, pool);
    let tees = tee::start(&mut child, &recorder);
    signals::wait_unreaped(child.id());
    if let Some(sampler) = sampler {
        sampler.stop();
    }
    relay.stop();
    let status = child.wait()?;
    recorder.exit(child.id(), status.code(), status.signal());
    // A daemon that the program left behind still writes; ending now would break its pipe.
    for tee in tees {
        let _ = tee.join();
    }
    if !options.quiet {
        report(&options.out, &recorder, &program);
    }
    Ok(code(status))
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    u8::try_from(code).unwrap_or(u8::MAX)
}

fn cannot_start(program: &Path, error: &io::Error) -> u8 {
    let failure = match error.kind() {
        ErrorKind::NotFound => Failure::input(format!("{}: not found", program.display()), "check the name and PATH"),
        _ => Failure::input(format!("{}: {error}", program.display()), "check that it may be executed"),
    };
    let _ = failure.report();
    if error.kind() == ErrorKind::NotFound { NOT_FOUND } else { CANNOT_START }
}

/// Makes the trace directory. Two runs in one directory would read as one, so it must be empty.
fn fresh_directory(path: &Path) -> Result<PathBuf, Failure> {
    let shown = path.display();
    let failed = |error: io::Error| Failure::input(format!("{shown}: {error}"), "choose another directory with -o");
    match fs::read_dir(path) {
        Ok(entries) => {
            if entries.count() > 0 {
                return Err(Failure::input(
                    format!("{shown}: not empty"),
                    "choose another directory with -o, or remove it",
                ));
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => fs::create_dir_all(path).map_err(failed)?,
        Err(error) => return Err(failed(error)),
    }
    let path = path.canonicalize().map_err(failed)?;
    match path.as_os_str().len() < 1024 {
        true => Ok(path),
        false => Err(Failure::input(format!("{shown}: the path is longer than 1023 bytes"), "choose a shorter one")),
    }
}

fn report(out: &Path, recorder: &Recorder, program: &Path) {
    let traced = recorder.others();
    let out = crate::render::escape::terminal(&out.display().to_string());
    if traced == 0 {
        let program = crate::render::escape::terminal(&program.display().to_string());
        eprintln!("kvtrace: {program} asked for no memory figure and took no GPU memory: nothing was traced");
        eprintln!("hint: check that it uses a GPU, is not statically linked and does not clear LD_PRELOAD");
    } else {
        let plural = if traced == 1 { "" } else { "es" };
        eprintln!("kvtrace: {traced} process{plural} traced into {out}; see `kvtrace show {out}`");
    }
}
