//! Facts about the GPU behind a call, asked of the library that the call went to, past our own hooks. CUDA's driver
//! and HIP answer the same questions in the same form under other names; each numbers its own devices.
//!
//! A question that fails would stay behind as HIP's last error, and be taken for the program's own. So it is asked only
//! what it must be able to answer: after a call that succeeded, about what that call was about.

mod identity;

use self::identity::Identity;
use crate::helper::Helper;
use crate::hooks::Layer;
use crate::process::{self, Held};
use crate::text;
use crate::trace::Event;
use core::ffi::c_char;

/// An API that gives out the memory of devices.
pub struct Api {
    layer: Layer,
    /// Its place in [`process::Process::held`].
    place: usize,
    current: Helper,
    attribute: Helper,
    name: Helper,
    total: Helper,
    version: Helper,
    pool: Helper,
    pool_attribute: Helper,
    /// With the shared default stream, and with one per thread.
    capturing: [Helper; 2],
    graph_attribute: Helper,
    range: Helper,
    /// Numbers of the attributes: integrated, major and minor compute capability.
    attributes: [i32; 3],
}

static CUDA: Api = Api {
    layer: Layer::Driver,
    place: 0,
    current: Helper::new(Layer::Driver, b"cuCtxGetDevice"),
    attribute: Helper::new(Layer::Driver, b"cuDeviceGetAttribute"),
    name: Helper::new(Layer::Driver, b"cuDeviceGetName"),
    total: Helper::new(Layer::Driver, b"cuDeviceTotalMem_v2"),
    version: Helper::new(Layer::Driver, b"cuDriverGetVersion"),
    pool: Helper::new(Layer::Driver, b"cuDeviceGetMemPool"),
    pool_attribute: Helper::new(Layer::Driver, b"cuMemPoolGetAttribute"),
    capturing: [
        Helper::new(Layer::Driver, b"cuStreamIsCapturing"),
        Helper::new(Layer::Driver, b"cuStreamIsCapturing_ptsz"),
    ],
    graph_attribute: Helper::new(Layer::Driver, b"cuDeviceGetGraphMemAttribute"),
    range: Helper::new(Layer::Driver, b"cuMemGetAddressRange_v2"),
    attributes: [18, 75, 76],
};

static HIP: Api = Api {
    layer: Layer::Hip,
    place: 1,
    current: Helper::new(Layer::Hip, b"hipGetDevice"),
    attribute: Helper::new(Layer::Hip, b"hipDeviceGetAttribute"),
    name: Helper::new(Layer::Hip, b"hipDeviceGetName"),
    total: Helper::new(Layer::Hip, b"hipDeviceTotalMem"),
    version: Helper::new(Layer::Hip, b"hipDriverGetVersion"),
    pool: Helper::new(Layer::Hip, b"hipDeviceGetMemPool"),
    pool_attribute: Helper::new(Layer::Hip, b"hipMemPoolGetAttribute"),
    capturing: [Helper::new(Layer::Hip, b"hipStreamIsCapturing"), Helper::new(Layer::Hip, b"hipStreamIsCapturing_spt")],
    graph_attribute: Helper::new(Layer::Hip, b"hipDeviceGetGraphMemAttribute"),
    range: Helper::new(Layer::Hip, b"hipMemGetAddressRange"),
    attributes: [16, 23, 61],
};

/// The API whose devices a layer's calls are about.
pub fn api(layer: Layer) -> &'static Api {
    match layer {
        Layer::Hip => &HIP,
        _ => &CUDA,
    }
}

impl Api {
    /// Ordinal of the calling thread's device, -1 if it has none.
    pub fn current(&self) -> i32 {
        let current = self.current.ask(|at| {
            // SAFETY: cuCtxGetDevice(CUdevice*), hipGetDevice(int*) of the loaded library.
            let function: extern "C" fn(*mut i32) -> i32 = unsafe { core::mem::transmute(at) };
            let mut dev = -1;
            if function(&mut dev) == 0 { dev } else { -1 }
        });
        current.unwrap_or(-1)
    }

    /// The pool that stream-ordered allocations on `dev` are taken from, 0 if there is none.
    pub fn current_pool(&self, dev: i32) -> u64 {
        let pool = self.pool.ask(|at| {
            // SAFETY: cuDeviceGetMemPool(CUmemoryPool*, CUdevice), hipDeviceGetMemPool(hipMemPool_t*, int).
            let function: extern "C" fn(*mut u64, i32) -> i32 = unsafe { core::mem::transmute(at) };
            let mut pool = 0;
            if function(&mut pool, dev) == 0 { pool } else { 0 }
        });
        pool.unwrap_or(0)
    }

    /// Whether what is done on a stream goes into a graph. A library that does not know is taken for no.
    pub fn is_capturing(&self, stream: u64, per_thread: bool) -> bool {
        let [shared, own] = &self.capturing;
        let status = (if per_thread { own } else { shared }).ask(|at| {
            // SAFETY: cuStreamIsCapturing and hipStreamIsCapturing(stream, status*), in the form for the default stream
            // that the program means.
            let function: extern "C" fn(u64, *mut i32) -> i32 = unsafe { core::mem::transmute(at) };
            let mut status = 0;
            if function(stream, &mut status) == 0 { status } else { 0 }
        });
        status.is_some_and(|status| status != 0)
    }

    /// An attribute of a pool that is a number of bytes.
    pub fn of_pool(&self, pool: u64, attribute: i32) -> Option<u64> {
        self.pool_attribute.ask(|at| {
            // SAFETY: cuMemPoolGetAttribute and hipMemPoolGetAttribute(pool, attribute, void*); these are 64-bit.
            let function: extern "C" fn(u64, i32, *mut u64) -> i32 = unsafe { core::mem::transmute(at) };
            let mut value = 0;
            (function(pool, attribute, &mut value) == 0).then_some(value)
        })?
    }

    /// A number of bytes that `dev` holds for graphs.
    pub fn of_graphs(&self, dev: i32, attribute: i32) -> Option<u64> {
        self.graph_attribute.ask(|at| {
            // SAFETY: cuDeviceGetGraphMemAttribute and hipDeviceGetGraphMemAttribute(device, attribute, void*); these
            // are 64-bit.
            let function: extern "C" fn(i32, i32, *mut u64) -> i32 = unsafe { core::mem::transmute(at) };
            let mut value = 0;
            (function(dev, attribute, &mut value) == 0).then_some(value)
        })?
    }

    /// Bytes of the allocation that `at` lies in, 0 if the library does not tell.
    pub fn range(&self, at: u64) -> u64 {
        if at == 0 {
            return 0;
        }
        let size = self.range.ask(|function| {
            // SAFETY: cuMemGetAddressRange_v2 and hipMemGetAddressRange(base*, size_t*, address).
            let function: extern "C" fn(*mut u64, *mut usize, u64) -> i32 = unsafe { core::mem::transmute(function) };
            let (mut base, mut size) = (0u64, 0usize);
            if function(&mut base, &mut size, at) == 0 { size as u64 } else { 0 }
        });
        size.unwrap_or(0)
    }

    /// Whether a GPU shares its memory with the CPU.
    pub fn is_integrated(&self, dev: i32) -> bool {
        let [integrated, ..] = self.attributes;
        self.attribute(integrated, dev) == 1
    }

    /// All memory of a GPU, bytes.
    pub fn total(&self, dev: i32) -> Option<u64> {
        self.total.ask(|at| {
            // SAFETY: cuDeviceTotalMem_v2 and hipDeviceTotalMem(size_t*, device).
            let function: extern "C" fn(*mut usize, i32) -> i32 = unsafe { core::mem::transmute(at) };
            let mut total = 0;
            (function(&mut total, dev) == 0).then_some(total as u64)
        })?
    }

    /// What the process is known to hold of this API.
    pub fn held<'p>(&self, process: &'p process::Process) -> &'p Held {
        let [first, second] = &process.held;
        if self.place == 0 { first } else { second }
    }

    /// Writes the `device` event at the first use of a device.
    pub fn announce(&self, dev: i32) {
        let Some(bit) = u32::try_from(dev).ok().and_then(|dev| 1u64.checked_shl(dev)) else { return };
        if self.held(process::current()).devices.fetch_or(bit, core::sync::atomic::Ordering::AcqRel) & bit != 0 {
            return;
        }
        let mut name = [0u8; 256];
        let named = self.name.ask(|at| {
            // SAFETY: cuDeviceGetName and hipDeviceGetName(char*, int, device).
            let function: extern "C" fn(*mut c_char, i32, i32) -> i32 = unsafe { core::mem::transmute(at) };
            // One byte stays zero whatever the library writes.
            function(name.as_mut_ptr().cast(), 255, dev) == 0
        });
        let (Some(true), Some(total)) = (named, self.total(dev)) else { return };
        let version = self.version.ask(|at| {
            // SAFETY: cuDriverGetVersion and hipDriverGetVersion(int*).
            let function: extern "C" fn(*mut i32) -> i32 = unsafe { core::mem::transmute(at) };
            let mut version = 0;
            if function(&mut version) == 0 { version.unsigned_abs() } else { 0 }
        });
        let identity = if self.layer == Layer::Driver { Identity::ask(self, dev) } else { Identity::default() };
        let [integrated, major, minor] = self.attributes.map(|attribute| self.attribute(attribute, dev));
        if let Some(mut event) = Event::begin("device", crate::sys::clock(libc::CLOCK_MONOTONIC)) {
            event.write(|line| {
                line.text("layer", self.layer.name().as_bytes())
                    .i64("dev", dev.into())
                    .text("name", text::until_nul(&name))
                    .u64("total", total)
                    .flag("integrated", integrated == 1)
                    .u64("cc_major", major.into())
                    .u64("cc_minor", minor.into())
                    .u64("driver", version.unwrap_or(0).into());
                identity.write(line);
            });
        }
    }

    fn attribute(&self, which: i32, dev: i32) -> u32 {
        let value = self.attribute.ask(|at| {
            // SAFETY: cuDeviceGetAttribute and hipDeviceGetAttribute(int*, attribute, device).
            let function: extern "C" fn(*mut i32, i32, i32) -> i32 = unsafe { core::mem::transmute(at) };
            let mut value = 0;
            if function(&mut value, which, dev) == 0 { value.unsigned_abs() } else { 0 }
        });
        value.unwrap_or(0)
    }
}
