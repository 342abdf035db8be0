//! One run of an experiment: the page cache is brought into its state, the server is started, watched and ended.

use super::spec::{Arm, PageCache, Spec};
use super::state::Outcome;
use crate::failure::Failure;
use crate::run::preload;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a server may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);

/// Runs the command of an arm, with its trace in `trace`.
///
/// # Errors
/// If it cannot be started; what it does then is an outcome.
pub fn execute(spec: &Spec, arm: &Arm, trace: &Path) -> Result<(Outcome, u8, f64), Failure> {
    std::thread::sleep(Duration::from_secs(spec.pause_s));
    prepare(&spec.page_cache)?;
    let mut command = command(spec, arm, trace)?;
    let begin = Instant::now();
    let mut child = command.spawn().map_err(|error| {
        let program = command.get_program().to_string_lossy().into_owned();
        Failure::input(format!("arm {}: {program}: {error}", arm.name), "check the command and its launcher")
    })?;
    let seen = Arc::new(AtomicBool::new(false));
    let log = Arc::new(Mutex::new(File::create(trace.with_extension("log"))?));
    let pipes: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
        child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
    ];
    let readers: Vec<_> = pipes
        .into_iter()
        .flatten()
        .map(|pipe| {
            let (seen, log, wanted) = (Arc::clone(&seen), Arc::clone(&log), spec.stop_when.clone());
            std::thread::spawn(move || keep(pipe, &log, wanted.as_deref(), &seen))
        })
        .collect();
    let outcome = watch(spec, &mut child, &seen);
    let status = child.wait()?;
    // A process that was left behind may keep a pipe open: its lines are not waited for.
    for reader in readers.into_iter().filter(std::thread::JoinHandle::is_finished) {
        let _ = reader.join();
    }
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    let outcome = outcome.unwrap_or(if status.success() { Outcome::Finished } else { Outcome::Failed });
    Ok((outcome, u8::try_from(code).unwrap_or(u8::MAX), begin.elapsed().as_secs_f64()))
}

/// `kvtrace run` with the settings of the arm, or the arm's own launcher.
fn command(spec: &Spec, arm: &Arm, trace: &Path) -> Result<Command, Failure> {
    let mut command = match arm.launcher.split_first() {
        None => {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["run", "--quiet", "--label", &arm.name, "-o"]).arg(trace);
            command.args(arm.patch.iter().flat_map(|rule| ["--patch", rule]));
            command.args(arm.i_know.then_some("--i-know")).args(arm.evict_weights.then_some("--evict-weights"));
            command.arg("--").env_remove("KVTRACE_PATCH").env_remove("KVTRACE_EVICT");
            command
        }
        Some((program, arguments)) => {
            let filled =
                |word: &String| word.replace("{trace}", &trace.display().to_string()).replace("{arm}", &arm.name);
            let mut command = Command::new(filled(program));
            // For the launcher to pass on.
            command.args(arguments.iter().map(filled)).env("KVTRACE_PATCH", arm.rules()?);
            command.env("KVTRACE_EVICT", if arm.evict_weights { "1" } else { "0" });
            command
        }
    };
    command.env_remove("KVTRACE_OUT").env_remove("KVTRACE_LABEL");
    command.envs(&spec.env).envs(&arm.env).args(&spec.command).args(&arm.arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Of its own group, so that one which does not end when asked can be killed whole.
    command.process_group(0);
    let parent = std::process::id();
    // SAFETY: between fork and exec only system calls are made.
    unsafe {
        command.pre_exec(move || {
            // An experiment that is killed takes its run along: `kvtrace run` passes the signal to the server.
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
            match libc::getppid() == parent as i32 {
                true => Ok(()),
                false => Err(std::io::Error::from_raw_os_error(libc::ESRCH)),
            }
        });
    }
    Ok(command)
}

/// Copies lines to the log, and notes the text that is waited for.
fn keep(pipe: Box<dyn Read + Send>, log: &Mutex<File>, wanted: Option<&str>, seen: &AtomicBool) {
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    // A line without an end is cut: it might never end.
    while reader.by_ref().take(1 << 20).read_until(b'\n', &mut line).is_ok_and(|got| got > 0) {
        if let Ok(mut log) = log.lock() {
            let _ = log.write_all(&line);
        }
        if wanted.is_some_and(|wanted| String::from_utf8_lossy(&line).contains(wanted)) {
            seen.store(true, Ordering::Release);
        }
        line.clear();
    }
}

/// Waits for the end, and brings it about where it is due. `None` if the run ended by itself.
fn watch(spec: &Spec, child: &mut Child, seen: &AtomicBool) -> Option<Outcome> {
    let deadline = Instant::now() + Duration::from_secs(spec.timeout_s);
    let outcome = loop {
        match child.try_wait() {
            Ok(None) => {}
            _ => return None,
        }
        if seen.load(Ordering::Acquire) {
            break Outcome::Stopped;
        }
        if Instant::now() > deadline {
            break Outcome::TimedOut;
        }
        std::thread::sleep(LOOK);
    };
    // SAFETY: a child of ours that is not reaped yet.
    unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
    let last = Instant::now() + PATIENCE;
    while Instant::now() < last {
        if !matches!(child.try_wait(), Ok(None)) {
            return Some(outcome);
        }
        std::thread::sleep(LOOK);
    }
    kill_group(child);
    Some(outcome)
}

fn kill_group(child: &Child) {
    // SAFETY: the group of a child of ours that is not reaped yet.
    unsafe { libc::kill(-(child.id() as i32), libc::SIGKILL) };
}

/// Brings the page cache into the state that every run begins with.
fn prepare(wanted: &PageCache) -> Result<(), Failure> {
    for path in files(&wanted.drop)? {
        let file = File::open(&path)?;
        // What is to be written back would stay.
        file.sync_all()?;
        // SAFETY: a descriptor of ours and numbers.
        unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    }
    for path in files(&wanted.read)? {
        std::io::copy(&mut File::open(&path)?, &mut std::io::sink())?;
    }
    Ok(())
}

/// The files, and those in the folders.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for path in paths {
        let failed = |error: std::io::Error| {
            Failure::input(format!("page_cache: {}: {error}", path.display()), "name files, or folders with files")
        };
        if path.is_dir() {
            for entry in fs::read_dir(path).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                // Of a model downloaded from a hub, the files are links.
                if path.is_file() {
                    found.push(path);
                }
            }
        } else {
            fs::metadata(path).map_err(failed)?;
            found.push(path.clone());
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a program can be run at all, before the first run.
///
/// # Errors
/// Bad input: the preload or the program is not there.
pub fn check(spec: &Spec) -> Result<(), Failure> {
    files(&spec.page_cache.drop)?;
    files(&spec.page_cache.read)?;
    if spec.arms.iter().any(|arm| arm.launcher.is_empty()) {
        let shim = preload::find(None)?;
        let program = preload::check_program(std::ffi::OsStr::new(&spec.command[0]), &shim)?;
        if !program.exists() {
            let shown = crate::render::escape::terminal(&spec.command[0]);
            return Err(Failure::input(format!("{shown}: not found"), "check the name and PATH"));
        }
    }
    Ok(())
}
