//! Modules and functions: handles only. No kernel runs.

use crate::SUCCESS;
use crate::stream::fresh_handle;
use kvtrace_cuda_sim::abi::Out;

#[unsafe(no_mangle)]
pub extern "C" fn cuModuleLoad(handle: Out<usize>, _path: usize) -> i32 {
    handle.set(fresh_handle())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuModuleLoadData(handle: Out<usize>, _image: usize) -> i32 {
    handle.set(fresh_handle())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuModuleLoadDataEx(
    handle: Out<usize>,
    _image: usize,
    _count: usize,
    _options: usize,
    _values: usize,
) -> i32 {
    handle.set(fresh_handle())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuModuleLoadFatBinary(handle: Out<usize>, _image: usize) -> i32 {
    handle.set(fresh_handle())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuModuleGetFunction(handle: Out<usize>, _module: usize, _name: usize) -> i32 {
    handle.set(fresh_handle())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuLibraryLoadData(
    handle: Out<usize>,
    _image: usize,
    _options: usize,
    _option_values: usize,
    _options_count: usize,
    _library_options: usize,
    _library_values: usize,
) -> i32 {
    handle.set(fresh_handle())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuLibraryLoadFromFile(
    handle: Out<usize>,
    _path: usize,
    _options: usize,
    _option_values: usize,
    _options_count: usize,
    _library_options: usize,
    _library_values: usize,
) -> i32 {
    handle.set(fresh_handle())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuLibraryGetKernel(handle: Out<usize>, _library: usize, _name: usize) -> i32 {
    handle.set(fresh_handle())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuLibraryGetModule(handle: Out<usize>, _library: usize) -> i32 {
    handle.set(fresh_handle())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuKernelGetFunction(handle: Out<usize>, _kernel: usize) -> i32 {
    handle.set(fresh_handle())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuLinkCreate_v2(handle: Out<usize>, _count: usize, _options: usize, _values: usize) -> i32 {
    handle.set(fresh_handle())
}

/// Attribute 0 is the most threads of a block; registers, shared and local memory of a kernel that never ran read 0.
#[unsafe(no_mangle)]
pub extern "C" fn cuFuncGetAttribute(value: Out<i32>, attribute: i32, _function: usize) -> i32 {
    value.set(if attribute == 0 { 1024 } else { 0 })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuKernelGetAttribute(value: Out<i32>, attribute: i32, function: usize, _device: i32) -> i32 {
    cuFuncGetAttribute(value, attribute, function)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuOccupancyMaxActiveBlocksPerMultiprocessor(
    blocks: Out<i32>,
    _function: usize,
    _threads: i32,
    _shared: usize,
) -> i32 {
    blocks.set(1)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
    blocks: Out<i32>,
    function: usize,
    threads: i32,
    shared: usize,
    _flags: u32,
) -> i32 {
    cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks, function, threads, shared)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuOccupancyMaxPotentialBlockSize(
    grid: Out<i32>,
    block: Out<i32>,
    _function: usize,
    _shared_of_block: usize,
    _shared: usize,
    _limit: i32,
) -> i32 {
    grid.offer(1);
    block.offer(1024);
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuModuleGetLoadingMode(mode: Out<i32>) -> i32 {
    mode.set(2)
}
