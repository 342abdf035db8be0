//! Facts about the GPU behind a call, asked of the driver itself, past our own hooks.

use crate::hooks::Layer;
use crate::process;
use crate::resolve;
use crate::text;
use crate::trace::Event;
use core::ffi::c_char;
use core::sync::atomic::{AtomicUsize, Ordering};

const INTEGRATED: i32 = 18;
const CC_MAJOR: i32 = 75;
const CC_MINOR: i32 = 76;

/// A driver function that is called, never hooked.
struct Helper {
    name: &'static [u8],
    at: AtomicUsize,
}

impl Helper {
    const fn new(name: &'static [u8]) -> Helper {
        Helper { name, at: AtomicUsize::new(0) }
    }

    fn get(&self) -> Option<usize> {
        match self.at.load(Ordering::Relaxed) {
            0 => {
                let found = resolve::in_library(|name| Layer::Driver.is_library(name), self.name)?;
                self.at.store(found, Ordering::Relaxed);
                Some(found)
            }
            at => Some(at),
        }
    }
}

static CTX_GET_DEVICE: Helper = Helper::new(b"cuCtxGetDevice");
static GET_ATTRIBUTE: Helper = Helper::new(b"cuDeviceGetAttribute");
static GET_NAME: Helper = Helper::new(b"cuDeviceGetName");
static TOTAL_MEM: Helper = Helper::new(b"cuDeviceTotalMem_v2");
static DRIVER_VERSION: Helper = Helper::new(b"cuDriverGetVersion");

/// Ordinal of the calling thread's device, -1 if it has none.
pub fn current() -> i32 {
    let mut dev = -1;
    if let Some(at) = CTX_GET_DEVICE.get() {
        // SAFETY: cuCtxGetDevice(CUdevice*) of the loaded driver.
        let function: extern "C" fn(*mut i32) -> i32 = unsafe { core::mem::transmute(at) };
        if function(&mut dev) != 0 {
            return -1;
        }
    }
    dev
}

static GET_POOL: Helper = Helper::new(b"cuDeviceGetMemPool");
static POOL_ATTRIBUTE: Helper = Helper::new(b"cuMemPoolGetAttribute");
static IS_CAPTURING: [Helper; 2] = [Helper::new(b"cuStreamIsCapturing"), Helper::new(b"cuStreamIsCapturing_ptsz")];
static GRAPH_ATTRIBUTE: Helper = Helper::new(b"cuDeviceGetGraphMemAttribute");
static ADDRESS_RANGE: Helper = Helper::new(b"cuMemGetAddressRange_v2");

/// The pool that `cuMemAllocAsync` takes from on `dev`, 0 if there is none.
pub fn current_pool(dev: i32) -> u64 {
    let mut pool = 0;
    let Some(at) = GET_POOL.get() else { return 0 };
    // SAFETY: cuDeviceGetMemPool(CUmemoryPool*, CUdevice) of the loaded driver.
    let function: extern "C" fn(*mut u64, i32) -> i32 = unsafe { core::mem::transmute(at) };
    if function(&mut pool, dev) == 0 { pool } else { 0 }
}

/// Whether what is done on a stream goes into a graph. A driver that does not know is taken for no.
pub fn is_capturing(stream: u64, per_thread: bool) -> bool {
    let [shared, own] = &IS_CAPTURING;
    let Some(at) = (if per_thread { own } else { shared }).get() else { return false };
    let mut status = 0;
    // SAFETY: cuStreamIsCapturing(CUstream, CUstreamCaptureStatus*) of the loaded driver, in its form for the default
    // stream that the program means.
    let function: extern "C" fn(u64, *mut i32) -> i32 = unsafe { core::mem::transmute(at) };
    function(stream, &mut status) == 0 && status != 0
}

/// An attribute of a pool that is a number of bytes.
pub fn of_pool(pool: u64, attribute: i32) -> Option<u64> {
    let mut value = 0;
    // SAFETY: cuMemPoolGetAttribute(CUmemoryPool, CUmemPool_attribute, void*); these attributes are 64-bit.
    let function: extern "C" fn(u64, i32, *mut u64) -> i32 = unsafe { core::mem::transmute(POOL_ATTRIBUTE.get()?) };
    (function(pool, attribute, &mut value) == 0).then_some(value)
}

/// A number of bytes that `dev` holds for graphs.
pub fn of_graphs(dev: i32, attribute: i32) -> Option<u64> {
    let mut value = 0;
    // SAFETY: cuDeviceGetGraphMemAttribute(CUdevice, CUgraphMem_attribute, void*); these attributes are 64-bit.
    let function: extern "C" fn(i32, i32, *mut u64) -> i32 = unsafe { core::mem::transmute(GRAPH_ATTRIBUTE.get()?) };
    (function(dev, attribute, &mut value) == 0).then_some(value)
}

/// Bytes of the allocation that `at` lies in, 0 if the driver does not tell.
pub fn range(at: u64) -> u64 {
    let (mut base, mut size) = (0u64, 0usize);
    let Some(function) = ADDRESS_RANGE.get().filter(|_| at != 0) else { return 0 };
    // SAFETY: cuMemGetAddressRange(CUdeviceptr*, size_t*, CUdeviceptr) of the loaded driver.
    let function: extern "C" fn(*mut u64, *mut usize, u64) -> i32 = unsafe { core::mem::transmute(function) };
    if function(&mut base, &mut size, at) == 0 { size as u64 } else { 0 }
}

/// Writes the `device` event at the first use of a device.
pub fn announce(dev: i32) {
    let Some(bit) = u32::try_from(dev).ok().and_then(|dev| 1u64.checked_shl(dev)) else { return };
    if process::current().devices.fetch_or(bit, Ordering::AcqRel) & bit != 0 {
        return;
    }
    let (Some(attribute), Some(name), Some(total)) = (GET_ATTRIBUTE.get(), GET_NAME.get(), TOTAL_MEM.get()) else {
        return;
    };
    // SAFETY: the driver's documented signatures.
    let (attribute, get_name, get_total) = unsafe {
        (
            core::mem::transmute::<usize, extern "C" fn(*mut i32, i32, i32) -> i32>(attribute),
            core::mem::transmute::<usize, extern "C" fn(*mut c_char, i32, i32) -> i32>(name),
            core::mem::transmute::<usize, extern "C" fn(*mut usize, i32) -> i32>(total),
        )
    };
    let read = |which| {
        let mut value = 0;
        if attribute(&mut value, which, dev) == 0 { value } else { 0 }
    };
    let mut name = [0u8; 256];
    // One byte stays zero whatever the driver writes.
    let name_rc = get_name(name.as_mut_ptr().cast(), 255, dev);
    let mut total = 0usize;
    if name_rc != 0 || get_total(&mut total, dev) != 0 {
        return;
    }
    let mut driver = 0;
    if let Some(at) = DRIVER_VERSION.get() {
        // SAFETY: cuDriverGetVersion(int*).
        let version: extern "C" fn(*mut i32) -> i32 = unsafe { core::mem::transmute(at) };
        version(&mut driver);
    }
    if let Some(mut event) = Event::begin("device", crate::sys::clock(libc::CLOCK_MONOTONIC)) {
        event.write(|line| {
            line.i64("dev", dev.into())
                .text("name", text::until_nul(&name))
                .u64("total", total as u64)
                .flag("integrated", read(INTEGRATED) == 1)
                .u64("cc_major", read(CC_MAJOR).unsigned_abs().into())
                .u64("cc_minor", read(CC_MINOR).unsigned_abs().into())
                .u64("driver", driver as u64);
        });
    }
}
