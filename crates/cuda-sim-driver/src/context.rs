//! Contexts. One object for each device serves as its primary context and as every other.

use crate::device::on_device;
use crate::{INVALID_DEVICE, SUCCESS, code, gpus, ordinal_of};
use kvtrace_cuda_sim::abi::Out;
use kvtrace_cuda_sim::profile::MOST_DEVICES;
use kvtrace_cuda_sim::{Device, Error};
use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

/// A context handle: the address of an object that nobody looks into.
type Context = usize;

static OBJECTS: [u64; MOST_DEVICES] = [0; MOST_DEVICES];
static HOLDERS: [AtomicU32; MOST_DEVICES] = [const { AtomicU32::new(0) }; MOST_DEVICES];

const INVALID_CONTEXT: i32 = 201;

thread_local! {
    /// The contexts of this thread. No value with a destructor: programs call when the thread's values are gone.
    static STACK: Cell<Stack> = const { Cell::new(Stack { depth: 0, contexts: [0; DEEPEST] }) };
}

/// More than programs nest; what is pushed beyond takes the place of the uppermost.
const DEEPEST: usize = 16;

/// The current context is the last of those in use.
#[derive(Clone, Copy)]
struct Stack {
    depth: usize,
    contexts: [Context; DEEPEST],
}

fn push(context: Context) {
    let mut stack = STACK.get();
    stack.depth = (stack.depth + 1).min(DEEPEST);
    stack.contexts[stack.depth - 1] = context;
    STACK.set(stack);
}

fn pop() -> Option<Context> {
    let mut stack = STACK.get();
    stack.depth = stack.depth.checked_sub(1)?;
    STACK.set(stack);
    Some(stack.contexts[stack.depth])
}

fn context(ordinal: i32) -> Context {
    &raw const OBJECTS[ordinal as usize] as Context
}

/// The context that serves for a device.
pub(crate) fn context_of(device: &Device) -> Context {
    context(ordinal_of(device))
}

fn device_of(context: Context) -> Option<usize> {
    let first = OBJECTS.as_ptr() as Context;
    let index = context.checked_sub(first)? / size_of::<u64>();
    (index < OBJECTS.len()).then_some(index)
}

fn top() -> Context {
    let stack = STACK.get();
    stack.depth.checked_sub(1).map_or(0, |last| stack.contexts[last])
}

/// Number of the device whose context is current; beyond all devices if none is.
pub(crate) fn current() -> usize {
    device_of(top()).unwrap_or(usize::MAX)
}

fn hold(ordinal: i32) -> i32 {
    on_device(ordinal, |gpu| {
        let made = code(gpu.make_context());
        if made == SUCCESS {
            HOLDERS[ordinal as usize].fetch_add(1, Ordering::AcqRel);
        }
        made
    })
}

fn let_go(ordinal: i32) -> i32 {
    on_device(ordinal, |gpu| {
        let less = |held: u32| held.checked_sub(1);
        match HOLDERS[ordinal as usize].fetch_update(Ordering::AcqRel, Ordering::Acquire, less) {
            Ok(1) => {
                gpu.drop_context();
                SUCCESS
            }
            Ok(_) => SUCCESS,
            Err(_) => INVALID_CONTEXT,
        }
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxRetain(handle: Out<Context>, device: i32) -> i32 {
    match hold(device) {
        SUCCESS => handle.set(context(device)),
        failure => failure,
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxRelease_v2(device: i32) -> i32 {
    let_go(device)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxRelease(device: i32) -> i32 {
    let_go(device)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxReset_v2(device: i32) -> i32 {
    on_device(device, |gpu| {
        HOLDERS[device as usize].store(0, Ordering::Release);
        gpu.drop_context();
        SUCCESS
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxReset(device: i32) -> i32 {
    cuDevicePrimaryCtxReset_v2(device)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxGetState(device: i32, flags: Out<u32>, active: Out<i32>) -> i32 {
    flags.offer(0);
    on_device(device, |_| active.set(i32::from(HOLDERS[device as usize].load(Ordering::Acquire) > 0)))
}

/// A new context is pushed onto the thread's stack.
fn create(handle: Out<Context>, device: i32) -> i32 {
    match hold(device) {
        SUCCESS => {
            push(context(device));
            handle.set(context(device))
        }
        failure => failure,
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxCreate(handle: Out<Context>, _flags: u32, device: i32) -> i32 {
    create(handle, device)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxCreate_v2(handle: Out<Context>, _flags: u32, device: i32) -> i32 {
    create(handle, device)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxCreate_v3(handle: Out<Context>, _affinity: usize, _count: i32, _flags: u32, device: i32) -> i32 {
    create(handle, device)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxCreate_v4(handle: Out<Context>, _parameters: usize, _flags: u32, device: i32) -> i32 {
    create(handle, device)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxDestroy_v2(context: Context) -> i32 {
    let Some(ordinal) = device_of(context) else { return INVALID_CONTEXT };
    if top() == context {
        pop();
    }
    let_go(ordinal as i32)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxDestroy(context: Context) -> i32 {
    cuCtxDestroy_v2(context)
}

fn is_known(context: Context) -> bool {
    context == 0 || device_of(context).is_some_and(|ordinal| gpus().is_ok_and(|all| ordinal < all.len()))
}

/// Replaces what is on top; the null context takes it away.
#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSetCurrent(context: Context) -> i32 {
    if !is_known(context) {
        return INVALID_CONTEXT;
    }
    pop();
    if context != 0 {
        push(context);
    }
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetCurrent(handle: Out<Context>) -> i32 {
    handle.set(top())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxPushCurrent_v2(context: Context) -> i32 {
    if context == 0 || !is_known(context) {
        return INVALID_CONTEXT;
    }
    push(context);
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxPushCurrent(context: Context) -> i32 {
    cuCtxPushCurrent_v2(context)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxPopCurrent_v2(handle: Out<Context>) -> i32 {
    match pop() {
        Some(context) => {
            handle.offer(context);
            SUCCESS
        }
        None => INVALID_CONTEXT,
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxPopCurrent(handle: Out<Context>) -> i32 {
    cuCtxPopCurrent_v2(handle)
}

fn device_number(device: Out<i32>, context: Context) -> i32 {
    let ordinal = device_of(context).unwrap_or(0) as i32;
    match gpus() {
        Ok(all) if (ordinal as usize) < all.len() => device.set(ordinal),
        Ok(_) => INVALID_DEVICE,
        Err(error) => Error::code(error),
    }
}

/// The first device where no context is current, as for allocations.
#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetDevice(device: Out<i32>) -> i32 {
    device_number(device, top())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetDevice_v2(device: Out<i32>, context: Context) -> i32 {
    device_number(device, if context == 0 { top() } else { context })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetApiVersion(_context: Context, version: Out<u32>) -> i32 {
    version.set(3020)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetFlags(flags: Out<u32>) -> i32 {
    flags.set(0)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetId(context: Context, id: Out<u64>) -> i32 {
    id.set(device_of(if context == 0 { top() } else { context }).unwrap_or(0) as u64 + 1)
}

/// The stack size of a thread; the other limits read the same.
#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetLimit(value: Out<usize>, _limit: i32) -> i32 {
    value.set(1024)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetStreamPriorityRange(least: Out<i32>, greatest: Out<i32>) -> i32 {
    least.offer(0);
    greatest.offer(-5);
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetCacheConfig(config: Out<i32>) -> i32 {
    config.set(0)
}
