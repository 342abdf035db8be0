//! The way to the driver: `dlopen`, one `dlsym`, and from there on `cuGetProcAddress`.

use crate::version;
use core::ffi::{CStr, c_char, c_void};
use core::mem::transmute;
use core::ptr::{null, null_mut};
use core::sync::atomic::{AtomicPtr, Ordering};
use std::sync::OnceLock;

type GetProcAddress = extern "C" fn(*const c_char, *mut *const c_void, i32, u64, *mut i32) -> i32;
type GetProcAddress1 = extern "C" fn(*const c_char, *mut *const c_void, i32, u64) -> i32;

#[derive(Clone, Copy)]
enum Lookup {
    WithStatus(GetProcAddress),
    Plain(GetProcAddress1),
}

fn lookup() -> Option<Lookup> {
    static FOUND: OnceLock<Option<Lookup>> = OnceLock::new();
    *FOUND.get_or_init(open)
}

fn open() -> Option<Lookup> {
    // SAFETY: a C string; the library's constructors are those of a CUDA driver.
    let library = unsafe { libc::dlopen(c"libcuda.so.1".as_ptr(), libc::RTLD_NOW) };
    if library.is_null() {
        return None;
    }
    let symbol = |name: &CStr| {
        // SAFETY: an open library and a C string.
        unsafe { libc::dlsym(library, name.as_ptr()) }
    };
    let get = symbol(c"cuGetProcAddress_v2");
    if !get.is_null() {
        // SAFETY: the driver's function of that name has this type.
        return Some(Lookup::WithStatus(unsafe { transmute::<*mut c_void, GetProcAddress>(get) }));
    }
    let get = symbol(c"cuGetProcAddress");
    // SAFETY: the driver's function of that name has this type.
    (!get.is_null()).then(|| Lookup::Plain(unsafe { transmute::<*mut c_void, GetProcAddress1>(get) }))
}

/// What `cuGetProcAddress` answers: the function or null, its status, and the `CUresult`.
pub(crate) fn ask(name: *const c_char, version: i32, flags: u64) -> Option<(*const c_void, i32, i32)> {
    let (mut function, mut status) = (null(), 0);
    let code = match lookup()? {
        Lookup::WithStatus(get) => get(name, &mut function, version, flags, &mut status),
        Lookup::Plain(get) => {
            let code = get(name, &mut function, version, flags);
            status = i32::from(function.is_null());
            code
        }
    };
    Some((function, status, code))
}

/// The address of a driver function, kept in `slot`; null where the driver has none of that name.
pub(crate) fn function(slot: &AtomicPtr<c_void>, name: &CStr) -> *mut c_void {
    let known = slot.load(Ordering::Acquire);
    if !known.is_null() {
        return known;
    }
    let found = ask(name.as_ptr(), version::number(), 0).map_or(null_mut(), |(function, ..)| function.cast_mut());
    slot.store(found, Ordering::Release);
    found
}

/// Declares driver functions by the name that `cuGetProcAddress` knows. Where the driver cannot be reached they return
/// `CUDA_ERROR_STUB_LIBRARY`, which means a driver that is not there.
macro_rules! driver {
    ($(fn $name:ident($($argument:ident: $type:ty),* $(,)?);)*) => {$(
        pub(crate) fn $name($($argument: $type),*) -> i32 {
            static SLOT: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
            // The name with its NUL.
            const NAME: &CStr = match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                Ok(name) => name,
                Err(_) => c"",
            };
            let function = function(&SLOT, NAME);
            if function.is_null() {
                return crate::error::NO_DRIVER;
            }
            // SAFETY: the driver's function of that name and of this version has this type.
            let function: extern "C" fn($($type),*) -> i32 = unsafe { transmute(function) };
            function($($argument),*)
        }
    )*};
}

/// A device address. The runtime passes on what its callers give it.
pub(crate) type Address = u64;
/// A stream, event, pool or context handle; the runtime does not look into it.
pub(crate) type Handle = usize;

driver! {
    fn cuInit(flags: u32);
    fn cuDriverGetVersion(version: *mut i32);
    fn cuDeviceGet(device: *mut i32, ordinal: i32);
    fn cuDeviceGetCount(count: *mut i32);
    fn cuDeviceGetName(name: *mut c_char, size: i32, device: i32);
    fn cuDeviceGetUuid(uuid: *mut [u8; 16], device: i32);
    fn cuDeviceTotalMem(bytes: *mut usize, device: i32);
    fn cuDeviceGetAttribute(value: *mut i32, attribute: i32, device: i32);
    fn cuDeviceGetPCIBusId(text: *mut c_char, size: i32, device: i32);
    fn cuDeviceGetByPCIBusId(device: *mut i32, text: *const c_char);
    fn cuDeviceCanAccessPeer(able: *mut i32, device: i32, peer: i32);
    fn cuDevicePrimaryCtxRetain(context: *mut Handle, device: i32);
    fn cuDevicePrimaryCtxReset(device: i32);
    fn cuCtxSetCurrent(context: Handle);
    fn cuCtxGetCurrent(context: *mut Handle);
    // As with `cuCtxSynchronize` below; no context means the current one.
    fn cuCtxGetDevice(device: *mut i32, context: Handle);
    // CUDA 13 added the context; an older function ignores it.
    fn cuCtxSynchronize(context: Handle);
    fn cuCtxGetLimit(value: *mut usize, limit: i32);
    fn cuCtxGetStreamPriorityRange(least: *mut i32, greatest: *mut i32);
    fn cuMemGetInfo(free: *mut usize, total: *mut usize);
    fn cuMemAlloc(address: *mut Address, bytes: usize);
    fn cuMemAllocPitch(address: *mut Address, pitch: *mut usize, width: usize, height: usize, element: u32);
    fn cuMemFree(address: Address);
    fn cuMemAllocManaged(address: *mut Address, bytes: usize, flags: u32);
    fn cuMemHostAlloc(address: *mut Address, bytes: usize, flags: u32);
    fn cuMemFreeHost(address: Address);
    fn cuMemHostRegister(address: Address, bytes: usize, flags: u32);
    fn cuMemHostUnregister(address: Address);
    fn cuMemHostGetDevicePointer(device: *mut Address, host: Address, flags: u32);
    fn cuMemHostGetFlags(flags: *mut u32, host: Address);
    fn cuPointerGetAttribute(value: *mut c_void, attribute: i32, address: Address);
    fn cuMemAllocAsync(address: *mut Address, bytes: usize, stream: Handle);
    fn cuMemAllocFromPoolAsync(address: *mut Address, bytes: usize, pool: Handle, stream: Handle);
    fn cuMemFreeAsync(address: Address, stream: Handle);
    fn cuDeviceGetDefaultMemPool(pool: *mut Handle, device: i32);
    fn cuDeviceGetMemPool(pool: *mut Handle, device: i32);
    fn cuDeviceSetMemPool(device: i32, pool: Handle);
    fn cuMemPoolCreate(pool: *mut Handle, properties: Handle);
    fn cuMemPoolDestroy(pool: Handle);
    fn cuMemPoolGetAttribute(pool: Handle, attribute: i32, value: *mut c_void);
    fn cuMemPoolSetAttribute(pool: Handle, attribute: i32, value: *mut c_void);
    fn cuMemPoolTrimTo(pool: Handle, keep: usize);
    fn cuMemcpy(to: Address, from: Address, bytes: usize);
    fn cuMemcpyAsync(to: Address, from: Address, bytes: usize, stream: Handle);
    fn cuMemsetD8(to: Address, value: u8, count: usize);
    fn cuMemsetD8Async(to: Address, value: u8, count: usize, stream: Handle);
    fn cuStreamCreateWithPriority(stream: *mut Handle, flags: u32, priority: i32);
    fn cuStreamDestroy(stream: Handle);
    fn cuStreamSynchronize(stream: Handle);
    fn cuStreamQuery(stream: Handle);
    fn cuStreamWaitEvent(stream: Handle, event: Handle, flags: u32);
    fn cuStreamGetPriority(stream: Handle, priority: *mut i32);
    fn cuStreamGetFlags(stream: Handle, flags: *mut u32);
    fn cuStreamIsCapturing(stream: Handle, status: *mut i32);
    fn cuStreamGetCaptureInfo(
        stream: Handle,
        status: *mut i32,
        id: *mut u64,
        graph: *mut Handle,
        needs: *mut Handle,
        edges: *mut Handle,
        count: *mut usize,
    );
    fn cuStreamBeginCapture(stream: Handle, mode: i32);
    fn cuStreamEndCapture(stream: Handle, graph: *mut Handle);
    fn cuGraphCreate(graph: *mut Handle, flags: u32);
    fn cuGraphInstantiateWithFlags(executable: *mut Handle, graph: Handle, flags: u64);
    fn cuEventCreate(event: *mut Handle, flags: u32);
    fn cuEventDestroy(event: Handle);
    fn cuEventRecord(event: Handle, stream: Handle);
    fn cuEventSynchronize(event: Handle);
    fn cuEventQuery(event: Handle);
    fn cuEventElapsedTime(milliseconds: *mut f32, start: Handle, end: Handle);
}
