use super::layouts::{NODE_ADDRESS, NODE_BYTES, node};
use super::{Device, Handle, Layer, Pointer, hooks, out};
use crate::effect::{graph_alloc, graph_note, note};
use core::ffi::{c_char, c_void};

hooks! { Layer::Hip, i32, ();
    hipGraphAddMemAllocNode as "hipGraphAddMemAllocNode" 0..0
        (node_out: *mut Handle, graph: Handle, needs: *const c_void, number: usize, parameters: *mut c_void) -> 3
        |call, rc| graph_alloc(&call, rc.into(), node(parameters, NODE_BYTES), node(parameters, NODE_ADDRESS));
    hipGraphAddMemFreeNode as "hipGraphAddMemFreeNode" 0..0
        (node_out: *mut Handle, graph: Handle, needs: *const c_void, number: usize, at: Pointer) -> 3
        |call, rc| graph_note(&call, rc.into(), at as u64, 0);
    hipDrvGraphAddMemFreeNode as "hipDrvGraphAddMemFreeNode" 0..0
        (node_out: *mut Handle, graph: Handle, needs: *const c_void, number: usize, at: Pointer) -> 3
        |call, rc| graph_note(&call, rc.into(), at as u64, 0);
    hipGraphAddNode as "hipGraphAddNode" 0..0
        (node_out: *mut Handle, graph: Handle, needs: *const c_void, number: usize, parameters: *mut c_void) -> 3
        |call, rc| graph_note(&call, rc.into(), 0, 0);
    hipDeviceGraphMemTrim as "hipDeviceGraphMemTrim" 0..0 (dev: Device) -> 3
        |call, rc| graph_note(&call, rc.into(), 0, 0);
    hipDeviceGetGraphMemAttribute as "hipDeviceGetGraphMemAttribute" 0..0
        (dev: Device, attribute: i32, value: *mut c_void) -> 3
        |call, rc| note(&call, rc.into(), 0, 0);
    hipDeviceSetGraphMemAttribute as "hipDeviceSetGraphMemAttribute" 0..0
        (dev: Device, attribute: i32, value: *mut c_void) -> 3
        |call, rc| note(&call, rc.into(), 0, 0);
    hipGraphInstantiate as "hipGraphInstantiate" 0..0
        (run: *mut Handle, graph: Handle, error: *mut Handle, log: *mut c_char, size: usize) -> 3
        |call, rc| graph_note(&call, rc.into(), out!(rc, run).unwrap_or(0), 0);
    hipGraphInstantiateWithFlags as "hipGraphInstantiateWithFlags" 0..0
        (run: *mut Handle, graph: Handle, flags: u64) -> 3
        |call, rc| graph_note(&call, rc.into(), out!(rc, run).unwrap_or(0), 0);
    hipGraphInstantiateWithParams as "hipGraphInstantiateWithParams" 0..0
        (run: *mut Handle, graph: Handle, parameters: *mut c_void) -> 3
        |call, rc| graph_note(&call, rc.into(), out!(rc, run).unwrap_or(0), 0);
    hipGraphExecDestroy as "hipGraphExecDestroy" 0..0 (run: Handle) -> 3
        |call, rc| note(&call, rc.into(), run as u64, 0);
}
