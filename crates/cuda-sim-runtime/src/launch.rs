//! Kernels: registered by the start-up code that the compiler writes, launched, and never run.

use crate::context::with_context;
use crate::error::SUCCESS;
use crate::pointer::{out, write};
use core::ffi::c_void;
use std::cell::Cell;

/// `dim3`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Dim {
    x: u32,
    y: u32,
    z: u32,
}

#[derive(Clone, Copy)]
struct Configuration {
    grid: Dim,
    block: Dim,
    shared: usize,
    stream: usize,
}

const ONE: Dim = Dim { x: 1, y: 1, z: 1 };

thread_local! {
    /// What a launch in the `<<<...>>>` form pushes and the kernel's host function pops at once.
    static PUSHED: Cell<Configuration> =
        const { Cell::new(Configuration { grid: ONE, block: ONE, shared: 0, stream: 0 }) };
}

/// The handle of every module: an address that nobody looks into.
pub extern "C" fn __cudaRegisterFatBinary(_binary: *const c_void) -> *const *const c_void {
    static MODULE: usize = 0;
    (&raw const MODULE).cast()
}

pub extern "C" fn __cudaRegisterFatBinaryEnd(_module: *const *const c_void) {}

pub extern "C" fn __cudaUnregisterFatBinary(_module: *const *const c_void) {}

pub extern "C" fn __cudaRegisterFunction() {}

pub extern "C" fn __cudaRegisterVar() {}

pub extern "C" fn __cudaPushCallConfiguration(grid: Dim, block: Dim, shared: usize, stream: usize) -> u32 {
    PUSHED.set(Configuration { grid, block, shared, stream });
    0
}

pub extern "C" fn __cudaPopCallConfiguration(
    grid: *mut Dim,
    block: *mut Dim,
    shared: *mut usize,
    stream: *mut usize,
) -> i32 {
    let pushed = PUSHED.get();
    out(grid).offer(pushed.grid);
    out(block).offer(pushed.block);
    out(shared).offer(pushed.shared);
    out(stream).offer(pushed.stream);
    SUCCESS
}

/// A launch makes the context, whatever its arguments are.
pub extern "C" fn cudaLaunchKernel() -> i32 {
    with_context(|| SUCCESS)
}

pub extern "C" fn cudaLaunchKernelExC() -> i32 {
    cudaLaunchKernel()
}

pub extern "C" fn cudaLaunchCooperativeKernel() -> i32 {
    cudaLaunchKernel()
}

/// The beginning of `cudaFuncAttributes`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct FunctionAttributes {
    shared: usize,
    constant: usize,
    local: usize,
    threads: i32,
    registers: i32,
    ptx: i32,
    binary: i32,
    cache_mode: i32,
    dynamic_shared: i32,
}

pub extern "C" fn cudaFuncGetAttributes(attributes: *mut FunctionAttributes, _function: *const c_void) -> i32 {
    let usual = FunctionAttributes {
        shared: 0,
        constant: 0,
        local: 0,
        threads: 1024,
        registers: 32,
        ptx: 90,
        binary: 90,
        cache_mode: 0,
        dynamic_shared: 49_152,
    };
    with_context(|| write(attributes, usual))
}

pub extern "C" fn cudaOccupancyMaxActiveBlocksPerMultiprocessor(
    blocks: *mut i32,
    _function: *const c_void,
    _threads: i32,
    _shared: usize,
) -> i32 {
    with_context(|| write(blocks, 1))
}

pub extern "C" fn cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
    blocks: *mut i32,
    function: *const c_void,
    threads: i32,
    shared: usize,
    _flags: u32,
) -> i32 {
    cudaOccupancyMaxActiveBlocksPerMultiprocessor(blocks, function, threads, shared)
}
