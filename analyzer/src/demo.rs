//! `kvtrace demo`: the whole story on the simulated GPU, with the commands that a user would type.
//!
//! The serving workload runs twice, the second time after a file was read. On a GPU that shares its memory with the CPU
//! that file's page cache counts as used, and the KV cache comes out smaller.

use crate::failure::Failure;
use kvtrace_sizing::GIB;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Files in a tmpfs are shared memory, not page cache: /tmp may be one, /var/tmp outlives a reboot.
const PLACE: &str = "/var/tmp";
const WEIGHTS_BYTES: u64 = 256 << 20;
const LEAST_FILL: u64 = 64 << 20;

/// The demo as the user asked for it.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Page cache to fill before the second run, in GiB; by default a quarter of the free memory, at most 4
    #[arg(long, value_name = "GIB")]
    pub fill: Option<f64>,
    /// Work in DIR, new or empty, and leave the traces there
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

/// Where the demo's parts are installed and its files lie.
struct Stage {
    kvtrace: PathBuf,
    workload: PathBuf,
    libraries: PathBuf,
    folder: PathBuf,
}

/// Plays the demo.
///
/// # Errors
/// Bad input if the simulated GPU is not installed or there is no room; internal if a step fails.
pub fn demo(options: &Options) -> Result<(), Failure> {
    let (folder, _temporary) = folder(options.keep.as_deref())?;
    let stage = Stage::find(folder)?;
    let fill = fill_bytes(options.fill)?;
    let bytes = |bytes: u64| bytes.to_string();
    stage.tool("Weights for the workload to read", &["make-weights", "weights", "--bytes", &bytes(WEIGHTS_BYTES)])?;
    stage.serve("A first run of the serving workload", "host")?;
    stage.tool(
        "A file is read, as a download or a backup would",
        &["fill-page-cache", "backup.bin", "--bytes", &bytes(fill)],
    )?;
    stage.serve("A second run of the same workload", "after-backup")?;
    stage.kvtrace("What the first run saw", &["show", "host"])?;
    stage.kvtrace("What the second run saw", &["show", "after-backup"])?;
    stage.kvtrace("Where the difference comes from", &["diff", "host", "after-backup"])?;
    stage.tool("The page cache is given back", &["drop-page-cache", "backup.bin"])?;
    if options.keep.is_some() {
        println!("The traces are in {}.", crate::render::escape::terminal(&stage.folder.display().to_string()));
    }
    Ok(())
}

impl Stage {
    fn find(folder: PathBuf) -> Result<Self, Failure> {
        let kvtrace = std::env::current_exe()?;
        let bin = kvtrace.parent().unwrap_or(Path::new("/")).to_owned();
        let libraries = crate::installed::library("sim").unwrap_or(bin.join("../lib/sim"));
        let workload = bin.join("kvtrace-workload");
        for part in [&workload, &libraries] {
            if !part.exists() {
                let message = format!("{}: the demo's simulated GPU is not installed", part.display());
                return Err(Failure::input(message, "build it with scripts/build"));
            }
        }
        let libraries = libraries.canonicalize()?;
        Ok(Stage { kvtrace, workload, libraries, folder })
    }

    fn serve(&self, title: &str, name: &str) -> Result<(), Failure> {
        let workload = self.workload.display().to_string();
        let run = ["run", "--quiet", "-o", name, "--label", name, "--"];
        let serve = [&workload, "serve", "--model", "deepseek-7b", "--weights", "weights"];
        self.kvtrace(title, &[run.as_slice(), &serve].concat())
    }

    fn kvtrace(&self, title: &str, arguments: &[&str]) -> Result<(), Failure> {
        self.step(title, "kvtrace", &self.kvtrace, arguments)
    }

    fn tool(&self, title: &str, arguments: &[&str]) -> Result<(), Failure> {
        self.step(title, "kvtrace-workload", &self.workload, arguments)
    }

    /// Shows a command and runs it.
    fn step(&self, title: &str, name: &str, program: &Path, arguments: &[&str]) -> Result<(), Failure> {
        let installed = self.workload.display().to_string();
        let shown: Vec<&str> =
            arguments.iter().map(|word| word.strip_prefix(&installed).map_or(*word, |_| "kvtrace-workload")).collect();
        println!("\n# {title}\n$ {name} {}", shown.join(" "));
        std::io::stdout().flush()?;
        let mut libraries = OsString::from(&self.libraries);
        if let Some(others) = std::env::var_os("LD_LIBRARY_PATH").filter(|others| !others.is_empty()) {
            libraries.push(":");
            libraries.push(others);
        }
        let status = Command::new(program)
            .args(arguments.iter().map(OsStr::new))
            .current_dir(&self.folder)
            .env("LD_LIBRARY_PATH", libraries)
            .env("KVTRACE_SIM_STATE", self.folder.join("gpu.state"))
            .env_remove("KVTRACE_SIM_GPU")
            .env_remove("KVTRACE_OUT")
            .env_remove("KVTRACE_LABEL")
            .stdin(Stdio::null())
            .status()?;
        match status.success() {
            true => Ok(()),
            false => Err(Failure::internal(format!("{name} {} failed: {status}", shown[0]), "its output is above")),
        }
    }
}

fn folder(keep: Option<&Path>) -> Result<(PathBuf, Option<TempDir>), Failure> {
    let failed = |path: &Path, error: std::io::Error| {
        Failure::input(format!("{}: {error}", path.display()), "name a directory with --keep")
    };
    let Some(keep) = keep else {
        let place = if Path::new(PLACE).is_dir() { PathBuf::from(PLACE) } else { std::env::temp_dir() };
        let temporary = tempfile::Builder::new().prefix("kvtrace-demo-").tempdir_in(&place);
        let temporary = temporary.map_err(|error| failed(&place, error))?;
        return Ok((temporary.path().to_owned(), Some(temporary)));
    };
    std::fs::create_dir_all(keep).map_err(|error| failed(keep, error))?;
    if std::fs::read_dir(keep).map_err(|error| failed(keep, error))?.count() > 0 {
        return Err(Failure::input(format!("{}: not empty", keep.display()), "choose another directory"));
    }
    Ok((keep.canonicalize().map_err(|error| failed(keep, error))?, None))
}

fn fill_bytes(told: Option<f64>) -> Result<u64, Failure> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemFree:"));
    let free = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) << 10;
    let bytes = match told {
        Some(gib) => (gib * GIB as f64) as u64,
        None => (free / 4).min(4 * GIB),
    };
    match (LEAST_FILL..free).contains(&bytes) {
        true => Ok(bytes),
        false => Err(Failure::input(
            format!("{:.2} GiB of page cache cannot be filled: {:.2} GiB are free", gib(bytes), gib(free)),
            "choose another amount with --fill, at least 0.0625",
        )),
    }
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / GIB as f64
}
