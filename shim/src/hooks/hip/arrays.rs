use super::layouts::Extent;
use super::{Handle, Layer, hooks, out};
use crate::effect::{alloc, free};
use crate::hooks::shape::{Shape, Size, array_bytes as bytes};
use core::ffi::c_void;

const ARRAY: &str = "array";

/// Bytes of an array of `extent` elements, each with the bits that a `hipChannelFormatDesc` says.
fn of_channels(channels: *const c_void, extent: Extent, levels: u32, flags: u32) -> u64 {
    // SAFETY: the program's descriptor, which HIP has just read.
    unsafe { Shape::of_channels(channels, extent, flags) }.map_or(0, |shape| shape.plain(levels))
}

hooks! { Layer::Hip, i32, ();
    hipArrayCreate as "hipArrayCreate" 0..0 (handle: *mut Handle, shape: *const c_void) -> 3
        |call, rc| alloc(&call, rc.into(), ARRAY, bytes!(plain, Size, 2, shape, 1), out!(rc, handle).unwrap_or(0));
    hipArray3DCreate as "hipArray3DCreate" 0..0 (handle: *mut Handle, shape: *const c_void) -> 3
        |call, rc| alloc(&call, rc.into(), ARRAY, bytes!(plain, Size, 3, shape, 1), out!(rc, handle).unwrap_or(0));
    hipMallocArray as "hipMallocArray" 0..0
        (handle: *mut Handle, channels: *const c_void, width: usize, height: usize, flags: u32) -> 3
        |call, rc| {
            let taken = of_channels(channels, Extent::new(width, height, 0), 1, flags);
            alloc(&call, rc.into(), ARRAY, taken, out!(rc, handle).unwrap_or(0));
        };
    hipMalloc3DArray as "hipMalloc3DArray" 0..0
        (handle: *mut Handle, channels: *const c_void, extent: Extent, flags: u32) -> 3
        |call, rc| {
            let taken = of_channels(channels, extent, 1, flags);
            alloc(&call, rc.into(), ARRAY, taken, out!(rc, handle).unwrap_or(0));
        };
    hipArrayDestroy as "hipArrayDestroy" 0..0 (handle: Handle) -> 3
        |call, rc| free(&call, rc.into(), ARRAY, handle as u64);
    hipFreeArray as "hipFreeArray" 0..0 (handle: Handle) -> 3
        |call, rc| free(&call, rc.into(), ARRAY, handle as u64);
    hipMipmappedArrayCreate as "hipMipmappedArrayCreate" 0..0
        (handle: *mut Handle, shape: *const c_void, levels: u32) -> 3
        |call, rc| alloc(&call, rc.into(), ARRAY, bytes!(plain, Size, 3, shape, levels), out!(rc, handle).unwrap_or(0));
    hipMallocMipmappedArray as "hipMallocMipmappedArray" 0..0
        (handle: *mut Handle, channels: *const c_void, extent: Extent, levels: u32, flags: u32) -> 3
        |call, rc| {
            let taken = of_channels(channels, extent, levels, flags);
            alloc(&call, rc.into(), ARRAY, taken, out!(rc, handle).unwrap_or(0));
        };
    hipMipmappedArrayDestroy as "hipMipmappedArrayDestroy" 0..0 (handle: Handle) -> 3
        |call, rc| free(&call, rc.into(), ARRAY, handle as u64);
    hipFreeMipmappedArray as "hipFreeMipmappedArray" 0..0 (handle: Handle) -> 3
        |call, rc| free(&call, rc.into(), ARRAY, handle as u64);
}
