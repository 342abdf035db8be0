use super::{Layer, Pointer, hooks, out};
use crate::effect::{alloc, free};

const HOST: &str = "host";
/// Pages that the program had before, and that are pinned now.
const REGISTERED: &str = "registered";

hooks! { Layer::Hip, i32, ();
    hipHostMalloc as "hipHostMalloc" 0..0 (at: *mut Pointer, size: usize, flags: u32) -> 3
        |call, rc| alloc(&call, rc.into(), HOST, size as u64, out!(rc, at).unwrap_or(0));
    hipHostAlloc as "hipHostAlloc" 0..0 (at: *mut Pointer, size: usize, flags: u32) -> 3
        |call, rc| alloc(&call, rc.into(), HOST, size as u64, out!(rc, at).unwrap_or(0));
    hipMallocHost as "hipMallocHost" 0..0 (at: *mut Pointer, size: usize) -> 3
        |call, rc| alloc(&call, rc.into(), HOST, size as u64, out!(rc, at).unwrap_or(0));
    hipMemAllocHost as "hipMemAllocHost" 0..0 (at: *mut Pointer, size: usize) -> 3
        |call, rc| alloc(&call, rc.into(), HOST, size as u64, out!(rc, at).unwrap_or(0));
    hipHostFree as "hipHostFree" 0..0 (at: Pointer) -> 3
        |call, rc| free(&call, rc.into(), HOST, at as u64);
    hipFreeHost as "hipFreeHost" 0..0 (at: Pointer) -> 3
        |call, rc| free(&call, rc.into(), HOST, at as u64);
    hipHostRegister as "hipHostRegister" 0..0 (at: Pointer, size: usize, flags: u32) -> 3
        |call, rc| alloc(&call, rc.into(), REGISTERED, size as u64, at as u64);
    hipHostUnregister as "hipHostUnregister" 0..0 (at: Pointer) -> 3
        |call, rc| free(&call, rc.into(), REGISTERED, at as u64);
}
