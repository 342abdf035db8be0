//! The part of the CUDA runtime that the workload calls, linked or found at run time.

use crate::cli::Linkage;
use crate::failure::{Failure, Result};
use crate::size;
use std::ffi::{CStr, c_int, c_void};
use std::ptr;

const OUT_OF_MEMORY: c_int = 2;

/// The runtime's functions.
#[derive(Clone, Copy)]
pub struct Cudart {
    get_device_count: unsafe extern "C" fn(*mut c_int) -> c_int,
    set_device: unsafe extern "C" fn(c_int) -> c_int,
    mem_get_info: unsafe extern "C" fn(*mut usize, *mut usize) -> c_int,
    malloc: unsafe extern "C" fn(*mut *mut c_void, usize) -> c_int,
    free: unsafe extern "C" fn(*mut c_void) -> c_int,
    synchronize: unsafe extern "C" fn() -> c_int,
    get_attribute: unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int,
}

/// What `cudaMemGetInfo` answered, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    pub free: u64,
    pub total: u64,
}

/// Device memory; stays allocated until it is given to [`Cudart::free`].
#[derive(Debug)]
pub struct Buffer(*mut c_void);

impl Cudart {
    /// Reaches the runtime as asked.
    pub fn open(linkage: Linkage) -> Result<Self> {
        match linkage {
            Linkage::Static => Ok(Self::linked()),
            Linkage::V12 => Self::found(c"libcudart.so.12"),
            Linkage::V13 => Self::found(c"libcudart.so.13"),
        }
    }

    fn linked() -> Self {
        use kvtrace_cuda_sim_runtime as runtime;
        Self {
            get_device_count: runtime::cudaGetDeviceCount,
            set_device: runtime::cudaSetDevice,
            mem_get_info: runtime::cudaMemGetInfo,
            malloc: runtime::cudaMalloc,
            free: runtime::cudaFree,
            synchronize: runtime::cudaDeviceSynchronize,
            get_attribute: runtime::cudaDeviceGetAttribute,
        }
    }

    fn found(library: &CStr) -> Result<Self> {
        // SAFETY: the name is NUL-terminated; the library's constructors are those of a CUDA runtime.
        let handle = unsafe { libc::dlopen(library.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if handle.is_null() {
            let hint = "put its directory on LD_LIBRARY_PATH";
            return Err(Failure::Cuda(format!("cannot load the CUDA runtime: {}; {hint}", last_dl_error())));
        }
        let symbol = |name: &CStr| {
            // SAFETY: a handle that dlopen gave, and a NUL-terminated name.
            let address = unsafe { libc::dlsym(handle, name.as_ptr()) };
            if address.is_null() {
                let hint = "is another library of that name on LD_LIBRARY_PATH?";
                return Err(Failure::Cuda(format!("no such CUDA function: {}; {hint}", last_dl_error())));
            }
            Ok(address)
        };
        macro_rules! function {
            ($name:literal: $signature:ty) => {{
                let address = symbol($name)?;
                // SAFETY: not null, and the CUDA runtime documents this signature under this name.
                unsafe { std::mem::transmute::<*mut c_void, $signature>(address) }
            }};
        }
        Ok(Self {
            get_device_count: function!(c"cudaGetDeviceCount": unsafe extern "C" fn(*mut c_int) -> c_int),
            set_device: function!(c"cudaSetDevice": unsafe extern "C" fn(c_int) -> c_int),
            mem_get_info: function!(c"cudaMemGetInfo": unsafe extern "C" fn(*mut usize, *mut usize) -> c_int),
            malloc: function!(c"cudaMalloc": unsafe extern "C" fn(*mut *mut c_void, usize) -> c_int),
            free: function!(c"cudaFree": unsafe extern "C" fn(*mut c_void) -> c_int),
            synchronize: function!(c"cudaDeviceSynchronize": unsafe extern "C" fn() -> c_int),
            get_attribute: function!(
                c"cudaDeviceGetAttribute": unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int
            ),
        })
    }

    /// Makes a device current and returns how many ranks of `ranks` use it: rank r uses device r modulo their number.
    pub fn use_device(&self, rank: u32, ranks: u32) -> Result<u32> {
        let mut count = 0;
        // SAFETY: a valid place for one int.
        check("cudaGetDeviceCount", unsafe { (self.get_device_count)(&mut count) })?;
        let Some(count) = u32::try_from(count).ok().filter(|count| *count > 0) else {
            return Err(Failure::Cuda("the CUDA runtime found no device; is the driver's libcuda.so.1 there?".into()));
        };
        let device = rank % count;
        // SAFETY: takes a number.
        check("cudaSetDevice", unsafe { (self.set_device)(device as c_int) })?;
        Ok((0..ranks).filter(|other| other % count == device).count().max(1) as u32)
    }

    /// Free and total memory.
    pub fn memory(&self) -> Result<Memory> {
        let (mut free, mut total) = (0usize, 0usize);
        // SAFETY: two valid places for a size each.
        check("cudaMemGetInfo", unsafe { (self.mem_get_info)(&mut free, &mut total) })?;
        Ok(Memory { free: free as u64, total: total as u64 })
    }

    /// Whether CPU and GPU share one memory.
    pub fn is_integrated(&self) -> Result<bool> {
        const INTEGRATED: c_int = 18;
        let mut value = 0;
        // SAFETY: a valid place for one int.
        check("cudaDeviceGetAttribute", unsafe { (self.get_attribute)(&mut value, INTEGRATED, 0) })?;
        Ok(value != 0)
    }

    /// Allocates device memory for `purpose`.
    pub fn malloc(&self, bytes: u64, purpose: &str) -> Result<Buffer> {
        let mut address = ptr::null_mut();
        // SAFETY: a valid place for one pointer.
        let rc = unsafe { (self.malloc)(&mut address, bytes as usize) };
        if rc == OUT_OF_MEMORY {
            let free =
                self.memory().map(|memory| format!(", {} are free", size::show(memory.free))).unwrap_or_default();
            let what = format!("{purpose} ({}) does not fit on the device{free}", size::show(bytes));
            let hint = "lower --fraction, --weights-bytes or --transient, or drop page cache";
            return Err(Failure::Cuda(format!("{what}: cudaMalloc: out of memory; {hint}")));
        }
        check("cudaMalloc", rc).map(|()| Buffer(address))
    }

    /// Frees device memory.
    pub fn free(&self, buffer: Buffer) -> Result<()> {
        // SAFETY: the pointer came from this runtime's malloc and the buffer is consumed.
        check("cudaFree", unsafe { (self.free)(buffer.0) })
    }

    /// Waits for the device.
    pub fn synchronize(&self) -> Result<()> {
        // SAFETY: takes nothing.
        check("cudaDeviceSynchronize", unsafe { (self.synchronize)() })
    }
}

fn check(call: &str, rc: c_int) -> Result<()> {
    let meaning = match rc {
        0 => return Ok(()),
        1 => "invalid value",
        OUT_OF_MEMORY => "out of memory; lower --fraction or --weights-bytes, or end other users of the device",
        3 => "initialization error; can the file that KVTRACE_SIM_STATE names be written?",
        35 => "no usable driver; put the directory of libcuda.so.1 on LD_LIBRARY_PATH",
        100 => "no device",
        _ => "see the CUDA runtime's list of errors",
    };
    Err(Failure::Cuda(format!("{call} failed with error {rc}: {meaning}")))
}

fn last_dl_error() -> String {
    // SAFETY: dlerror returns null or a NUL-terminated text that stays until the next call in this thread.
    unsafe {
        let text = libc::dlerror();
        if text.is_null() { "unknown error".into() } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
    }
}
