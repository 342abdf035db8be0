//! Arrays: their memory, not their content.

use crate::{INVALID_VALUE, code, gpu, gpu_of};
use kvtrace_cuda_sim::abi::{In, Out};
use kvtrace_cuda_sim::{Device, Error, Result, Shape, arrays};

/// `CUDA_ARRAY_DESCRIPTOR` with sizes of type `T`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Flat<T> {
    width: T,
    height: T,
    format: u32,
    channels: u32,
}

/// `CUDA_ARRAY3D_DESCRIPTOR` with sizes of type `T`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Deep<T> {
    width: T,
    height: T,
    depth: T,
    format: u32,
    channels: u32,
    flags: u32,
}

/// `CUDA_ARRAY_MEMORY_REQUIREMENTS`
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Requirements {
    size: usize,
    alignment: usize,
    reserved: [u32; 4],
}

/// Memory that the program maps in later, or that has none.
const SPARSE_OR_DEFERRED: u32 = 0x40 | 0x80;
/// The depth counts flat arrays, of a stack or of a cube.
const LAYERED_OR_CUBE: u32 = 0x01 | 0x04;

fn owner(handle: u64) -> Result<&'static Device> {
    gpu_of(|gpu| gpu.is_deferred_array(handle) || gpu.find(handle).is_some())
}

/// Bytes of one channel, of the formats that are not compressed.
fn channel(format: u32) -> u64 {
    match format {
        0x02 | 0x09 | 0x10 => 2,
        0x03 | 0x0a | 0x20 => 4,
        0x01 | 0x08 => 1,
        _ => 0,
    }
}

fn create(handle: Out<u64>, sides: [u64; 3], format: u32, channels: u32, levels: u32, flags: u32) -> i32 {
    let [width, height, depth] = sides;
    if handle.is_null() || !matches!(channels, 1 | 2 | 4) {
        return INVALID_VALUE;
    }
    let (depth, layers) = if flags & LAYERED_OR_CUBE != 0 { (0, depth) } else { (depth, 0) };
    let shape = Shape { width, height, depth, layers, element: channel(format) * u64::from(channels) };
    let made = gpu().and_then(|gpu| gpu.create_array(shape, levels, flags & SPARSE_OR_DEFERRED != 0));
    made.map_or_else(Error::code, |got| handle.set(got))
}

fn flat<T: Copy + Into<u64>>(handle: Out<u64>, shape: In<Flat<T>>) -> i32 {
    let Some(shape) = shape.get() else { return INVALID_VALUE };
    create(handle, [shape.width.into(), shape.height.into(), 0], shape.format, shape.channels, 1, 0)
}

fn deep<T: Copy + Into<u64>>(handle: Out<u64>, shape: In<Deep<T>>, levels: u32) -> i32 {
    let Some(shape) = shape.get() else { return INVALID_VALUE };
    let sides = [shape.width.into(), shape.height.into(), shape.depth.into()];
    create(handle, sides, shape.format, shape.channels, levels, shape.flags)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuArrayCreate(handle: Out<u64>, shape: In<Flat<u32>>) -> i32 {
    flat(handle, shape)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuArrayCreate_v2(handle: Out<u64>, shape: In<Flat<u64>>) -> i32 {
    flat(handle, shape)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuArray3DCreate(handle: Out<u64>, shape: In<Deep<u32>>) -> i32 {
    deep(handle, shape, 1)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuArray3DCreate_v2(handle: Out<u64>, shape: In<Deep<u64>>) -> i32 {
    deep(handle, shape, 1)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMipmappedArrayCreate(handle: Out<u64>, shape: In<Deep<u64>>, levels: u32) -> i32 {
    deep(handle, shape, levels)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuArrayDestroy(handle: u64) -> i32 {
    code(owner(handle).and_then(|gpu| gpu.destroy_array(handle)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMipmappedArrayDestroy(handle: u64) -> i32 {
    cuArrayDestroy(handle)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuArrayGetMemoryRequirements(requirements: Out<Requirements>, handle: u64, _device: i32) -> i32 {
    let alignment = arrays::ALIGNMENT as usize;
    let asked = owner(handle).and_then(|gpu| gpu.array_requirement(handle));
    asked.map_or_else(Error::code, |size| {
        requirements.set(Requirements { size: size as usize, alignment, reserved: [0; 4] })
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMipmappedArrayGetMemoryRequirements(
    requirements: Out<Requirements>,
    handle: u64,
    device: i32,
) -> i32 {
    cuArrayGetMemoryRequirements(requirements, handle, device)
}
