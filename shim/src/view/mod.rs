//! What the machine looked like beside a query: one subject a file, here the order of things.

pub mod budget;
mod card;
mod cgroup;
mod groups;
mod machine;
mod node;
mod usage;
mod zones;

pub use node::found as node_found;
pub use usage::{began as nvml_began, ended as nvml_ended, found as nvml_found};

use self::machine::Machine;
use crate::process::{self, Process};
use crate::{config, facts, modules, weights};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Views of one process at the same time: each holds buffers that events need too.
const MOST_AT_ONCE: u32 = 8;

/// Modules of one process that are remembered as named; any further one may be named twice.
const MOST_LIBRARIES: usize = 192;

/// What views remember. All zero at the beginning of a process.
#[repr(C)]
pub struct Views {
    /// See [`budget`].
    pub budget: AtomicU64,
    /// One bit per view that was said to be missing: see `missing`.
    pub missing: AtomicU64,
    /// Whether this process took memory of a device.
    pub uses_device: AtomicU32,
    /// Views under way.
    pub running: AtomicU32,
    /// How often the program has initialised NVML and not let go of it.
    pub nvml: AtomicU32,
    /// How many of the first views were made.
    pub made: AtomicU32,
    /// Whether the facts are written.
    pub facts: AtomicU32,
    /// Where the memory controller was found, plus 1: see `cgroup`.
    pub cgroup_kind: AtomicU32,
    /// How many functions were looked up when libraries were last looked for, plus 1.
    pub lookups: AtomicU64,
    /// Where the modules begin that were named.
    pub libraries: [AtomicU64; MOST_LIBRARIES],
    /// One bit per NUMA node that is a GPU's memory.
    pub nodes: AtomicU64,
    /// One bit per AMD GPU, and the highest once it was looked for them.
    pub cards: AtomicU64,
    /// Handles of NVML that the program was given.
    pub handles: [AtomicU64; usage::MOST_GPUS],
}

impl Views {
    /// At the beginning.
    pub const fn new() -> Views {
        Views {
            budget: AtomicU64::new(0),
            missing: AtomicU64::new(0),
            uses_device: AtomicU32::new(0),
            running: AtomicU32::new(0),
            nvml: AtomicU32::new(0),
            made: AtomicU32::new(0),
            facts: AtomicU32::new(0),
            cgroup_kind: AtomicU32::new(0),
            lookups: AtomicU64::new(0),
            libraries: [const { AtomicU64::new(0) }; MOST_LIBRARIES],
            nodes: AtomicU64::new(0),
            cards: AtomicU64::new(0),
            handles: [const { AtomicU64::new(0) }; usage::MOST_GPUS],
        }
    }

    /// As at the beginning.
    pub fn wipe(&self) {
        self.uses_device.store(0, Ordering::Relaxed);
        self.running.store(0, Ordering::Relaxed);
        self.nvml.store(0, Ordering::Relaxed);
        self.made.store(0, Ordering::Relaxed);
        self.facts.store(0, Ordering::Relaxed);
        self.cgroup_kind.store(0, Ordering::Relaxed);
        let words = [&self.budget, &self.missing, &self.lookups, &self.nodes, &self.cards];
        for word in words.into_iter().chain(&self.handles).chain(&self.libraries) {
            word.store(0, Ordering::Relaxed);
        }
    }
}

/// This process took memory of a device.
pub fn device_used() {
    process::current().views.uses_device.store(1, Ordering::Relaxed);
}

/// What asked for a view. A memory file may be opened in a signal handler, and by a GPU's library inside a call of its
/// own: what takes a lock of theirs or of the loader's is left out there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The opening of /proc/meminfo.
    File,
    /// A question to libc or to HIP.
    Other,
    /// A question to a library of NVIDIA's, which has returned.
    Nvidia,
}

/// Writes the `view` that belongs to event `of`, and what goes with it, as far as the budget allows. None of the
/// parts is inlined: a small stack shall hold the deepest of them, not their sum.
pub fn write(of: u64, asked: Asked) {
    if !config::get().is_some_and(|config| config.views) {
        return;
    }
    let Some(leave) = budget::Leave::take() else { return };
    let process = process::current();
    if process.views.running.fetch_add(1, Ordering::AcqRel) < MOST_AT_ONCE {
        write_all(process, of, asked, leave);
    }
    process.views.running.fetch_sub(1, Ordering::AcqRel);
}

fn write_all(process: &Process, of: u64, asked: Asked, leave: budget::Leave) {
    let work = budget::Work::begin();
    let Some(mut machine) = Machine::new(process) else { return };
    machine.look(process);
    zones::tell(process, of);
    groups::tell(process, of, &mut machine);
    node::tell(process, of);
    card::tell(process, of);
    if asked == Asked::Nvidia {
        usage::tell(process, of);
    }
    if asked != Asked::File {
        modules::announce_libraries(process);
    }
    machine.tell(of, &work);
    budget::charge(work.cost());
    weights::view(of, leave);
    facts::tell(process);
}
