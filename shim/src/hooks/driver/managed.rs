use super::{Device, Layer, Location, Pointer, Stream, hooks, out};
use crate::effect::{alloc, note, prefetch};
use crate::hooks::layouts::{device_of, sum};
use core::ffi::c_void;

const MANAGED: &str = "managed";

// Managed memory is nobody's until it is touched; where its pages are is the driver's and the kernel's affair. Only a
// prefetch says where a range is meant to be.
hooks! { Layer::Driver, i32, ();
    cuMemAllocManaged as "cuMemAllocManaged" 6000..99999 (at: *mut Pointer, size: usize, flags: u32) -> 3
        |call, rc| alloc(&call, rc.into(), MANAGED, size as u64, out!(rc, at).unwrap_or(0));

    cuMemPrefetchAsync as "cuMemPrefetchAsync" 8000..12020
        (at: Pointer, size: usize, dev: Device, stream: Stream) -> 3
        |call, rc| prefetch(&call, rc.into(), at, size as u64, dev);
    cuMemPrefetchAsync_ptsz as "cuMemPrefetchAsync" 8000..12020 [per_thread]
        (at: Pointer, size: usize, dev: Device, stream: Stream) -> 3
        |call, rc| prefetch(&call, rc.into(), at, size as u64, dev);
    cuMemPrefetchAsync_v2 as "cuMemPrefetchAsync" 12020..99999
        (at: Pointer, size: usize, location: Location, flags: u32, stream: Stream) -> 3
        |call, rc| prefetch(&call, rc.into(), at, size as u64, device_of(location));
    cuMemPrefetchAsync_v2_ptsz as "cuMemPrefetchAsync" 12020..99999 [per_thread]
        (at: Pointer, size: usize, location: Location, flags: u32, stream: Stream) -> 3
        |call, rc| prefetch(&call, rc.into(), at, size as u64, device_of(location));
    cuMemAdvise as "cuMemAdvise" 8000..12020 (at: Pointer, size: usize, advice: i32, dev: Device) -> 3
        |call, rc| note(&call, rc.into(), at, size as u64);
    cuMemAdvise_v2 as "cuMemAdvise" 12020..99999 (at: Pointer, size: usize, advice: i32, location: Location) -> 3
        |call, rc| note(&call, rc.into(), at, size as u64);

    cuMemPrefetchBatchAsync as "cuMemPrefetchBatchAsync" 13000..99999
        (at: *mut Pointer, sizes: *mut usize, count: usize, places: *mut c_void, indices: *mut usize, number: usize,
            flags: u64, stream: Stream) -> 3
        |call, rc| note(&call, rc.into(), 0, sum(sizes, count));
    cuMemPrefetchBatchAsync_ptsz as "cuMemPrefetchBatchAsync" 13000..99999 [per_thread]
        (at: *mut Pointer, sizes: *mut usize, count: usize, places: *mut c_void, indices: *mut usize, number: usize,
            flags: u64, stream: Stream) -> 3
        |call, rc| note(&call, rc.into(), 0, sum(sizes, count));
    cuMemDiscardBatchAsync as "cuMemDiscardBatchAsync" 13000..99999
        (at: *mut Pointer, sizes: *mut usize, count: usize, flags: u64, stream: Stream) -> 3
        |call, rc| note(&call, rc.into(), 0, sum(sizes, count));
    cuMemDiscardBatchAsync_ptsz as "cuMemDiscardBatchAsync" 13000..99999 [per_thread]
        (at: *mut Pointer, sizes: *mut usize, count: usize, flags: u64, stream: Stream) -> 3
        |call, rc| note(&call, rc.into(), 0, sum(sizes, count));
    cuMemDiscardAndPrefetchBatchAsync as "cuMemDiscardAndPrefetchBatchAsync" 13000..99999
        (at: *mut Pointer, sizes: *mut usize, count: usize, places: *mut c_void, indices: *mut usize, number: usize,
            flags: u64, stream: Stream) -> 3
        |call, rc| note(&call, rc.into(), 0, sum(sizes, count));
    cuMemDiscardAndPrefetchBatchAsync_ptsz as "cuMemDiscardAndPrefetchBatchAsync" 13000..99999 [per_thread]
        (at: *mut Pointer, sizes: *mut usize, count: usize, places: *mut c_void, indices: *mut usize, number: usize,
            flags: u64, stream: Stream) -> 3
        |call, rc| note(&call, rc.into(), 0, sum(sizes, count));
    cuStreamAttachMemAsync as "cuStreamAttachMemAsync" 6000..99999
        (stream: Stream, at: Pointer, size: usize, flags: u32) -> 3
        |call, rc| note(&call, rc.into(), at, size as u64);
    cuStreamAttachMemAsync_ptsz as "cuStreamAttachMemAsync" 7000..99999 [per_thread]
        (stream: Stream, at: Pointer, size: usize, flags: u32) -> 3
        |call, rc| note(&call, rc.into(), at, size as u64);
}
