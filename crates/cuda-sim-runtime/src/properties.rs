//! `cudaDeviceProp`: where each field lies in the structures of CUDA 12 and 13.

use crate::context::{with_context, with_driver};
use crate::driver;
use crate::error::{INVALID_VALUE, SUCCESS};
use crate::pointer::out;
use crate::version::major;
use core::ffi::c_char;

/// Size of the structure of CUDA 12, the larger one.
const SIZE_12: usize = 1032;
const SIZE_13: usize = 1008;
/// `cudaGetDeviceProperties` of CUDA 12 serves programs built for 11, whose structure is the beginning of the newer one.
const SIZE_11: usize = 728;

const NAME: usize = 0;
const NAME_SIZE: i32 = 256;
const UUID: usize = 256;
const TOTAL: usize = 288;

enum Width {
    Four,
    Eight,
}
use Width::{Eight, Four};

/// Number of the attribute, its offset in CUDA 12 and in CUDA 13, and its width.
type Field = (i32, usize, usize, Width);

const FIELDS: &[Field] = &[
    (8, 296, 296, Eight),  // sharedMemPerBlock
    (12, 304, 304, Four),  // regsPerBlock
    (10, 308, 308, Four),  // warpSize
    (11, 312, 312, Eight), // memPitch
    (1, 320, 320, Four),   // maxThreadsPerBlock
    (2, 324, 324, Four),   // maxThreadsDim
    (3, 328, 328, Four),
    (4, 332, 332, Four),
    (5, 336, 336, Four), // maxGridSize
    (6, 340, 340, Four),
    (7, 344, 344, Four),
    (9, 352, 352, Eight),  // totalConstMem
    (75, 360, 360, Four),  // major
    (76, 364, 364, Four),  // minor
    (16, 388, 384, Four),  // multiProcessorCount
    (18, 396, 388, Four),  // integrated
    (19, 400, 392, Four),  // canMapHostMemory
    (31, 576, 560, Four),  // concurrentKernels
    (33, 584, 568, Four),  // pciBusID
    (40, 600, 584, Four),  // asyncEngineCount
    (41, 604, 588, Four),  // unifiedAddressing
    (37, 612, 592, Four),  // memoryBusWidth
    (38, 616, 596, Four),  // l2CacheSize
    (39, 624, 604, Four),  // maxThreadsPerMultiProcessor
    (81, 640, 624, Eight), // sharedMemPerMultiprocessor
    (82, 648, 632, Four),  // regsPerMultiprocessor
    (83, 652, 636, Four),  // managedMemory
    (88, 672, 652, Four),  // pageableMemoryAccess
    (89, 676, 656, Four),  // concurrentManagedAccess
    (95, 688, 668, Four),  // cooperativeLaunch
    (97, 696, 672, Eight), // sharedMemPerBlockOptin
    (106, 712, 688, Four), // maxBlocksPerMultiProcessor
    (115, 744, 720, Four), // memoryPoolsSupported
];

/// Which of the structures a function fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Eleven,
    Twelve,
    Thirteen,
}

impl Layout {
    fn size(self) -> usize {
        match self {
            Layout::Eleven => SIZE_11,
            Layout::Twelve => SIZE_12,
            Layout::Thirteen => SIZE_13,
        }
    }
}

/// The structure's bytes, with the attributes that `read` gives.
fn filled(layout: Layout, read: impl Fn(i32) -> i32) -> [u8; SIZE_12] {
    let mut bytes = [0; SIZE_12];
    for (attribute, twelve, thirteen, width) in FIELDS {
        let start = if layout == Layout::Thirteen { *thirteen } else { *twelve };
        let value = read(*attribute);
        match width {
            Four => bytes[start..start + 4].copy_from_slice(&value.to_ne_bytes()),
            Eight => bytes[start..start + 8].copy_from_slice(&i64::from(value).to_ne_bytes()),
        }
    }
    bytes
}

fn properties(place: *mut u8, device: i32, layout: Layout) -> i32 {
    let attribute = |number| {
        let mut value = 0;
        driver::cuDeviceGetAttribute(&mut value, number, device);
        value
    };
    with_driver(|| {
        if place.is_null() {
            return INVALID_VALUE;
        }
        let mut total = 0usize;
        match driver::cuDeviceTotalMem(&mut total, device) {
            SUCCESS => {}
            failure => return failure,
        }
        let mut bytes = filled(layout, attribute);
        let mut uuid = [0; 16];
        driver::cuDeviceGetName(bytes[NAME..].as_mut_ptr().cast::<c_char>(), NAME_SIZE, device);
        driver::cuDeviceGetUuid(&mut uuid, device);
        bytes[UUID..UUID + 16].copy_from_slice(&uuid);
        bytes[TOTAL..TOTAL + 8].copy_from_slice(&total.to_ne_bytes());
        // SAFETY: the caller has room for the structure of this layout.
        unsafe { out(place).set_all(&bytes[..layout.size()]) };
        SUCCESS
    })
}

pub extern "C" fn cudaGetDeviceProperties(place: *mut u8, device: i32) -> i32 {
    properties(place, device, if major() >= 13 { Layout::Thirteen } else { Layout::Eleven })
}

/// `cudaGetDeviceProperties_v2`, which CUDA 12 alone has.
pub fn properties_of_12(place: *mut u8, device: i32) -> i32 {
    properties(place, device, Layout::Twelve)
}

pub extern "C" fn cudaDeviceGetAttribute(value: *mut i32, attribute: i32, device: i32) -> i32 {
    with_driver(|| driver::cuDeviceGetAttribute(value, attribute, device))
}

pub extern "C" fn cudaDeviceGetPCIBusId(text: *mut c_char, size: i32, device: i32) -> i32 {
    with_driver(|| driver::cuDeviceGetPCIBusId(text, size, device))
}

pub extern "C" fn cudaDeviceGetByPCIBusId(device: *mut i32, text: *const c_char) -> i32 {
    with_driver(|| driver::cuDeviceGetByPCIBusId(device, text))
}

pub extern "C" fn cudaDeviceCanAccessPeer(able: *mut i32, device: i32, peer: i32) -> i32 {
    with_context(|| driver::cuDeviceCanAccessPeer(able, device, peer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(bytes: &[u8], at: usize) -> i32 {
        i32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
    }

    #[test]
    fn the_processor_count_moved_in_13() {
        assert_eq!(word(&filled(Layout::Eleven, |attribute| attribute), 388), 16);
        assert_eq!(word(&filled(Layout::Twelve, |attribute| attribute), 396), 18);
        assert_eq!(word(&filled(Layout::Thirteen, |attribute| attribute), 384), 16);
        assert_eq!(word(&filled(Layout::Thirteen, |attribute| attribute), 388), 18);
    }

    #[test]
    fn no_two_fields_overlap() {
        for side in [|field: &Field| field.1, |field: &Field| field.2] {
            let mut spans: Vec<_> =
                FIELDS.iter().map(|field| (side(field), if matches!(field.3, Eight) { 8 } else { 4 })).collect();
            spans.sort_unstable();
            assert!(spans.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "{spans:?}");
        }
    }
}
