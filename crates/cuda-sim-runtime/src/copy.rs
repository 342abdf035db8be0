//! Copies and fills. The direction is not looked at: host and device share one address space.

use crate::context::with_context;
use crate::driver::{self, Address, Handle};
use crate::error::SUCCESS;
use core::ffi::c_void;

pub extern "C" fn cudaMemcpy(to: *mut c_void, from: *const c_void, bytes: usize, _direction: i32) -> i32 {
    with_context(|| driver::cuMemcpy(to as Address, from as Address, bytes))
}

pub extern "C" fn cudaMemcpyAsync(
    to: *mut c_void,
    from: *const c_void,
    bytes: usize,
    _direction: i32,
    stream: Handle,
) -> i32 {
    with_context(|| driver::cuMemcpyAsync(to as Address, from as Address, bytes, stream))
}

pub extern "C" fn cudaMemcpyPeer(
    to: *mut c_void,
    _to_device: i32,
    from: *const c_void,
    _from_device: i32,
    bytes: usize,
) -> i32 {
    cudaMemcpy(to, from, bytes, 0)
}

pub extern "C" fn cudaMemcpyPeerAsync(
    to: *mut c_void,
    _to_device: i32,
    from: *const c_void,
    _from_device: i32,
    bytes: usize,
    stream: Handle,
) -> i32 {
    cudaMemcpyAsync(to, from, bytes, 0, stream)
}

pub extern "C" fn cudaMemset(address: *mut c_void, value: i32, bytes: usize) -> i32 {
    with_context(|| driver::cuMemsetD8(address as Address, value as u8, bytes))
}

pub extern "C" fn cudaMemsetAsync(address: *mut c_void, value: i32, bytes: usize, stream: Handle) -> i32 {
    with_context(|| driver::cuMemsetD8Async(address as Address, value as u8, bytes, stream))
}

/// Does `row` for each of `height` rows until one fails.
fn rows(height: usize, mut row: impl FnMut(Address) -> i32) -> i32 {
    let each = |index| row(index as Address);
    with_context(|| (0..height).map(each).find(|result| *result != SUCCESS).unwrap_or(SUCCESS))
}

pub extern "C" fn cudaMemcpy2D(
    to: *mut c_void,
    to_pitch: usize,
    from: *const c_void,
    from_pitch: usize,
    width: usize,
    height: usize,
    _direction: i32,
) -> i32 {
    rows(height, |row| {
        let (to, from) = (to as Address + row * to_pitch as u64, from as Address + row * from_pitch as u64);
        driver::cuMemcpy(to, from, width)
    })
}

pub extern "C" fn cudaMemcpy2DAsync(
    to: *mut c_void,
    to_pitch: usize,
    from: *const c_void,
    from_pitch: usize,
    width: usize,
    height: usize,
    direction: i32,
    _stream: Handle,
) -> i32 {
    cudaMemcpy2D(to, to_pitch, from, from_pitch, width, height, direction)
}

pub extern "C" fn cudaMemset2D(address: *mut c_void, pitch: usize, value: i32, width: usize, height: usize) -> i32 {
    rows(height, |row| driver::cuMemsetD8(address as Address + row * pitch as u64, value as u8, width))
}

pub extern "C" fn cudaMemset2DAsync(
    address: *mut c_void,
    pitch: usize,
    value: i32,
    width: usize,
    height: usize,
    _stream: Handle,
) -> i32 {
    cudaMemset2D(address, pitch, value, width, height)
}
