//! Algorithms of a convolution: there is one, and it needs no workspace.

use kvtrace_cuda_sim_quiet::abi::Out;

const SUCCESS: i32 = 0;

/// `cudnnConvolutionFwdAlgoPerf_t`, and its likes for the way back.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Performance {
    algorithm: i32,
    status: i32,
    milliseconds: f32,
    workspace: usize,
    deterministic: i32,
    mathematics: i32,
    reserved: [i32; 3],
}

fn the_one(room: i32, count: Out<i32>, found: Out<Performance>) -> i32 {
    if room > 0 {
        // The first algorithm exists for each direction.
        found.offer(Performance {
            algorithm: 0,
            status: SUCCESS,
            milliseconds: 1.0,
            workspace: 0,
            deterministic: 1,
            mathematics: 0,
            reserved: [0; 3],
        });
    }
    count.offer(i32::from(room > 0));
    SUCCESS
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn cudnnGetConvolutionForwardAlgorithm_v7(
    _handle: usize,
    _from: usize,
    _with: usize,
    _convolution: usize,
    _to: usize,
    room: i32,
    count: Out<i32>,
    found: Out<Performance>,
) -> i32 {
    the_one(room, count, found)
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn cudnnFindConvolutionForwardAlgorithm(
    _handle: usize,
    _from: usize,
    _with: usize,
    _convolution: usize,
    _to: usize,
    room: i32,
    count: Out<i32>,
    found: Out<Performance>,
) -> i32 {
    the_one(room, count, found)
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn cudnnFindConvolutionForwardAlgorithmEx(
    _handle: usize,
    _from: usize,
    _from_data: usize,
    _with: usize,
    _with_data: usize,
    _convolution: usize,
    _to: usize,
    _to_data: usize,
    room: i32,
    count: Out<i32>,
    found: Out<Performance>,
) -> i32 {
    the_one(room, count, found)
}

#[unsafe(no_mangle)]
pub extern "C" fn cudnnGetConvolutionForwardAlgorithmMaxCount(_handle: usize, count: Out<i32>) -> i32 {
    count.offer(1);
    SUCCESS
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn cudnnGetConvolutionBackwardDataAlgorithm_v7(
    _handle: usize,
    _from: usize,
    _with: usize,
    _convolution: usize,
    _to: usize,
    room: i32,
    count: Out<i32>,
    found: Out<Performance>,
) -> i32 {
    the_one(room, count, found)
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn cudnnFindConvolutionBackwardDataAlgorithm(
    _handle: usize,
    _from: usize,
    _with: usize,
    _convolution: usize,
    _to: usize,
    room: i32,
    count: Out<i32>,
    found: Out<Performance>,
) -> i32 {
    the_one(room, count, found)
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn cudnnFindConvolutionBackwardDataAlgorithmEx(
    _handle: usize,
    _from: usize,
    _from_data: usize,
    _with: usize,
    _with_data: usize,
    _convolution: usize,
    _to: usize,
    _to_data: usize,
    room: i32,
    count: Out<i32>,
    found: Out<Performance>,
) -> i32 {
    the_one(room, count, found)
}

#[unsafe(no_mangle)]
pub extern "C" fn cudnnGetConvolutionBackwardDataAlgorithmMaxCount(_handle: usize, count: Out<i32>) -> i32 {
    count.offer(1);
    SUCCESS
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn cudnnGetConvolutionBackwardFilterAlgorithm_v7(
    _handle: usize,
    _from: usize,
    _with: usize,
    _convolution: usize,
    _to: usize,
    room: i32,
    count: Out<i32>,
    found: Out<Performance>,
) -> i32 {
    the_one(room, count, found)
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn cudnnFindConvolutionBackwardFilterAlgorithm(
    _handle: usize,
    _from: usize,
    _with: usize,
    _convolution: usize,
    _to: usize,
    room: i32,
    count: Out<i32>,
    found: Out<Performance>,
) -> i32 {
    the_one(room, count, found)
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn cudnnFindConvolutionBackwardFilterAlgorithmEx(
    _handle: usize,
    _from: usize,
    _from_data: usize,
    _with: usize,
    _with_data: usize,
    _convolution: usize,
    _to: usize,
    _to_data: usize,
    room: i32,
    count: Out<i32>,
    found: Out<Performance>,
) -> i32 {
    the_one(room, count, found)
}

#[unsafe(no_mangle)]
pub extern "C" fn cudnnGetConvolutionBackwardFilterAlgorithmMaxCount(_handle: usize, count: Out<i32>) -> i32 {
    count.offer(1);
    SUCCESS
}
