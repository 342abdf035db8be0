//! Streams, events and captures. The driver gives the handles.

use crate::context::with_context;
use crate::driver::{self, Handle};
use crate::error::SUCCESS;
use crate::pointer::{out, write};

pub extern "C" fn cudaStreamCreate(stream: *mut Handle) -> i32 {
    cudaStreamCreateWithPriority(stream, 0, 0)
}

pub extern "C" fn cudaStreamCreateWithFlags(stream: *mut Handle, flags: u32) -> i32 {
    cudaStreamCreateWithPriority(stream, flags, 0)
}

pub extern "C" fn cudaStreamCreateWithPriority(stream: *mut Handle, flags: u32, priority: i32) -> i32 {
    with_context(|| driver::cuStreamCreateWithPriority(stream, flags, priority))
}

pub extern "C" fn cudaStreamDestroy(stream: Handle) -> i32 {
    with_context(|| driver::cuStreamDestroy(stream))
}

pub extern "C" fn cudaStreamSynchronize(stream: Handle) -> i32 {
    with_context(|| driver::cuStreamSynchronize(stream))
}

pub extern "C" fn cudaStreamQuery(stream: Handle) -> i32 {
    with_context(|| driver::cuStreamQuery(stream))
}

pub extern "C" fn cudaStreamWaitEvent(stream: Handle, event: Handle, flags: u32) -> i32 {
    with_context(|| driver::cuStreamWaitEvent(stream, event, flags))
}

pub extern "C" fn cudaStreamGetPriority(stream: Handle, priority: *mut i32) -> i32 {
    with_context(|| driver::cuStreamGetPriority(stream, priority))
}

pub extern "C" fn cudaStreamGetFlags(stream: Handle, flags: *mut u32) -> i32 {
    with_context(|| driver::cuStreamGetFlags(stream, flags))
}

pub extern "C" fn cudaStreamGetDevice(_stream: Handle, device: *mut i32) -> i32 {
    with_context(|| write(device, crate::context::device()))
}

pub extern "C" fn cudaStreamGetId(stream: Handle, id: *mut u64) -> i32 {
    with_context(|| write(id, stream as u64))
}

pub extern "C" fn cudaStreamIsCapturing(stream: Handle, status: *mut i32) -> i32 {
    with_context(|| driver::cuStreamIsCapturing(stream, status))
}

/// The form of CUDA 13; earlier ones have fewer places.
pub extern "C" fn cudaStreamGetCaptureInfo(
    stream: Handle,
    status: *mut i32,
    id: *mut u64,
    graph: *mut Handle,
    needs: *mut Handle,
    edges: *mut Handle,
    count: *mut usize,
) -> i32 {
    with_context(|| driver::cuStreamGetCaptureInfo(stream, status, id, graph, needs, edges, count))
}

pub extern "C" fn cudaThreadExchangeStreamCaptureMode(mode: *mut i32) -> i32 {
    with_context(|| write(mode, 0))
}

pub extern "C" fn cudaStreamBeginCapture(stream: Handle, mode: i32) -> i32 {
    with_context(|| driver::cuStreamBeginCapture(stream, mode))
}

pub extern "C" fn cudaStreamEndCapture(stream: Handle, graph: *mut Handle) -> i32 {
    with_context(|| driver::cuStreamEndCapture(stream, graph))
}

pub extern "C" fn cudaGraphCreate(graph: *mut Handle, flags: u32) -> i32 {
    with_context(|| driver::cuGraphCreate(graph, flags))
}

pub extern "C" fn cudaGraphInstantiate(executable: *mut Handle, graph: Handle, flags: u64) -> i32 {
    with_context(|| driver::cuGraphInstantiateWithFlags(executable, graph, flags))
}

pub extern "C" fn cudaGraphInstantiateWithFlags(executable: *mut Handle, graph: Handle, flags: u64) -> i32 {
    cudaGraphInstantiate(executable, graph, flags)
}

/// A graph of nothing: nodes are not kept.
pub extern "C" fn cudaGraphGetNodes(_graph: Handle, _nodes: *mut Handle, count: *mut usize) -> i32 {
    out(count).offer(0);
    SUCCESS
}

pub extern "C" fn cudaEventCreate(event: *mut Handle) -> i32 {
    cudaEventCreateWithFlags(event, 0)
}

pub extern "C" fn cudaEventCreateWithFlags(event: *mut Handle, flags: u32) -> i32 {
    with_context(|| driver::cuEventCreate(event, flags))
}

pub extern "C" fn cudaEventDestroy(event: Handle) -> i32 {
    with_context(|| driver::cuEventDestroy(event))
}

pub extern "C" fn cudaEventRecord(event: Handle, stream: Handle) -> i32 {
    with_context(|| driver::cuEventRecord(event, stream))
}

pub extern "C" fn cudaEventRecordWithFlags(event: Handle, stream: Handle, _flags: u32) -> i32 {
    cudaEventRecord(event, stream)
}

pub extern "C" fn cudaEventSynchronize(event: Handle) -> i32 {
    with_context(|| driver::cuEventSynchronize(event))
}

pub extern "C" fn cudaEventQuery(event: Handle) -> i32 {
    with_context(|| driver::cuEventQuery(event))
}

pub extern "C" fn cudaEventElapsedTime(milliseconds: *mut f32, start: Handle, end: Handle) -> i32 {
    with_context(|| driver::cuEventElapsedTime(milliseconds, start, end))
}
