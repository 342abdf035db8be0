//! `cuDeviceGetAttribute`.

use crate::INVALID_VALUE;
use crate::device::{bus, on_device};
use kvtrace_cuda_sim::Profile;
use kvtrace_cuda_sim::abi::Out;

/// Highest attribute that is known; what lies below and is not listed reads 0.
const LAST: i32 = 200;
const PCI_BUS: i32 = 33;

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetAttribute(value: Out<i32>, attribute: i32, device: i32) -> i32 {
    on_device(device, |gpu| match attribute {
        PCI_BUS => value.set(bus(gpu) as i32),
        1..LAST => value.set(attribute_of(gpu.profile(), attribute)),
        _ => INVALID_VALUE,
    })
}

/// The value of a `CUdevice_attribute`, by its number in `cuda.h`.
fn attribute_of(profile: &Profile, attribute: i32) -> i32 {
    let data_centre = profile.threads >= 2048;
    let unified = i32::from(profile.unified);
    let host_tables = i32::from(profile.unified || profile.numa.is_some());
    match attribute {
        1..=3 => 1024,                              // threads per block; block x, y
        4 => 64,                                    // block z
        5 => i32::MAX,                              // grid x
        6 | 7 => 65_535,                            // grid y, z
        8 => 49_152,                                // shared memory per block
        9 => 65_536,                                // constant memory
        10 => 32,                                   // warp
        11 => i32::MAX,                             // pitch
        12 | 82 => 65_536,                          // registers per block, per multiprocessor
        13 => 2_418_000,                            // clock in kHz
        14 => 512,                                  // texture alignment
        15 | 19 | 31 | 41 | 78 | 79 | 80 | 83 => 1, // overlap, map host, concurrent kernels, UVA, priorities, L1, managed
        16 => profile.multiprocessors,
        18 => unified,   // integrated
        36 => 4_266_000, // memory clock in kHz
        37 => profile.bus_bits,
        38 => profile.l2_bytes,
        39 => profile.threads, // of a multiprocessor
        40 => 2,               // copy engines
        75 => profile.capability.0,
        76 => profile.capability.1,
        81 => profile.shared,    // of a multiprocessor
        88 | 100 => host_tables, // pageable access, by the host's page tables
        86 | 101 => unified,     // host atomics, direct managed access
        87 => {
            if data_centre {
                2
            } else {
                64
            }
        } // single to double ratio
        89..=91 | 95 | 99 | 102 => 1, // concurrent managed, preemption, registered pointers, cooperative, register, VMM
        97 => profile.shared_of_block,
        106 => profile.blocks,                    // of a multiprocessor
        108 => profile.l2_bytes / 2,              // persisting L2
        109 => 128 << 20,                         // access policy window
        111 => 1024,                              // shared memory reserved per block
        115 | 120 | 122 | 127 | 129 => 1, // pools, clusters, 64-bit stream operations, tensor maps, function pointers
        130 => i32::from(profile.numa.is_some()), // the device's memory is a NUMA node
        131 => profile.numa.unwrap_or(-1), // which
        _ => 0,
    }
}
