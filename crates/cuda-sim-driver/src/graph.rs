//! Graphs, as far as they take memory. What else is in them is not kept: a graph that was captured is empty.

use crate::stream::fresh_handle;
use crate::{INVALID_VALUE, NOT_SUPPORTED, SUCCESS, code, gpu_of, gpus};
use kvtrace_cuda_sim::abi::{In, Out};
use kvtrace_cuda_sim::{Error, Node};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// `CUDA_MEM_ALLOC_NODE_PARAMS`. The address is written back.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct AllocationParameters {
    pool: [u64; 11],
    access: usize,
    access_count: usize,
    size: usize,
    address: u64,
}

/// `CUgraphNodeParams`: a kind, and behind it what the kind wants.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct NodeParameters {
    kind: i32,
    reserved: [i32; 3],
    allocation: AllocationParameters,
}

const KIND_ALLOCATION: i32 = 10;
const KIND_FREE: i32 = 11;
const ON_DEVICE: u64 = 1;

/// The memory nodes of graphs and of what was made of them to be launched.
static NODES: Mutex<BTreeMap<usize, Vec<Node>>> = Mutex::new(BTreeMap::new());

fn nodes() -> MutexGuard<'static, BTreeMap<usize, Vec<Node>>> {
    NODES.lock().unwrap_or_else(PoisonError::into_inner)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphCreate(graph: Out<usize>, _flags: u32) -> i32 {
    graph.set(fresh_handle())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphDestroy(graph: usize) -> i32 {
    nodes().remove(&graph);
    SUCCESS
}

/// Gives the node an address; memory comes with the launch.
fn allocation(graph: usize, asked: AllocationParameters) -> Result<AllocationParameters, i32> {
    // The location's type is the third word of the pool's properties.
    if asked.pool[1] & u64::from(u32::MAX) != ON_DEVICE {
        return Err(NOT_SUPPORTED);
    }
    let ordinal = (asked.pool[1] >> 32) as usize;
    let gpu = || gpus()?.get(ordinal).ok_or(Error::InvalidDevice);
    let address = gpu().and_then(|gpu| gpu.graph_address(asked.size as u64)).map_err(Error::code)?;
    nodes().entry(graph).or_default().push(Node::Alloc { address, size: asked.size as u64 });
    Ok(AllocationParameters { address, ..asked })
}

fn free(graph: usize, address: u64) -> i32 {
    if !gpu_of(|gpu| gpu.is_graph_address(address)).is_ok_and(|gpu| gpu.is_graph_address(address)) {
        return INVALID_VALUE;
    }
    nodes().entry(graph).or_default().push(Node::Free { address });
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphAddMemAllocNode(
    node: Out<usize>,
    graph: usize,
    _needs: usize,
    _count: usize,
    parameters: Out<AllocationParameters>,
) -> i32 {
    let Some(asked) = parameters.as_in().get() else { return INVALID_VALUE };
    match allocation(graph, asked) {
        Ok(given) => {
            parameters.offer(given);
            node.set(fresh_handle())
        }
        Err(failure) => failure,
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphAddMemFreeNode(
    node: Out<usize>,
    graph: usize,
    _needs: usize,
    _count: usize,
    address: u64,
) -> i32 {
    match free(graph, address) {
        SUCCESS => node.set(fresh_handle()),
        failure => failure,
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphAddNode(
    node: Out<usize>,
    graph: usize,
    _needs: usize,
    _count: usize,
    parameters: Out<NodeParameters>,
) -> i32 {
    // A node of another kind may come with less memory behind it than an allocation's parameters.
    // SAFETY: whatever the kind, the caller's structure begins with it.
    let kind = unsafe { core::mem::transmute::<Out<NodeParameters>, In<i32>>(parameters) }.get();
    let parameters = match kind {
        None => return INVALID_VALUE,
        Some(KIND_ALLOCATION | KIND_FREE) => parameters,
        Some(_) => return node.set(fresh_handle()),
    };
    let Some(asked) = parameters.as_in().get() else { return INVALID_VALUE };
    let added = match kind {
        Some(KIND_FREE) => free(graph, asked.allocation.pool[0]),
        _ => allocation(graph, asked.allocation).map_or_else(
            |failure| failure,
            |allocation| {
                parameters.offer(NodeParameters { allocation, ..asked });
                SUCCESS
            },
        ),
    };
    if added == SUCCESS { node.set(fresh_handle()) } else { added }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphAddNode_v2(
    node: Out<usize>,
    graph: usize,
    needs: usize,
    _edges: usize,
    count: usize,
    parameters: Out<NodeParameters>,
) -> i32 {
    cuGraphAddNode(node, graph, needs, count, parameters)
}

fn instantiate(executable: Out<usize>, graph: usize) -> i32 {
    let handle = fresh_handle();
    let mut nodes = nodes();
    if let Some(list) = nodes.get(&graph).cloned() {
        nodes.insert(handle, list);
    }
    executable.set(handle)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphInstantiate(
    executable: Out<usize>,
    graph: usize,
    _node: usize,
    _log: usize,
    _size: usize,
) -> i32 {
    instantiate(executable, graph)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphInstantiate_v2(
    executable: Out<usize>,
    graph: usize,
    _node: usize,
    _log: usize,
    _size: usize,
) -> i32 {
    instantiate(executable, graph)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphInstantiateWithFlags(executable: Out<usize>, graph: usize, _flags: u64) -> i32 {
    instantiate(executable, graph)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphInstantiateWithParams(executable: Out<usize>, graph: usize, _parameters: usize) -> i32 {
    instantiate(executable, graph)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphExecDestroy(executable: usize) -> i32 {
    cuGraphDestroy(executable)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphLaunch(executable: usize, _stream: usize) -> i32 {
    let list = nodes().get(&executable).cloned();
    let Some(list) = list else { return SUCCESS };
    // Each device runs the nodes of its own memory.
    let launched = gpus().and_then(|all| {
        all.iter().try_for_each(|gpu| {
            let of_device = |node: &&Node| match node {
                Node::Alloc { address, .. } | Node::Free { address } => gpu.is_graph_address(*address),
            };
            gpu.launch(&list.iter().filter(of_device).copied().collect::<Vec<_>>())
        })
    });
    code(launched)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGraphMemTrim(device: i32) -> i32 {
    crate::device::on_device(device, |gpu| {
        gpu.trim_graphs();
        SUCCESS
    })
}

/// Used, its highest, reserved, its highest. What is used now stands for the highest: only the reserve has one.
#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetGraphMemAttribute(device: i32, attribute: i32, value: Out<u64>) -> i32 {
    crate::device::on_device(device, |gpu| {
        let (reserved, high, used) = gpu.graph_memory();
        match attribute {
            0 | 1 => value.set(used),
            2 => value.set(reserved),
            3 => value.set(high),
            _ => INVALID_VALUE,
        }
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceSetGraphMemAttribute(device: i32, attribute: i32, value: In<u64>) -> i32 {
    crate::device::on_device(device, |gpu| match (attribute, value.get()) {
        (1, Some(0)) => SUCCESS,
        (3, Some(0)) => {
            gpu.reset_graph_high();
            SUCCESS
        }
        _ => INVALID_VALUE,
    })
}
