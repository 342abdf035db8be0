use super::layouts::{Extent, pitched};
use super::{Layer, Pointer, hooks, out};
use crate::effect::{alloc, free};

const DEVICE: &str = "device";

hooks! { Layer::Hip, i32, ();
    hipMalloc as "hipMalloc" 0..0 (at: *mut Pointer, size: usize) -> 3
        |call, rc| alloc(&call, rc.into(), DEVICE, size as u64, out!(rc, at).unwrap_or(0));
    hipExtMallocWithFlags as "hipExtMallocWithFlags" 0..0 (at: *mut Pointer, size: usize, flags: u32) -> 3
        |call, rc| alloc(&call, rc.into(), DEVICE, size as u64, out!(rc, at).unwrap_or(0));
    hipMallocPitch as "hipMallocPitch" 0..0
        (at: *mut Pointer, pitch: *mut usize, width: usize, height: usize) -> 3
        |call, rc| {
            let taken = out!(rc, pitch).unwrap_or(width as u64).saturating_mul(height as u64);
            alloc(&call, rc.into(), DEVICE, taken, out!(rc, at).unwrap_or(0));
        };
    hipMemAllocPitch as "hipMemAllocPitch" 0..0
        (at: *mut Pointer, pitch: *mut usize, width: usize, height: usize, element: u32) -> 3
        |call, rc| {
            let taken = out!(rc, pitch).unwrap_or(width as u64).saturating_mul(height as u64);
            alloc(&call, rc.into(), DEVICE, taken, out!(rc, at).unwrap_or(0));
        };
    hipMalloc3D as "hipMalloc3D" 0..0 (at: *mut usize, extent: Extent) -> 3
        |call, rc| {
            // SAFETY: HIP has written it if it succeeded.
            let (at, taken) = unsafe { pitched(rc, at, extent) };
            alloc(&call, rc.into(), DEVICE, taken, at);
        };
    hipFree as "hipFree" 0..0 (at: Pointer) -> 3
        |call, rc| free(&call, rc.into(), DEVICE, at as u64);
}
