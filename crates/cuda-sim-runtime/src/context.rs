//! The devices and their primary contexts: made at the first call that needs one, made current in each thread.

use crate::driver::{self, Handle};
use crate::error::{INVALID_DEVICE, INVALID_VALUE, SUCCESS, done};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// The primary contexts that were retained, by device.
static PRIMARY: Mutex<BTreeMap<i32, Handle>> = Mutex::new(BTreeMap::new());
/// Counts the contexts of this process: a reset ends one.
static GENERATION: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// The generation that this thread last had a context of; 0 before the first.
    static BOUND: Cell<u64> = const { Cell::new(0) };
    /// The device that this thread chose here.
    static DEVICE: Cell<i32> = const { Cell::new(0) };
}

/// The device of this thread: that of its current context, which another copy of the runtime may have made current, or
/// the one that it chose here.
pub(crate) fn device() -> i32 {
    let mut device = DEVICE.get();
    if current() != 0 {
        driver::cuCtxGetDevice(&mut device, 0);
    }
    device
}

fn current() -> Handle {
    let mut context = 0;
    driver::cuCtxGetCurrent(&mut context);
    context
}

/// Initialises the driver, once in a process.
pub(crate) fn init() -> i32 {
    static RESULT: OnceLock<i32> = OnceLock::new();
    *RESULT.get_or_init(|| driver::cuInit(0))
}

/// Sees to it that a context is current in this thread: whatever is, or else the primary one of its device.
pub(crate) fn ready() -> i32 {
    let generation = GENERATION.load(Ordering::Acquire);
    // One that was reset is no longer there, although it is still on the thread's stack.
    if [0, generation].contains(&BOUND.get()) && current() != 0 {
        BOUND.set(generation);
        return SUCCESS;
    }
    bind(generation)
}

/// Makes the primary context of the thread's device current.
fn bind(generation: u64) -> i32 {
    match retain(DEVICE.get()).and_then(|context| checked(driver::cuCtxSetCurrent(context))) {
        Ok(()) => {
            BOUND.set(generation);
            SUCCESS
        }
        Err(failure) => failure,
    }
}

/// Runs `act` with the context current, and ends the function with its result.
pub(crate) fn with_context(act: impl FnOnce() -> i32) -> i32 {
    match ready() {
        SUCCESS => done(act()),
        failure => done(failure),
    }
}

/// Runs `act` with the driver initialised, and ends the function with its result.
pub(crate) fn with_driver(act: impl FnOnce() -> i32) -> i32 {
    match init() {
        SUCCESS => done(act()),
        failure => done(failure),
    }
}

fn checked(result: i32) -> Result<(), i32> {
    if result == SUCCESS { Ok(()) } else { Err(result) }
}

fn retain(ordinal: i32) -> Result<Handle, i32> {
    let mut primary = PRIMARY.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(context) = primary.get(&ordinal) {
        return Ok(*context);
    }
    checked(init())?;
    let (mut device, mut context) = (0, 0);
    checked(driver::cuDeviceGet(&mut device, ordinal))?;
    checked(driver::cuDevicePrimaryCtxRetain(&mut context, device))?;
    primary.insert(ordinal, context);
    Ok(context)
}

pub extern "C" fn cudaGetDeviceCount(count: *mut i32) -> i32 {
    with_driver(|| driver::cuDeviceGetCount(count))
}

/// Makes the context too, as the runtime does since CUDA 12.
pub extern "C" fn cudaSetDevice(device: i32) -> i32 {
    let mut count = 0;
    match init() {
        SUCCESS => {}
        failure => return done(failure),
    }
    match driver::cuDeviceGetCount(&mut count) {
        SUCCESS if (0..count).contains(&device) => {
            DEVICE.set(device);
            done(bind(GENERATION.load(Ordering::Acquire)))
        }
        SUCCESS => done(INVALID_DEVICE),
        failure => done(failure),
    }
}

pub extern "C" fn cudaInitDevice(device: i32, _device_flags: u32, _flags: u32) -> i32 {
    cudaSetDevice(device)
}

pub extern "C" fn cudaGetDevice(place: *mut i32) -> i32 {
    with_driver(|| crate::pointer::write(place, device()))
}

/// Picks the first device, whatever is asked of it.
pub extern "C" fn cudaChooseDevice(device: *mut i32, _properties: *const u8) -> i32 {
    with_driver(|| crate::pointer::write(device, 0))
}

pub extern "C" fn cudaDeviceSynchronize() -> i32 {
    with_context(|| driver::cuCtxSynchronize(0))
}

pub extern "C" fn cudaDeviceReset() -> i32 {
    with_driver(|| {
        let device = device();
        let mut primary = PRIMARY.lock().unwrap_or_else(PoisonError::into_inner);
        if primary.remove(&device).is_none() {
            return SUCCESS;
        }
        GENERATION.fetch_add(1, Ordering::AcqRel);
        driver::cuDevicePrimaryCtxReset(device)
    })
}

pub extern "C" fn cudaGetDeviceFlags(flags: *mut u32) -> i32 {
    with_driver(|| crate::pointer::write(flags, 0))
}

pub extern "C" fn cudaDeviceGetLimit(value: *mut usize, limit: i32) -> i32 {
    if value.is_null() { done(INVALID_VALUE) } else { with_context(|| driver::cuCtxGetLimit(value, limit)) }
}

pub extern "C" fn cudaDeviceGetStreamPriorityRange(least: *mut i32, greatest: *mut i32) -> i32 {
    with_context(|| driver::cuCtxGetStreamPriorityRange(least, greatest))
}
