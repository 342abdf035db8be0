//! What programs are told about memory instead of the real figures: the rules that users write in `KVTRACE_PATCH`, the
//! arithmetic of each, and the text of a `/proc/meminfo` with other figures in it.
//!
//! ```text
//! free=available                      report MemAvailable as the free memory of a GPU that shares the CPU's
//! free=+20GiB@module=libtorch,nth=2   20 GiB more, to the second question of libtorch's
//! meminfo:MemAvailable=60GiB          in /proc/meminfo
//! cgroup:memory.max=max               in the control group's file
//! ```
//!
//! Neither std nor a heap nor a panic: the preload uses it inside programs that know nothing of it.
#![cfg_attr(not(test), no_std)]

mod change;
pub mod meminfo;
mod parse;
mod pool;
mod rule;

pub use change::{Available, Change};
pub use parse::{Error, parse};
pub use pool::Pool;
pub use rule::{Figure, MOST, Rule, Rules, Scope, Target};
