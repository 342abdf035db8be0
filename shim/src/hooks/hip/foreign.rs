use super::layouts::{IpcHandle, external_bytes};
use super::{Handle, Layer, Pointer, hooks, out};
use crate::effect::{alloc, alloc_foreign, free, note};
use core::ffi::c_void;

/// Seen by this process, taken by another process or another API: no bytes of this one.
const FOREIGN: &str = "foreign";

hooks! { Layer::Hip, i32, ();
    hipIpcGetMemHandle as "hipIpcGetMemHandle" 0..0 (handle: *mut IpcHandle, at: Pointer) -> 3
        |call, rc| note(&call, rc.into(), at as u64, 0);
    hipIpcOpenMemHandle as "hipIpcOpenMemHandle" 0..0 (at: *mut Pointer, handle: IpcHandle, flags: u32) -> 3
        |call, rc| alloc_foreign(&call, rc.into(), out!(rc, at).unwrap_or(0));
    hipIpcCloseMemHandle as "hipIpcCloseMemHandle" 0..0 (at: Pointer) -> 3
        |call, rc| free(&call, rc.into(), FOREIGN, at as u64);
    hipImportExternalMemory as "hipImportExternalMemory" 0..0
        (memory: *mut Handle, description: *const c_void) -> 3
        |call, rc| alloc(&call, rc.into(), FOREIGN, external_bytes(description), out!(rc, memory).unwrap_or(0));
    hipExternalMemoryGetMappedBuffer as "hipExternalMemoryGetMappedBuffer" 0..0
        (at: *mut Pointer, memory: Handle, description: *const c_void) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, at).unwrap_or(0), 0);
    hipExternalMemoryGetMappedMipmappedArray as "hipExternalMemoryGetMappedMipmappedArray" 0..0
        (array: *mut Handle, memory: Handle, description: *const c_void) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, array).unwrap_or(0), 0);
    hipDestroyExternalMemory as "hipDestroyExternalMemory" 0..0 (memory: Handle) -> 3
        |call, rc| free(&call, rc.into(), FOREIGN, memory as u64);
    hipGraphicsResourceGetMappedPointer as "hipGraphicsResourceGetMappedPointer" 0..0
        (at: *mut Pointer, size: *mut usize, resource: Handle) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, at).unwrap_or(0), out!(rc, size).unwrap_or(0));
}
