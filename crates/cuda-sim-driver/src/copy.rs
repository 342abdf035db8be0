//! Copies and fills, done at once by the CPU: simulated device addresses are ordinary memory.

use kvtrace_cuda_sim::abi::{copy, fill};

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpy(to: u64, from: u64, bytes: usize) -> i32 {
    // SAFETY: the caller promises, as the driver API asks, that both ranges are valid for `bytes`.
    unsafe { copy(to, from, bytes) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyHtoD_v2(to: u64, from: u64, bytes: usize) -> i32 {
    // SAFETY: the caller promises, as the driver API asks, that both ranges are valid for `bytes`.
    unsafe { copy(to, from, bytes) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyDtoH_v2(to: u64, from: u64, bytes: usize) -> i32 {
    // SAFETY: the caller promises, as the driver API asks, that both ranges are valid for `bytes`.
    unsafe { copy(to, from, bytes) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyDtoD_v2(to: u64, from: u64, bytes: usize) -> i32 {
    // SAFETY: the caller promises, as the driver API asks, that both ranges are valid for `bytes`.
    unsafe { copy(to, from, bytes) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyAsync(to: u64, from: u64, bytes: usize, _stream: usize) -> i32 {
    // SAFETY: the caller promises, as the driver API asks, that both ranges are valid for `bytes`.
    unsafe { copy(to, from, bytes) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyHtoDAsync_v2(to: u64, from: u64, bytes: usize, _stream: usize) -> i32 {
    // SAFETY: the caller promises, as the driver API asks, that both ranges are valid for `bytes`.
    unsafe { copy(to, from, bytes) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyDtoHAsync_v2(to: u64, from: u64, bytes: usize, _stream: usize) -> i32 {
    // SAFETY: the caller promises, as the driver API asks, that both ranges are valid for `bytes`.
    unsafe { copy(to, from, bytes) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyDtoDAsync_v2(to: u64, from: u64, bytes: usize, _stream: usize) -> i32 {
    // SAFETY: the caller promises, as the driver API asks, that both ranges are valid for `bytes`.
    unsafe { copy(to, from, bytes) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemsetD8_v2(to: u64, value: u8, count: usize) -> i32 {
    // SAFETY: the caller promises, as the driver API asks, that the range is valid for `count` elements.
    unsafe { fill(to, value, count) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemsetD8Async(to: u64, value: u8, count: usize, _stream: usize) -> i32 {
    // SAFETY: the caller promises, as the driver API asks, that the range is valid for `count` elements.
    unsafe { fill(to, value, count) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemsetD16_v2(to: u64, value: u16, count: usize) -> i32 {
    // SAFETY: the caller promises, as the driver API asks, that the range is valid for `count` elements.
    unsafe { fill(to, value, count) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemsetD16Async(to: u64, value: u16, count: usize, _stream: usize) -> i32 {
    // SAFETY: the caller promises, as the driver API asks, that the range is valid for `count` elements.
    unsafe { fill(to, value, count) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemsetD32_v2(to: u64, value: u32, count: usize) -> i32 {
    // SAFETY: the caller promises, as the driver API asks, that the range is valid for `count` elements.
    unsafe { fill(to, value, count) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemsetD32Async(to: u64, value: u32, count: usize, _stream: usize) -> i32 {
    // SAFETY: the caller promises, as the driver API asks, that the range is valid for `count` elements.
    unsafe { fill(to, value, count) }
}
