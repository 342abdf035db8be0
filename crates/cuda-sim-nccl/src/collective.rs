//! Collective operations: compared between ranks, and nothing is moved. What a rank receives is what its buffer held.

use crate::communicator::find;
use crate::info::{INVALID_ARGUMENT, INVALID_USAGE, SUCCESS, fail};
use crate::meeting::mix;
use core::sync::atomic::Ordering;
use kvtrace_cuda_sim_quiet::abi::Out;

/// What an operation is: the words that all ranks must have alike.
fn collective(handle: usize, name: &str, count: usize, words: [i32; 3]) -> i32 {
    let Some(communicator) = find(handle) else { return INVALID_ARGUMENT };
    let number = communicator.operations.fetch_add(1, Ordering::AcqRel) as u32;
    let name_of = name.bytes().fold(0, |sum, byte| mix(sum, u64::from(byte)));
    let what = words.iter().fold(mix(name_of, count as u64), |sum, word| mix(sum, *word as u64));
    if communicator.meeting.agree(number, what as u32).is_ok() {
        return SUCCESS;
    }
    let [kind, operator, root] = words;
    let rank = communicator.rank;
    fail(
        INVALID_USAGE,
        &format!(
            "ranks disagree about operation {number}: rank {rank} calls {name} of {count} elements of type {kind} \
             (operator {operator}, root {root}), and another rank something else"
        ),
    )
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclAllReduce(
    _from: usize,
    _to: usize,
    count: usize,
    kind: i32,
    operator: i32,
    communicator: usize,
    _stream: usize,
) -> i32 {
    collective(communicator, "ncclAllReduce", count, [kind, operator, 0])
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclReduce(
    _from: usize,
    _to: usize,
    count: usize,
    kind: i32,
    operator: i32,
    root: i32,
    communicator: usize,
    _stream: usize,
) -> i32 {
    collective(communicator, "ncclReduce", count, [kind, operator, root])
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclReduceScatter(
    _from: usize,
    _to: usize,
    count: usize,
    kind: i32,
    operator: i32,
    communicator: usize,
    _stream: usize,
) -> i32 {
    collective(communicator, "ncclReduceScatter", count, [kind, operator, 0])
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclAllGather(
    _from: usize,
    _to: usize,
    count: usize,
    kind: i32,
    communicator: usize,
    _stream: usize,
) -> i32 {
    collective(communicator, "ncclAllGather", count, [kind, 0, 0])
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclAlltoAll(
    _from: usize,
    _to: usize,
    count: usize,
    kind: i32,
    communicator: usize,
    _stream: usize,
) -> i32 {
    collective(communicator, "ncclAlltoAll", count, [kind, 0, 0])
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclBroadcast(
    _from: usize,
    _to: usize,
    count: usize,
    kind: i32,
    root: i32,
    communicator: usize,
    _stream: usize,
) -> i32 {
    collective(communicator, "ncclBroadcast", count, [kind, 0, root])
}

/// The same in one buffer.
#[unsafe(no_mangle)]
pub extern "C" fn ncclBcast(
    _buffer: usize,
    count: usize,
    kind: i32,
    root: i32,
    communicator: usize,
    _stream: usize,
) -> i32 {
    collective(communicator, "ncclBroadcast", count, [kind, 0, root])
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclGather(
    _from: usize,
    _to: usize,
    count: usize,
    kind: i32,
    root: i32,
    communicator: usize,
    _stream: usize,
) -> i32 {
    collective(communicator, "ncclGather", count, [kind, 0, root])
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclScatter(
    _from: usize,
    _to: usize,
    count: usize,
    kind: i32,
    root: i32,
    communicator: usize,
    _stream: usize,
) -> i32 {
    collective(communicator, "ncclScatter", count, [kind, 0, root])
}

/// Two ranks only know of it, in an order of their own: it is not compared.
fn between_two(communicator: usize, peer: i32) -> i32 {
    match find(communicator) {
        Some(communicator) if usize::try_from(peer).is_ok_and(|peer| peer < communicator.ranks) => SUCCESS,
        _ => INVALID_ARGUMENT,
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclSend(
    _from: usize,
    _count: usize,
    _kind: i32,
    peer: i32,
    communicator: usize,
    _stream: usize,
) -> i32 {
    between_two(communicator, peer)
}

#[unsafe(no_mangle)]
pub extern "C" fn ncclRecv(
    _to: usize,
    _count: usize,
    _kind: i32,
    peer: i32,
    communicator: usize,
    _stream: usize,
) -> i32 {
    between_two(communicator, peer)
}

/// The number behind the built-in operators.
#[unsafe(no_mangle)]
pub extern "C" fn ncclRedOpCreatePreMulSum(operator: Out<i32>) -> i32 {
    const FIRST_OF_PROGRAMS: i32 = 5;
    operator.set(FIRST_OF_PROGRAMS)
}
