use super::{Layer, Pointer, hooks, out};
use crate::effect::{alloc, free};

const DEVICE: &str = "device";

hooks! { Layer::Driver, i32, ();
    cuMemAlloc as "cuMemAlloc" 2000..3020 (at: *mut u32, size: u32) -> 3
        |call, rc| alloc(&call, rc.into(), DEVICE, size.into(), out!(rc, at).unwrap_or(0));
    cuMemAlloc_v2 as "cuMemAlloc" 3020..99999 (at: *mut Pointer, size: usize) -> 3
        |call, rc| alloc(&call, rc.into(), DEVICE, size as u64, out!(rc, at).unwrap_or(0));
    cuMemAllocPitch as "cuMemAllocPitch" 2000..3020
        (at: *mut u32, pitch: *mut u32, width: u32, height: u32, element: u32) -> 3
        |call, rc| {
            let taken = out!(rc, pitch).unwrap_or(width.into()).saturating_mul(height.into());
            alloc(&call, rc.into(), DEVICE, taken, out!(rc, at).unwrap_or(0));
        };
    cuMemAllocPitch_v2 as "cuMemAllocPitch" 3020..99999
        (at: *mut Pointer, pitch: *mut usize, width: usize, height: usize, element: u32) -> 3
        |call, rc| {
            let taken = out!(rc, pitch).unwrap_or(width as u64).saturating_mul(height as u64);
            alloc(&call, rc.into(), DEVICE, taken, out!(rc, at).unwrap_or(0));
        };
    cuMemFree as "cuMemFree" 2000..3020 (at: u32) -> 3
        |call, rc| free(&call, rc.into(), DEVICE, at.into());
    cuMemFree_v2 as "cuMemFree" 3020..99999 (at: Pointer) -> 3
        |call, rc| free(&call, rc.into(), DEVICE, at);
}
