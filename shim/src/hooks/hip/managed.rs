use super::layouts::{device_of, sum};
use super::{Device, Layer, Location, Pointer, Stream, hooks, out};
use crate::effect::{alloc, note, prefetch};
use core::ffi::c_void;

const MANAGED: &str = "managed";

hooks! { Layer::Hip, i32, ();
    hipMallocManaged as "hipMallocManaged" 0..0 (at: *mut Pointer, size: usize, flags: u32) -> 3
        |call, rc| alloc(&call, rc.into(), MANAGED, size as u64, out!(rc, at).unwrap_or(0));
    hipMemPrefetchAsync as "hipMemPrefetchAsync" 0..0 (at: Pointer, size: usize, dev: Device, stream: Stream) -> 3
        |call, rc| prefetch(&call, rc.into(), at as u64, size as u64, dev);
    hipMemPrefetchAsync_v2 as "hipMemPrefetchAsync" 0..0
        (at: Pointer, size: usize, location: Location, flags: u32, stream: Stream) -> 3
        |call, rc| prefetch(&call, rc.into(), at as u64, size as u64, device_of(location));
    hipMemPrefetchBatchAsync as "hipMemPrefetchBatchAsync" 0..0
        (at: *mut Pointer, sizes: *mut usize, count: usize, places: *mut c_void, indices: *mut usize, number: usize,
            flags: u64, stream: Stream) -> 3
        |call, rc| note(&call, rc.into(), 0, sum(sizes, count));
    hipMemAdvise as "hipMemAdvise" 0..0 (at: Pointer, size: usize, advice: i32, dev: Device) -> 3
        |call, rc| note(&call, rc.into(), at as u64, size as u64);
    hipMemAdvise_v2 as "hipMemAdvise" 0..0 (at: Pointer, size: usize, advice: i32, location: Location) -> 3
        |call, rc| note(&call, rc.into(), at as u64, size as u64);
    hipStreamAttachMemAsync as "hipStreamAttachMemAsync" 0..0
        (stream: Stream, at: Pointer, size: usize, flags: u32) -> 3
        |call, rc| note(&call, rc.into(), at as u64, size as u64);
}
