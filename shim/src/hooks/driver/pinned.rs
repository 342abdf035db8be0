use super::{Layer, hooks, out};
use crate::effect::{alloc, free};

const HOST: &str = "host";
/// Pages that the program had before, and that are pinned now.
const REGISTERED: &str = "registered";

hooks! { Layer::Driver, i32, ();
    cuMemAllocHost as "cuMemAllocHost" 2000..3020 (at: *mut usize, size: u32) -> 3
        |call, rc| alloc(&call, rc.into(), HOST, size.into(), out!(rc, at).unwrap_or(0));
    cuMemAllocHost_v2 as "cuMemAllocHost" 3020..99999 (at: *mut usize, size: usize) -> 3
        |call, rc| alloc(&call, rc.into(), HOST, size as u64, out!(rc, at).unwrap_or(0));
    cuMemHostAlloc as "cuMemHostAlloc" 2020..99999 (at: *mut usize, size: usize, flags: u32) -> 3
        |call, rc| alloc(&call, rc.into(), HOST, size as u64, out!(rc, at).unwrap_or(0));
    cuMemFreeHost as "cuMemFreeHost" 2000..99999 (at: usize) -> 3
        |call, rc| free(&call, rc.into(), HOST, at as u64);
    cuMemHostRegister as "cuMemHostRegister" 4000..6050 (at: usize, size: usize, flags: u32) -> 3
        |call, rc| alloc(&call, rc.into(), REGISTERED, size as u64, at as u64);
    cuMemHostRegister_v2 as "cuMemHostRegister" 6050..99999 (at: usize, size: usize, flags: u32) -> 3
        |call, rc| alloc(&call, rc.into(), REGISTERED, size as u64, at as u64);
    cuMemHostUnregister as "cuMemHostUnregister" 4000..99999 (at: usize) -> 3
        |call, rc| free(&call, rc.into(), REGISTERED, at as u64);
}
