//! Captures: which stream is being captured, and into which graph. The graph gets no nodes.

use crate::stream::fresh_handle;
use crate::{INVALID_VALUE, SUCCESS};
use kvtrace_cuda_sim::abi::Out;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

const NOT_CAPTURING: i32 = 0;
const CAPTURING: i32 = 1;
/// `CUDA_ERROR_ILLEGAL_STATE`
const ILLEGAL_STATE: i32 = 401;

/// The graph of each stream that is being captured. Its handle is the capture's number, too.
static CAPTURES: Mutex<BTreeMap<usize, usize>> = Mutex::new(BTreeMap::new());

fn captures() -> MutexGuard<'static, BTreeMap<usize, usize>> {
    CAPTURES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn begin(stream: usize, graph: usize) -> i32 {
    // The legacy stream cannot be captured.
    if stream == 0 {
        return INVALID_VALUE;
    }
    match captures().entry(stream) {
        Entry::Vacant(place) => {
            place.insert(graph);
            SUCCESS
        }
        Entry::Occupied(_) => ILLEGAL_STATE,
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamBeginCapture(stream: usize) -> i32 {
    begin(stream, fresh_handle())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamBeginCapture_v2(stream: usize, _mode: i32) -> i32 {
    begin(stream, fresh_handle())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamBeginCaptureToGraph(
    stream: usize,
    graph: usize,
    _needs: usize,
    _edges: usize,
    _count: usize,
    _mode: i32,
) -> i32 {
    begin(stream, graph)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamEndCapture(stream: usize, graph: Out<usize>) -> i32 {
    captures().remove(&stream).map_or(ILLEGAL_STATE, |captured| graph.set(captured))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamIsCapturing(stream: usize, status: Out<i32>) -> i32 {
    status.set(if captures().contains_key(&stream) { CAPTURING } else { NOT_CAPTURING })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamGetCaptureInfo(stream: usize, status: Out<i32>, id: Out<u64>) -> i32 {
    cuStreamGetCaptureInfo_v2(stream, status, id, Out::none(), Out::none(), Out::none())
}

/// Nothing depends on anything: a graph that is captured is empty.
#[unsafe(no_mangle)]
pub extern "C" fn cuStreamGetCaptureInfo_v2(
    stream: usize,
    status: Out<i32>,
    id: Out<u64>,
    graph: Out<usize>,
    needs: Out<usize>,
    count: Out<usize>,
) -> i32 {
    let captured = captures().get(&stream).copied();
    id.offer(captured.unwrap_or(0) as u64);
    graph.offer(captured.unwrap_or(0));
    needs.offer(0);
    count.offer(0);
    status.set(if captured.is_some() { CAPTURING } else { NOT_CAPTURING })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamGetCaptureInfo_v3(
    stream: usize,
    status: Out<i32>,
    id: Out<u64>,
    graph: Out<usize>,
    needs: Out<usize>,
    edges: Out<usize>,
    count: Out<usize>,
) -> i32 {
    edges.offer(0);
    cuStreamGetCaptureInfo_v2(stream, status, id, graph, needs, count)
}
