use super::{Device, Handle, Layer, hooks, out};
use crate::effect::note;
use core::ffi::{c_char, c_void};

// How much a module or a heap takes, HIP tells nobody. The calls are in the trace so that a fall of the free memory
// between two queries has a name.
hooks! { Layer::Hip, i32, ();
    hipInit as "hipInit" 0..0 (flags: u32) -> 3 |call, rc| note(&call, rc.into(), 0, 0);
    hipDeviceReset as "hipDeviceReset" 0..0 () -> 3 |call, rc| note(&call, rc.into(), 0, 0);
    hipDeviceSetLimit as "hipDeviceSetLimit" 0..0 (limit: i32, value: usize) -> 3
        |call, rc| note(&call, rc.into(), limit as u64, value as u64);
    hipDevicePrimaryCtxRetain as "hipDevicePrimaryCtxRetain" 0..0 (context: *mut Handle, dev: Device) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, context).unwrap_or(0), 0);
    hipDevicePrimaryCtxRelease as "hipDevicePrimaryCtxRelease" 0..0 (dev: Device) -> 3
        |call, rc| note(&call, rc.into(), 0, 0);
    hipDevicePrimaryCtxReset as "hipDevicePrimaryCtxReset" 0..0 (dev: Device) -> 3
        |call, rc| note(&call, rc.into(), 0, 0);
    hipCtxCreate as "hipCtxCreate" 0..0 (context: *mut Handle, flags: u32, dev: Device) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, context).unwrap_or(0), 0);
    hipCtxDestroy as "hipCtxDestroy" 0..0 (context: Handle) -> 3
        |call, rc| note(&call, rc.into(), context as u64, 0);
    hipModuleLoad as "hipModuleLoad" 0..0 (module: *mut Handle, path: *const c_char) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, module).unwrap_or(0), 0);
    hipModuleLoadData as "hipModuleLoadData" 0..0 (module: *mut Handle, image: *const c_void) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, module).unwrap_or(0), 0);
    hipModuleLoadDataEx as "hipModuleLoadDataEx" 0..0
        (module: *mut Handle, image: *const c_void, number: u32, options: *mut i32, values: *mut *mut c_void) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, module).unwrap_or(0), 0);
    hipModuleLoadFatBinary as "hipModuleLoadFatBinary" 0..0 (module: *mut Handle, image: *const c_void) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, module).unwrap_or(0), 0);
    hipModuleUnload as "hipModuleUnload" 0..0 (module: Handle) -> 3
        |call, rc| note(&call, rc.into(), module as u64, 0);
    hipLibraryLoadData as "hipLibraryLoadData" 0..0
        (library: *mut Handle, code: *const c_void, jit: *mut i32, jit_values: *mut *mut c_void, jit_number: u32,
            options: *mut i32, values: *mut *mut c_void, number: u32) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, library).unwrap_or(0), 0);
    hipLibraryLoadFromFile as "hipLibraryLoadFromFile" 0..0
        (library: *mut Handle, path: *const c_char, jit: *mut i32, jit_values: *mut *mut c_void, jit_number: u32,
            options: *mut i32, values: *mut *mut c_void, number: u32) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, library).unwrap_or(0), 0);
    hipLibraryUnload as "hipLibraryUnload" 0..0 (library: Handle) -> 3
        |call, rc| note(&call, rc.into(), library as u64, 0);
}
