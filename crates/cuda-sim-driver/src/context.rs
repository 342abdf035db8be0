//! Contexts. There is one device, and one context object serves as the primary one and as every other.

use crate::device::on_device;
use crate::{SUCCESS, code, gpu};
use kvtrace_cuda_sim::Error;
use kvtrace_cuda_sim::abi::Out;
use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

/// A context handle: the address of an object that nobody looks into.
type Context = usize;

static OBJECT: u64 = 0;
static HOLDERS: AtomicU32 = AtomicU32::new(0);

thread_local! {
    static CURRENT: Cell<Context> = const { Cell::new(0) };
}

fn context() -> Context {
    &raw const OBJECT as Context
}

fn hold(device: i32) -> i32 {
    on_device(device, |gpu| {
        let made = code(gpu.make_context());
        if made == SUCCESS {
            HOLDERS.fetch_add(1, Ordering::AcqRel);
        }
        made
    })
}

fn let_go() -> i32 {
    let less = |held: u32| held.checked_sub(1);
    match HOLDERS.fetch_update(Ordering::AcqRel, Ordering::Acquire, less) {
        Ok(1) => gpu().map_or_else(Error::code, |gpu| {
            gpu.drop_context();
            SUCCESS
        }),
        Ok(_) => SUCCESS,
        Err(_) => 201,
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxRetain(handle: Out<Context>, device: i32) -> i32 {
    match hold(device) {
        SUCCESS => handle.set(context()),
        failure => failure,
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxRelease_v2(_device: i32) -> i32 {
    let_go()
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxRelease(_device: i32) -> i32 {
    let_go()
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxReset_v2(_device: i32) -> i32 {
    HOLDERS.store(0, Ordering::Release);
    gpu().map_or_else(Error::code, |gpu| {
        gpu.drop_context();
        SUCCESS
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxReset(device: i32) -> i32 {
    cuDevicePrimaryCtxReset_v2(device)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxGetState(_device: i32, flags: Out<u32>, active: Out<i32>) -> i32 {
    flags.offer(0);
    active.set(i32::from(HOLDERS.load(Ordering::Acquire) > 0))
}

fn create(handle: Out<Context>, device: i32) -> i32 {
    match hold(device) {
        SUCCESS => {
            CURRENT.set(context());
            handle.set(context())
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
pub extern "C" fn cuCtxDestroy_v2(_context: Context) -> i32 {
    CURRENT.set(0);
    let_go()
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxDestroy(context: Context) -> i32 {
    cuCtxDestroy_v2(context)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSetCurrent(context: Context) -> i32 {
    CURRENT.set(context);
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetCurrent(handle: Out<Context>) -> i32 {
    handle.set(CURRENT.get())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxPushCurrent_v2(context: Context) -> i32 {
    cuCtxSetCurrent(context)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxPushCurrent(context: Context) -> i32 {
    cuCtxSetCurrent(context)
}

/// With one context object there is nothing beneath it: it stays current.
#[unsafe(no_mangle)]
pub extern "C" fn cuCtxPopCurrent_v2(handle: Out<Context>) -> i32 {
    handle.offer(CURRENT.get());
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxPopCurrent(handle: Out<Context>) -> i32 {
    cuCtxPopCurrent_v2(handle)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetDevice(device: Out<i32>) -> i32 {
    device.set(0)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetDevice_v2(device: Out<i32>, _context: Context) -> i32 {
    device.set(0)
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
pub extern "C" fn cuCtxGetId(_context: Context, id: Out<u64>) -> i32 {
    id.set(1)
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
