//! Structures of the programs' and libraries' that rows read, as far as they say what memory a call is about. HIP lays
//! them out as CUDA does, so both use these.

use core::ffi::c_void;

/// `CUmemLocation` or `hipMemLocation` by value: type in the low half, id in the high one.
pub type Location = u64;

/// `…MemLocationTypeDevice`
const ON_DEVICE: i32 = 1;

/// The device that a location names, -1 for the host.
pub fn device_of(location: Location) -> i32 {
    if location as i32 == ON_DEVICE { (location >> 32) as i32 } else { -1 }
}

/// Kind and device of a `CUmemAllocationProp`, a `CUmemPoolProps` or one of HIP's, which begin alike: the location is the
/// third and fourth word.
pub fn place(properties: *const c_void) -> (&'static str, i32) {
    if properties.is_null() {
        return ("vmm", -1);
    }
    let words = properties.cast::<i32>();
    // SAFETY: the program's properties, which the library has just read.
    let (kind, id) = unsafe { (words.add(2).read_unaligned(), words.add(3).read_unaligned()) };
    if kind == ON_DEVICE { ("vmm", id) } else { ("vmm-host", -1) }
}

/// `cudaExtent` or `hipExtent`, by value.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Extent {
    width: usize,
    height: usize,
    depth: usize,
}

impl Extent {
    /// With the sides that are given; 0 for a dimension that is not there.
    pub fn new(width: usize, height: usize, depth: usize) -> Extent {
        Extent { width, height, depth }
    }

    /// Width, height and depth.
    pub fn sides(self) -> [u64; 3] {
        [self.width as u64, self.height as u64, self.depth as u64]
    }
}

/// Address and bytes of a `…PitchedPtr`, which begins with address and pitch, over `extent`.
///
/// # Safety
/// `pitched` is NULL or, after success, was written by the library.
pub unsafe fn pitched(rc: i32, pitched: *const usize, extent: Extent) -> (u64, u64) {
    if rc != 0 || pitched.is_null() {
        return (0, 0);
    }
    // SAFETY: the caller's promise.
    let (at, pitch) = unsafe { (pitched.read_unaligned(), pitched.add(1).read_unaligned()) };
    (at as u64, (pitch as u64).saturating_mul(extent.height as u64).saturating_mul(extent.depth as u64))
}

/// Word of `totalGlobalMem` in the device properties: behind the name (256 bytes), the UUID (16), the LUID (8) and its
/// mask (4). HIP before 6.0 had it right behind the name.
pub const TOTAL: usize = 288 / size_of::<usize>();
/// See [`TOTAL`].
pub const OLD_HIP_TOTAL: usize = 256 / size_of::<usize>();

/// Where the word of the device properties at `field` is; NULL if there are none.
pub fn word_of(properties: *mut usize, field: usize) -> *mut usize {
    if properties.is_null() { properties } else { properties.wrapping_add(field) }
}

/// `CUipcMemHandle`, `hipIpcMemHandle_t`, by value.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct IpcHandle([u8; 64]);

/// Bytes of a `CUDA_EXTERNAL_MEMORY_HANDLE_DESC` or `hipExternalMemoryHandleDesc`: behind the type and a union of two
/// pointers.
pub fn external_bytes(description: *const c_void) -> u64 {
    if description.is_null() {
        return 0;
    }
    // SAFETY: the program's description, which the library has just read.
    unsafe { description.cast::<u64>().add(3).read_unaligned() }
}

/// Word of the bytes and of the address in a `…MemAllocNodeParams`: behind the pool's properties (88 bytes) and the
/// list of who may use it.
pub const NODE_BYTES: usize = 13;
/// See [`NODE_BYTES`].
pub const NODE_ADDRESS: usize = 14;

/// A word of a memory node's parameters.
pub fn node(parameters: *const c_void, field: usize) -> u64 {
    if parameters.is_null() {
        return 0;
    }
    // SAFETY: the program's parameters, which the library has just read and filled in.
    unsafe { parameters.cast::<u64>().add(field).read_unaligned() }
}

/// Ranges beyond it are left out of a sum: a hook makes no long loops over the program's data.
const MOST_RANGES: usize = 4096;

/// Sum of an array of sizes.
pub fn sum(sizes: *const usize, count: usize) -> u64 {
    if sizes.is_null() {
        return 0;
    }
    // SAFETY: the program's array of `count` sizes, which the library has just read.
    (0..count.min(MOST_RANGES))
        .fold(0u64, |sum, at| sum.saturating_add(unsafe { sizes.add(at).read_unaligned() } as u64))
}
