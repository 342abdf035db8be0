//! Streams and events: handles only, since every operation is over when its call returns. What remains of waiting for
//! them is that pools give back what they do not use.

use crate::{INVALID_VALUE, SUCCESS, gpus};
use kvtrace_cuda_sim::abi::Out;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

static RECORDED: Mutex<BTreeMap<usize, Instant>> = Mutex::new(BTreeMap::new());

/// A handle that was not given before; nobody looks into it.
pub(crate) fn fresh_handle() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0x6b76_8000);
    NEXT.fetch_add(16, Ordering::Relaxed)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamCreate(stream: Out<usize>, _flags: u32) -> i32 {
    stream.set(fresh_handle())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamCreateWithPriority(stream: Out<usize>, _flags: u32, _priority: i32) -> i32 {
    stream.set(fresh_handle())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamGetPriority(_stream: usize, priority: Out<i32>) -> i32 {
    priority.set(0)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamGetFlags(_stream: usize, flags: Out<u32>) -> i32 {
    flags.set(0)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamGetDevice(_stream: usize, device: Out<i32>) -> i32 {
    crate::cuCtxGetDevice(device)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamGetCtx(_stream: usize, context: Out<usize>) -> i32 {
    crate::cuCtxGetCurrent(context)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventCreate(event: Out<usize>, _flags: u32) -> i32 {
    event.set(fresh_handle())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventRecord(event: usize, _stream: usize) -> i32 {
    RECORDED.lock().unwrap_or_else(PoisonError::into_inner).insert(event, Instant::now());
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventRecordWithFlags(event: usize, stream: usize, _flags: u32) -> i32 {
    cuEventRecord(event, stream)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventDestroy_v2(event: usize) -> i32 {
    RECORDED.lock().unwrap_or_else(PoisonError::into_inner).remove(&event);
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventDestroy(event: usize) -> i32 {
    cuEventDestroy_v2(event)
}

/// Milliseconds of real time between two records; programs divide by it, so it is never 0.
#[unsafe(no_mangle)]
pub extern "C" fn cuEventElapsedTime(milliseconds: Out<f32>, start: usize, end: usize) -> i32 {
    let recorded = RECORDED.lock().unwrap_or_else(PoisonError::into_inner);
    match (recorded.get(&start), recorded.get(&end)) {
        (Some(start), Some(end)) => {
            let passed = end.saturating_duration_since(*start).as_secs_f32() * 1e3;
            milliseconds.set(passed.max(f32::MIN_POSITIVE))
        }
        _ => INVALID_VALUE,
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventElapsedTime_v2(milliseconds: Out<f32>, start: usize, end: usize) -> i32 {
    cuEventElapsedTime(milliseconds, start, end)
}

fn synchronize() -> i32 {
    // Whose stream it is, is not kept: every device's work is over.
    gpus().map_or_else(kvtrace_cuda_sim::Error::code, |all| {
        all.iter().for_each(kvtrace_cuda_sim::Device::synchronize);
        SUCCESS
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamSynchronize(_stream: usize) -> i32 {
    synchronize()
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventSynchronize(_event: usize) -> i32 {
    synchronize()
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSynchronize() -> i32 {
    synchronize()
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSynchronize_v2(_context: usize) -> i32 {
    synchronize()
}
