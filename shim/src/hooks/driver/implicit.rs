use super::{Device, Layer, hooks, out};
use crate::effect::note;
use core::ffi::{c_char, c_void};

// How much a context, a module or a heap takes, the driver tells nobody. The calls are in the trace so that a fall of
// the free memory between two queries has a name.
hooks! { Layer::Driver, i32, ();
    cuInit as "cuInit" 2000..99999 (flags: u32) -> 3 |call, rc| note(&call, rc.into(), 0, 0);
    cuDevicePrimaryCtxRetain as "cuDevicePrimaryCtxRetain" 7000..99999 (context: *mut usize, dev: Device) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, context).unwrap_or(0), 0);
    cuDevicePrimaryCtxRelease as "cuDevicePrimaryCtxRelease" 7000..11000 (dev: Device) -> 3
        |call, rc| note(&call, rc.into(), 0, 0);
    cuDevicePrimaryCtxRelease_v2 as "cuDevicePrimaryCtxRelease" 11000..99999 (dev: Device) -> 3
        |call, rc| note(&call, rc.into(), 0, 0);
    cuDevicePrimaryCtxReset as "cuDevicePrimaryCtxReset" 7000..11000 (dev: Device) -> 3
        |call, rc| note(&call, rc.into(), 0, 0);
    cuDevicePrimaryCtxReset_v2 as "cuDevicePrimaryCtxReset" 11000..99999 (dev: Device) -> 3
        |call, rc| note(&call, rc.into(), 0, 0);
    cuCtxCreate as "cuCtxCreate" 2000..3020 (context: *mut usize, flags: u32, dev: Device) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, context).unwrap_or(0), 0);
    cuCtxCreate_v2 as "cuCtxCreate" 3020..11040 (context: *mut usize, flags: u32, dev: Device) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, context).unwrap_or(0), 0);
    cuCtxCreate_v3 as "cuCtxCreate" 11040..12050
        (context: *mut usize, affinity: *mut c_void, number: i32, flags: u32, dev: Device) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, context).unwrap_or(0), 0);
    cuCtxCreate_v4 as "cuCtxCreate" 12050..99999
        (context: *mut usize, parameters: *mut c_void, flags: u32, dev: Device) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, context).unwrap_or(0), 0);
    cuCtxDestroy as "cuCtxDestroy" 2000..4000 (context: usize) -> 3
        |call, rc| note(&call, rc.into(), context as u64, 0);
    cuCtxDestroy_v2 as "cuCtxDestroy" 4000..99999 (context: usize) -> 3
        |call, rc| note(&call, rc.into(), context as u64, 0);
    cuCtxSetLimit as "cuCtxSetLimit" 3010..99999 (limit: i32, value: usize) -> 3
        |call, rc| note(&call, rc.into(), limit as u64, value as u64);
    cuGreenCtxCreate as "cuGreenCtxCreate" 12040..99999
        (context: *mut usize, resources: usize, dev: Device, flags: u32) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, context).unwrap_or(0), 0);
    cuGreenCtxDestroy as "cuGreenCtxDestroy" 12040..99999 (context: usize) -> 3
        |call, rc| note(&call, rc.into(), context as u64, 0);

    cuModuleLoad as "cuModuleLoad" 2000..99999 (module: *mut usize, path: *const c_char) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, module).unwrap_or(0), 0);
    cuModuleLoadData as "cuModuleLoadData" 2000..99999 (module: *mut usize, image: *const c_void) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, module).unwrap_or(0), 0);
    cuModuleLoadDataEx as "cuModuleLoadDataEx" 2010..99999
        (module: *mut usize, image: *const c_void, number: u32, options: *mut i32, values: *mut *mut c_void) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, module).unwrap_or(0), 0);
    cuModuleLoadFatBinary as "cuModuleLoadFatBinary" 2000..99999 (module: *mut usize, image: *const c_void) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, module).unwrap_or(0), 0);
    cuModuleUnload as "cuModuleUnload" 2000..99999 (module: usize) -> 3
        |call, rc| note(&call, rc.into(), module as u64, 0);
    cuLibraryLoadData as "cuLibraryLoadData" 12000..99999
        (library: *mut usize, code: *const c_void, jit: *mut i32, jit_values: *mut *mut c_void, jit_number: u32,
            options: *mut i32, values: *mut *mut c_void, number: u32) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, library).unwrap_or(0), 0);
    cuLibraryLoadFromFile as "cuLibraryLoadFromFile" 12000..99999
        (library: *mut usize, path: *const c_char, jit: *mut i32, jit_values: *mut *mut c_void, jit_number: u32,
            options: *mut i32, values: *mut *mut c_void, number: u32) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, library).unwrap_or(0), 0);
    cuLibraryUnload as "cuLibraryUnload" 12000..99999 (library: usize) -> 3
        |call, rc| note(&call, rc.into(), library as u64, 0);
    cuCheckpointProcessCheckpoint as "cuCheckpointProcessCheckpoint" 12080..99999
        (pid: i32, options: *mut c_void) -> 3
        |call, rc| note(&call, rc.into(), 0, 0);
    cuCheckpointProcessRestore as "cuCheckpointProcessRestore" 12080..99999 (pid: i32, options: *mut c_void) -> 3
        |call, rc| note(&call, rc.into(), 0, 0);
}
