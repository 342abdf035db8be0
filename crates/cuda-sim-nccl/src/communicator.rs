//! Communicators: made together, split, shrunk and ended.

use crate::info::{INTERNAL, INVALID_ARGUMENT, INVALID_USAGE, SUCCESS, fail};
use crate::meeting::{Meeting, Trouble, mix};
use core::ffi::c_char;
use core::sync::atomic::{AtomicU64, Ordering};
use kvtrace_cuda_sim_quiet::abi::{In, Out};
use kvtrace_cuda_sim_quiet::{Overhead, overhead};
use kvtrace_cuda_sim_runtime as cudart;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// `ncclUniqueId`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct UniqueId([u64; 16]);

/// One rank's communicator.
#[derive(Debug)]
pub(crate) struct Communicator {
    pub meeting: Meeting,
    pub ranks: usize,
    pub rank: usize,
    pub device: i32,
    /// Collective operations so far, and splits.
    pub operations: AtomicU64,
    splits: AtomicU64,
}

static ALL: Mutex<BTreeMap<usize, Arc<Communicator>>> = Mutex::new(BTreeMap::new());

fn all() -> MutexGuard<'static, BTreeMap<usize, Arc<Communicator>>> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn find(handle: usize) -> Option<Arc<Communicator>> {
    all().get(&handle).cloned()
}

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Communicators made in a group: their ranks wait for each other at its end.
    static AWAITED: RefCell<Vec<Arc<Communicator>>> = const { RefCell::new(Vec::new()) };
}

/// A number that names the current device, also for other processes.
fn device() -> (i32, u64) {
    let mut device = 0;
    cudart::cudaGetDevice(&mut device);
    let mut text = [0u8; 32];
    cudart::cudaDeviceGetPCIBusId(text.as_mut_ptr().cast::<c_char>(), text.len() as i32, device);
    (device, text.iter().fold(0, |sum, byte| mix(sum, u64::from(*byte))) >> 1)
}

fn said(trouble: Trouble) -> i32 {
    match trouble {
        Trouble::System => fail(INTERNAL, "the ranks' common file cannot be used"),
        Trouble::Ranks => fail(INVALID_ARGUMENT, "ranks name different numbers of ranks, or one that cannot be"),
        Trouble::Twice => fail(INVALID_USAGE, "two ranks have the same number"),
        Trouble::Alone => fail(INTERNAL, "not all ranks came"),
        Trouble::Disagreement => fail(INVALID_USAGE, "ranks do different things"),
    }
}

fn arrive(communicator: &Communicator) -> i32 {
    match communicator.meeting.wait() {
        Ok(mut devices) => {
            devices.sort_unstable();
            let all = devices.len();
            devices.dedup();
            if devices.len() < all { fail(INVALID_USAGE, "Duplicate GPU detected") } else { SUCCESS }
        }
        Err(trouble) => said(trouble),
    }
}

fn join(handle: Out<usize>, id: u64, ranks: usize, rank: usize, wait: bool) -> i32 {
    let (device, name) = device();
    let meeting = match Meeting::come(id, ranks, rank, name) {
        Ok(meeting) => meeting,
        Err(trouble) => return said(trouble),
    };
    let new = Communicator { meeting, ranks, rank, device, operations: AtomicU64::new(0), splits: AtomicU64::new(0) };
    let new = Arc::new(new);
    let key = kvtrace_cuda_sim_quiet::fresh_handle();
    if handle.set(key) != SUCCESS {
        return INVALID_ARGUMENT;
    }
    all().insert(key, Arc::clone(&new));
    if ranks > 1 {
        overhead(Overhead::Communicator);
    }
    if !wait || DEPTH.get() > 0 {
        AWAITED.with_borrow_mut(|awaited| awaited.push(new));
        return SUCCESS;
    }
    arrive(&new)
}

fn number(value: i32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn identity(id: &UniqueId) -> u64 {
    id.0.iter().fold(0, |sum, word| mix(sum, *word))
}

fn unique() -> u64 {
    static GIVEN: AtomicU64 = AtomicU64::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let given = GIVEN.fetch_add(1, Ordering::Relaxed);
    mix(mix(now.as_nanos() as u64, u64::from(std::process::id())), given)
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclGetUniqueId(id: Out<UniqueId>) -> i32 {
    let mut words = [0; 16];
    words[0] = unique();
    if id.set(UniqueId(words)) == SUCCESS { SUCCESS } else { INVALID_ARGUMENT }
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclCommInitRank(handle: Out<usize>, ranks: i32, id: UniqueId, rank: i32) -> i32 {
    join(handle, identity(&id), number(ranks), number(rank), true)
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclCommInitRankConfig(
    handle: Out<usize>,
    ranks: i32,
    id: UniqueId,
    rank: i32,
    _configuration: usize,
) -> i32 {
    ncclCommInitRank(handle, ranks, id, rank)
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclCommInitRankScalable(
    handle: Out<usize>,
    ranks: i32,
    rank: i32,
    _identities: i32,
    ids: In<UniqueId>,
    _configuration: usize,
) -> i32 {
    ids.get().map_or(INVALID_ARGUMENT, |id| ncclCommInitRank(handle, ranks, id, rank))
}

/// All ranks in this process, one for each device.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclCommInitAll(handles: *mut usize, count: i32, devices: *const i32) -> i32 {
    let (id, count) = (unique(), number(count));
    let mut before = 0;
    cudart::cudaGetDevice(&mut before);
    for rank in 0..count {
        // SAFETY: the caller gave room for `count` handles, and as many devices or none.
        let (handle, device) = unsafe {
            let device = if devices.is_null() { rank as i32 } else { devices.add(rank).read() };
            (Out::from_raw(handles.add(rank)), device)
        };
        if cudart::cudaSetDevice(device) != SUCCESS {
            return INVALID_ARGUMENT;
        }
        let joined = join(handle, id, count, rank, false);
        if joined != SUCCESS {
            return joined;
        }
    }
    cudart::cudaSetDevice(before);
    if DEPTH.get() > 0 { SUCCESS } else { settle() }
}

fn settle() -> i32 {
    // A group may end when the thread's values are gone; then nothing was begun in it.
    let awaited = AWAITED.try_with(RefCell::take).unwrap_or_default();
    awaited.iter().map(|communicator| arrive(communicator)).find(|result| *result != SUCCESS).unwrap_or(SUCCESS)
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclGroupStart() -> i32 {
    DEPTH.set(DEPTH.get() + 1);
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclGroupEnd() -> i32 {
    let Some(depth) = DEPTH.get().checked_sub(1) else { return fail(INVALID_USAGE, "no group was begun") };
    DEPTH.set(depth);
    if depth == 0 { settle() } else { SUCCESS }
}

/// Ranks that name the same colour form a new communicator, in the order of their keys.
#[unsafe(no_mangle)]
pub extern "C" fn ncclCommSplit(
    parent: usize,
    colour: i32,
    key: i32,
    handle: Out<usize>,
    _configuration: usize,
) -> i32 {
    let Some(parent) = find(parent) else { return INVALID_ARGUMENT };
    let count = parent.splits.fetch_add(1, Ordering::AcqRel);
    // Keys may be negative; flipping the sign keeps their order. Half of the colours' range is for ranks without one.
    let shown = u64::from(colour as u32) << 32 | u64::from(key as u32 ^ 1 << 31);
    let board = Meeting::come(parent.meeting.next(count, 0), parent.ranks, parent.rank, shown & (u64::MAX >> 1));
    let shown = match board.and_then(|board| board.wait()) {
        Ok(shown) => shown,
        Err(trouble) => return said(trouble),
    };
    if colour < 0 {
        handle.offer(0);
        return SUCCESS;
    }
    let same = |(rank, shown): (usize, &u64)| (shown >> 32 == colour as u64).then_some((*shown as u32, rank));
    let mut members: Vec<(u32, usize)> = shown.iter().enumerate().filter_map(same).collect();
    members.sort_unstable();
    let rank = members.iter().position(|(_, rank)| *rank == parent.rank).unwrap_or(0);
    join(handle, parent.meeting.next(count, 1 + colour as u64), members.len(), rank, true)
}

/// The ranks that stay form a new communicator.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclCommShrink(
    parent: usize,
    excluded: *const i32,
    count: i32,
    handle: Out<usize>,
    _configuration: usize,
    _flags: i32,
) -> i32 {
    let Some(parent) = find(parent) else { return INVALID_ARGUMENT };
    let splits = parent.splits.fetch_add(1, Ordering::AcqRel);
    // SAFETY: the caller gave `count` ranks.
    let excluded: Vec<usize> = (0..number(count)).map(|at| number(unsafe { excluded.add(at).read() })).collect();
    let stay: Vec<usize> = (0..parent.ranks).filter(|rank| !excluded.contains(rank)).collect();
    let Some(rank) = stay.iter().position(|rank| *rank == parent.rank) else { return INVALID_ARGUMENT };
    join(handle, parent.meeting.next(splits, 1 << 40), stay.len(), rank, true)
}

/// Ranks that come later are not modelled.
#[unsafe(no_mangle)]
pub extern "C" fn ncclCommGrow() -> i32 {
    fail(INVALID_USAGE, "communicators do not grow on the simulated GPU")
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclCommDestroy(handle: usize) -> i32 {
    if all().remove(&handle).is_some() { SUCCESS } else { INVALID_ARGUMENT }
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclCommAbort(handle: usize) -> i32 {
    ncclCommDestroy(handle)
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclCommGetAsyncError(handle: usize, error: Out<i32>) -> i32 {
    let Some(communicator) = find(handle) else { return INVALID_ARGUMENT };
    error.offer(if communicator.meeting.is_broken() { INVALID_USAGE } else { SUCCESS });
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclCommCount(handle: usize, count: Out<i32>) -> i32 {
    find(handle).map_or(INVALID_ARGUMENT, |communicator| count.set(communicator.ranks as i32))
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclCommUserRank(handle: usize, rank: Out<i32>) -> i32 {
    find(handle).map_or(INVALID_ARGUMENT, |communicator| rank.set(communicator.rank as i32))
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclCommCuDevice(handle: usize, device: Out<i32>) -> i32 {
    find(handle).map_or(INVALID_ARGUMENT, |communicator| device.set(communicator.device))
}
