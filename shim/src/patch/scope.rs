//! For whom a rule is: who asks, and when.

use crate::effect::Call;
use crate::text::{self, Text, base_name};
use crate::{config, modules, process, python, sys};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU64, Ordering};
use kvtrace_patch::Scope;

/// What does not change while a program runs.
struct Own {
    exe: Text<256>,
    rank: Option<u32>,
}

struct Shared(UnsafeCell<Own>);

// SAFETY: written by the constructor before any rule is in force, only read afterwards.
unsafe impl Sync for Shared {}

static OWN: Shared = Shared(UnsafeCell::new(Own { exe: Text::new(), rank: None }));
static BEGIN: AtomicU64 = AtomicU64::new(0);

/// Where launchers tell a process its rank: torchrun, Open MPI, MPICH and Slurm's PMI, srun.
const RANKS: [&[u8]; 4] = [b"RANK", b"OMPI_COMM_WORLD_RANK", b"PMI_RANK", b"SLURM_PROCID"];

/// Learns who this is. From the constructor only.
pub fn prepare() {
    let mut exe = [0u8; 1024];
    // SAFETY: the constructor runs once, before any rule is in force.
    let own = unsafe { &mut *OWN.0.get() };
    own.exe.push(base_name(sys::readlink(b"/proc/self/exe\0", &mut exe)));
    for name in RANKS {
        let found = config::variables().find(|(found, _)| *found == name);
        let rank = found.and_then(|(_, value)| text::number(value)).and_then(|rank| u32::try_from(rank).ok());
        own.rank = own.rank.or(rank);
    }
    BEGIN.store(sys::clock(libc::CLOCK_MONOTONIC), Ordering::Relaxed);
}

/// Who asks.
pub struct Asker {
    return_address: usize,
    outermost: bool,
    device: i32,
}

impl Asker {
    /// The caller of a hooked call, about GPU `device`, -1 if about none.
    pub fn new(call: &Call, device: i32) -> Asker {
        Asker { return_address: call.return_address(), outermost: call.is_outermost(), device }
    }

    /// Whether the program itself asks, and no library on the way to an answer.
    pub fn is_outermost(&self) -> bool {
        self.outermost
    }

    /// Whether a GPU's library asks for what the machine has: what it makes of that is an answer of its own.
    pub fn is_library(&self) -> bool {
        modules::is_never_substituted(self.return_address)
            || base_name(modules::caller(self.return_address).path).starts_with(b"libcudart")
    }

    /// Whether the rule at position `at` is for this question. To be asked once for each question: it counts them.
    pub fn is_meant(&self, at: usize, scope: &Scope) -> bool {
        // SAFETY: rules are in force, so nobody writes any more.
        let own = unsafe { &*OWN.0.get() };
        let is = |wanted: Option<&[u8]>, is: &dyn Fn(&[u8]) -> bool| wanted.is_none_or(is);
        let now = sys::clock(libc::CLOCK_MONOTONIC).saturating_sub(BEGIN.load(Ordering::Relaxed)) / 1_000_000;
        let (after, before) = scope.time;
        let matches = now >= after
            && now < before
            && scope.rank.is_none_or(|rank| own.rank == Some(rank))
            && scope.device.is_none_or(|device| u32::try_from(self.device) == Ok(device))
            && is(scope.exe, &|name| own.exe.get() == name)
            && is(scope.thread, &|name| sys::thread_name(&mut [0; 16]) == name)
            && is(scope.module, &|name| text::contains(base_name(modules::caller(self.return_address).path), name))
            && is(scope.python, &python::runs);
        if !matches {
            return false;
        }
        let Some(count) = process::current().patched.get(at) else { return false };
        let number = count.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let (first, last) = scope.nth;
        (first..=last).contains(&number)
    }
}
