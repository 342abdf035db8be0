//! Which process this is. A fork child must not write to its parent's file, and there is no handler to tell it: the
//! state lives in a page that the kernel zeroes in every fork child, and shares with a vfork child, which borrows its
//! parent's memory and, for as long, its trace.

use crate::view::Views;
use crate::{arch, pools, sys};
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// State of one process. All zero at its beginning.
#[repr(C)]
pub struct Process {
    /// Process id; 0 until the first event.
    pid: AtomicU32,
    /// The pid that forked this process, 0 if it began by exec.
    pub forked_from: AtomicU32,
    /// Stage of the trace file: see `trace`.
    pub stage: AtomicU32,
    /// Its descriptor.
    pub fd: AtomicI32,
    /// Its device and inode, to notice a descriptor that the program closed and reused.
    pub file_dev: AtomicU64,
    /// See `file_dev`.
    pub file_inode: AtomicU64,
    /// Number of the last event.
    pub events: AtomicU64,
    /// Events that could not be written since the last one that was.
    pub dropped: AtomicU64,
    /// One bit per entry of the module cache: its `module` event is written.
    pub modules: [AtomicU64; 4],
    /// What is known of the devices of CUDA's driver, and of HIP's: see `device`.
    pub held: [Held; 2],
    /// How many programs this process was before, by exec, as far as they left a trace.
    pub image: AtomicU32,
    /// What views remember from one query to the next.
    pub views: Views,
    /// How many questions each rule of `patch` was about.
    pub patched: [AtomicU32; kvtrace_patch::MOST],
}

/// What a process holds of the devices of one API, as far as the events to come depend on it.
#[repr(C)]
pub struct Held {
    /// One bit per GPU: its `device` event is written.
    pub devices: AtomicU64,
    /// Pools that are watched.
    pub pools: [pools::Watched; pools::MOST],
    /// One bit per GPU: graphs may hold memory there.
    pub graphs: AtomicU64,
    /// What graphs held on each GPU when it was last written.
    pub graph_reserved: [AtomicU64; pools::MOST_GPUS],
}

impl Held {
    const fn nothing() -> Held {
        Held {
            devices: AtomicU64::new(0),
            pools: [const { pools::Watched::new() }; pools::MOST],
            graphs: AtomicU64::new(0),
            graph_reserved: [const { AtomicU64::new(0) }; pools::MOST_GPUS],
        }
    }

    fn wipe(&self) {
        for word in [&self.devices, &self.graphs].into_iter().chain(&self.graph_reserved) {
            word.store(0, Ordering::Relaxed);
        }
        for pool in &self.pools {
            pool.clear();
        }
    }
}

const SIZE: usize = 4096;
const _: () = assert!(size_of::<Process>() <= SIZE, "the state fits into its page");

/// Serves until the page is there, and for good where there is no memory for one.
static FIRST: Process = Process {
    pid: AtomicU32::new(0),
    forked_from: AtomicU32::new(0),
    stage: AtomicU32::new(0),
    fd: AtomicI32::new(0),
    file_dev: AtomicU64::new(0),
    file_inode: AtomicU64::new(0),
    events: AtomicU64::new(0),
    dropped: AtomicU64::new(0),
    modules: [const { AtomicU64::new(0) }; 4],
    held: [const { Held::nothing() }; 2],
    image: AtomicU32::new(0),
    views: Views::new(),
    patched: [const { AtomicU32::new(0) }; kvtrace_patch::MOST],
};
static PAGE: AtomicPtr<Process> = AtomicPtr::new((&raw const FIRST).cast_mut());
/// Whether the kernel zeroes the page for us. Where not, every event asks for the pid.
static WIPED: AtomicBool = AtomicBool::new(false);
/// Not wiped, so that a child can tell whose child it is.
static LAST_PID: AtomicU32 = AtomicU32::new(0);

/// Makes the page.
pub fn prepare() {
    // A child may be the first that has an event.
    LAST_PID.store(sys::getpid(), Ordering::Relaxed);
    if let Some(page) = sys::page(SIZE) {
        WIPED.store(sys::wipe_on_fork(page, SIZE), Ordering::Relaxed);
        PAGE.store(page.cast(), Ordering::Release);
    }
}

impl Process {
    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid.load(Ordering::Relaxed)
    }
}

/// This process's state.
pub fn current() -> &'static Process {
    let page = PAGE.load(Ordering::Acquire);
    // SAFETY: either the static or a page that is never unmapped, zero or written by us through atomics only.
    let process = unsafe { &*page };
    let pid = process.pid.load(Ordering::Acquire);
    if pid == 0 {
        begin(process);
    } else if !WIPED.load(Ordering::Relaxed) {
        let now = sys::getpid();
        if now != pid && process.pid.compare_exchange(pid, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            wipe(process);
            begin(process);
        }
    }
    process
}

/// The process id.
pub fn pid() -> u32 {
    current().pid.load(Ordering::Relaxed)
}

/// The calling thread's id, cached per thread.
pub fn tid(pid: u32) -> u32 {
    let thread = arch::thread();
    if thread.tid_of_pid.get() != pid {
        thread.tid.set(sys::gettid());
        thread.tid_of_pid.set(pid);
    }
    thread.tid.get()
}

/// Whether this process has begun a trace. A child of vfork, which finds its parent's state here, has not.
pub fn is_tracing() -> bool {
    // SAFETY: as in `current`.
    let process = unsafe { &*PAGE.load(Ordering::Acquire) };
    process.events.load(Ordering::Relaxed) > 0 && process.pid.load(Ordering::Relaxed) == sys::getpid()
}

fn begin(process: &Process) {
    let pid = sys::getpid();
    let parent = LAST_PID.load(Ordering::Relaxed);
    // Another thread of this process may have been here first.
    if parent != pid {
        process.forked_from.store(parent, Ordering::Relaxed);
    }
    LAST_PID.store(pid, Ordering::Relaxed);
    let _ = process.pid.compare_exchange(0, pid, Ordering::AcqRel, Ordering::Relaxed);
}

/// What the kernel does to the page in a fork child.
fn wipe(process: &Process) {
    process.forked_from.store(0, Ordering::Relaxed);
    process.image.store(0, Ordering::Relaxed);
    process.stage.store(0, Ordering::Relaxed);
    process.fd.store(0, Ordering::Relaxed);
    process.events.store(0, Ordering::Relaxed);
    process.dropped.store(0, Ordering::Relaxed);
    process.views.wipe();
    for held in &process.held {
        held.wipe();
    }
    for bits in &process.modules {
        bits.store(0, Ordering::Relaxed);
    }
    for count in &process.patched {
        count.store(0, Ordering::Relaxed);
    }
}
