//! Real programs under the built preload.

/// SIGKILL at any moment.
mod killed;
/// Processes: who gets a file, what forks and execs leave, that output and exit codes stay the same.
mod processes;
/// Questions of which few are about memory.
mod questions;
