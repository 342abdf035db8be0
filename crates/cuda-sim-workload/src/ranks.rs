//! The launcher: starts one worker per rank and waits for all of them. It makes no CUDA call itself.

use crate::cli::{Serve, Start};
use crate::failure::{Failure, Result};
use crate::rendezvous::Rendezvous;
use crate::serve::{self, Place};
use std::io;
use std::process::Command;

/// Runs the workers and returns the first exit code that is not 0.
pub fn launch(options: &Serve) -> Result<u8> {
    let rendezvous = Rendezvous::new(options.workers)?;
    let mut running = Vec::new();
    for rank in 0..options.workers {
        let started = match options.start {
            Start::Fork => fork(options, rank, &rendezvous),
            Start::Spawn => spawn(rank, &rendezvous),
        };
        match started {
            Ok(pid) => running.push(pid),
            Err(error) => {
                stop(&running);
                return Err(Failure::Input(format!("cannot start rank {rank}: {error}; try fewer --workers")));
            }
        }
    }
    let mut first = 0;
    while !running.is_empty() {
        let (pid, code) = wait().map_err(|error| Failure::Input(format!("lost the workers: {error}")))?;
        running.retain(|other| *other != pid);
        if code != 0 && first == 0 {
            first = code;
            // The others would wait for it at the next barrier.
            stop(&running);
        }
    }
    Ok(first)
}

/// A worker that shares this program's image. The launcher has one thread, so the child may go on as it is.
fn fork(options: &Serve, rank: u32, rendezvous: &Rendezvous) -> io::Result<libc::pid_t> {
    // SAFETY: this process has one thread.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let place = Place { rank, ranks: options.workers, rendezvous: Some(rendezvous) };
            let code = serve::serve(options, place).map_or_else(
                |failure| {
                    failure.report(&format!("rank {rank}: "));
                    failure.code()
                },
                |()| 0,
            );
            std::process::exit(code.into());
        }
        pid => Ok(pid),
    }
}

/// A worker that executes this program anew.
fn spawn(rank: u32, rendezvous: &Rendezvous) -> io::Result<libc::pid_t> {
    let child = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .args(["--rank", &rank.to_string(), "--rendezvous", &rendezvous.fd().to_string()])
        .spawn()?;
    Ok(child.id() as libc::pid_t)
}

/// Makes this worker end with its launcher.
pub fn end_with_launcher() {
    // SAFETY: takes numbers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) };
}

/// The next worker that ends, and its exit code; 1 for a signal.
fn wait() -> io::Result<(libc::pid_t, u8)> {
    loop {
        let mut status = 0;
        // SAFETY: a valid place for the status.
        let pid = unsafe { libc::waitpid(-1, &mut status, 0) };
        if pid > 0 {
            let code = if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) as u8 } else { 1 };
            return Ok((pid, code));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn stop(workers: &[libc::pid_t]) {
    for pid in workers {
        // SAFETY: a child of ours that has not been waited for, so that its number is still its own.
        unsafe { libc::kill(*pid, libc::SIGTERM) };
    }
}
