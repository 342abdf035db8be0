use super::{Device, Layer, hooks, out};
use crate::effect::{alloc, free, note};
use crate::hooks::shape::{Size, array_bytes as bytes};
use core::ffi::c_void;

const ARRAY: &str = "array";

hooks! { Layer::Driver, i32, ();
    cuArrayCreate as "cuArrayCreate" 2000..3020 (handle: *mut usize, shape: *const c_void) -> 3
        |call, rc| alloc(&call, rc.into(), ARRAY, bytes!(tiled, u32, 2, shape, 1), out!(rc, handle).unwrap_or(0));
    cuArrayCreate_v2 as "cuArrayCreate" 3020..99999 (handle: *mut usize, shape: *const c_void) -> 3
        |call, rc| alloc(&call, rc.into(), ARRAY, bytes!(tiled, Size, 2, shape, 1), out!(rc, handle).unwrap_or(0));
    cuArray3DCreate as "cuArray3DCreate" 2000..3020 (handle: *mut usize, shape: *const c_void) -> 3
        |call, rc| alloc(&call, rc.into(), ARRAY, bytes!(tiled, u32, 3, shape, 1), out!(rc, handle).unwrap_or(0));
    cuArray3DCreate_v2 as "cuArray3DCreate" 3020..99999 (handle: *mut usize, shape: *const c_void) -> 3
        |call, rc| alloc(&call, rc.into(), ARRAY, bytes!(tiled, Size, 3, shape, 1), out!(rc, handle).unwrap_or(0));
    cuArrayDestroy as "cuArrayDestroy" 2000..99999 (handle: usize) -> 3
        |call, rc| free(&call, rc.into(), ARRAY, handle as u64);
    cuMipmappedArrayCreate as "cuMipmappedArrayCreate" 5000..99999
        (handle: *mut usize, shape: *const c_void, levels: u32) -> 3
        |call, rc| alloc(&call, rc.into(), ARRAY, bytes!(tiled, Size, 3, shape, levels), out!(rc, handle).unwrap_or(0));
    cuMipmappedArrayDestroy as "cuMipmappedArrayDestroy" 5000..99999 (handle: usize) -> 3
        |call, rc| free(&call, rc.into(), ARRAY, handle as u64);
    cuArrayGetMemoryRequirements as "cuArrayGetMemoryRequirements" 11060..99999
        (requirements: *mut usize, handle: usize, dev: Device) -> 3
        |call, rc| note(&call, rc.into(), handle as u64, out!(rc, requirements).unwrap_or(0));
    cuMipmappedArrayGetMemoryRequirements as "cuMipmappedArrayGetMemoryRequirements" 11060..99999
        (requirements: *mut usize, handle: usize, dev: Device) -> 3
        |call, rc| note(&call, rc.into(), handle as u64, out!(rc, requirements).unwrap_or(0));
}
