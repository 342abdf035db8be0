use super::{Device, Layer, Pointer, hooks, out};
use crate::effect::{graph_alloc, graph_note, note};
use crate::hooks::layouts::{NODE_ADDRESS, NODE_BYTES, node};
use core::ffi::{c_char, c_void};

// A graph's memory is taken when the graph first runs, and kept for the next: what the device holds for graphs is
// asked for beside each query.
hooks! { Layer::Driver, i32, ();
    cuGraphAddMemAllocNode as "cuGraphAddMemAllocNode" 11040..99999
        (node_out: *mut usize, graph: usize, needs: *const c_void, number: usize, parameters: *mut c_void) -> 3
        |call, rc| graph_alloc(&call, rc.into(), node(parameters, NODE_BYTES), node(parameters, NODE_ADDRESS));
    cuGraphAddMemFreeNode as "cuGraphAddMemFreeNode" 11040..99999
        (node_out: *mut usize, graph: usize, needs: *const c_void, number: usize, at: Pointer) -> 3
        |call, rc| graph_note(&call, rc.into(), at, 0);
    cuGraphAddNode as "cuGraphAddNode" 12020..12030
        (node_out: *mut usize, graph: usize, needs: *const c_void, number: usize, parameters: *mut c_void) -> 3
        |call, rc| graph_note(&call, rc.into(), 0, 0);
    cuGraphAddNode_v2 as "cuGraphAddNode" 12030..13040
        (node_out: *mut usize, graph: usize, needs: *const c_void, edges: *const c_void, number: usize,
            parameters: *mut c_void) -> 3
        |call, rc| graph_note(&call, rc.into(), 0, 0);
    cuGraphAddNode_v3 as "cuGraphAddNode" 13040..99999
        (node_out: *mut usize, graph: usize, needs: *const c_void, edges: *const c_void, number: usize,
            parameters: *mut c_void) -> 3
        |call, rc| graph_note(&call, rc.into(), 0, 0);
    cuDeviceGraphMemTrim as "cuDeviceGraphMemTrim" 11040..99999 (dev: Device) -> 3
        |call, rc| graph_note(&call, rc.into(), 0, 0);
    cuDeviceGetGraphMemAttribute as "cuDeviceGetGraphMemAttribute" 11040..99999
        (dev: Device, attribute: i32, value: *mut c_void) -> 3
        |call, rc| note(&call, rc.into(), 0, 0);
    cuDeviceSetGraphMemAttribute as "cuDeviceSetGraphMemAttribute" 11040..99999
        (dev: Device, attribute: i32, value: *mut c_void) -> 3
        |call, rc| note(&call, rc.into(), 0, 0);

    cuGraphInstantiate as "cuGraphInstantiate" 10000..11000
        (run: *mut usize, graph: usize, error: *mut usize, log: *mut c_char, size: usize) -> 3
        |call, rc| graph_note(&call, rc.into(), out!(rc, run).unwrap_or(0), 0);
    cuGraphInstantiate_v2 as "cuGraphInstantiate" 11000..99999
        (run: *mut usize, graph: usize, error: *mut usize, log: *mut c_char, size: usize) -> 3
        |call, rc| graph_note(&call, rc.into(), out!(rc, run).unwrap_or(0), 0);
    cuGraphInstantiateWithFlags as "cuGraphInstantiateWithFlags" 11040..99999
        (run: *mut usize, graph: usize, flags: u64) -> 3
        |call, rc| graph_note(&call, rc.into(), out!(rc, run).unwrap_or(0), 0);
    cuGraphInstantiateWithParams as "cuGraphInstantiateWithParams" 12000..99999
        (run: *mut usize, graph: usize, parameters: *mut c_void) -> 3
        |call, rc| graph_note(&call, rc.into(), out!(rc, run).unwrap_or(0), 0);
    cuGraphInstantiateWithParams_ptsz as "cuGraphInstantiateWithParams" 12000..99999 [per_thread]
        (run: *mut usize, graph: usize, parameters: *mut c_void) -> 3
        |call, rc| graph_note(&call, rc.into(), out!(rc, run).unwrap_or(0), 0);
    cuGraphExecDestroy as "cuGraphExecDestroy" 10000..99999 (run: usize) -> 3
        |call, rc| note(&call, rc.into(), run as u64, 0);
}
