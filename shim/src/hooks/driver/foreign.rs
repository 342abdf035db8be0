use super::{Layer, Pointer, hooks, out};
use crate::effect::{alloc, alloc_foreign, free, note};
use crate::hooks::layouts::{IpcHandle, external_bytes};
use core::ffi::c_void;

/// Seen by this process, taken by another process or another API: no bytes of this one.
const FOREIGN: &str = "foreign";

hooks! { Layer::Driver, i32, ();
    cuIpcGetMemHandle as "cuIpcGetMemHandle" 4010..99999 (handle: *mut IpcHandle, at: Pointer) -> 3
        |call, rc| note(&call, rc.into(), at, 0);
    cuIpcOpenMemHandle as "cuIpcOpenMemHandle" 4010..11000 (at: *mut Pointer, handle: IpcHandle, flags: u32) -> 3
        |call, rc| alloc_foreign(&call, rc.into(), out!(rc, at).unwrap_or(0));
    cuIpcOpenMemHandle_v2 as "cuIpcOpenMemHandle" 11000..99999 (at: *mut Pointer, handle: IpcHandle, flags: u32) -> 3
        |call, rc| alloc_foreign(&call, rc.into(), out!(rc, at).unwrap_or(0));
    cuIpcCloseMemHandle as "cuIpcCloseMemHandle" 4010..99999 (at: Pointer) -> 3
        |call, rc| free(&call, rc.into(), FOREIGN, at);
    cuImportExternalMemory as "cuImportExternalMemory" 10000..99999
        (memory: *mut usize, description: *const c_void) -> 3
        |call, rc| alloc(&call, rc.into(), FOREIGN, external_bytes(description), out!(rc, memory).unwrap_or(0));
    cuExternalMemoryGetMappedBuffer as "cuExternalMemoryGetMappedBuffer" 10000..99999
        (at: *mut Pointer, memory: usize, description: *const c_void) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, at).unwrap_or(0), 0);
    cuExternalMemoryGetMappedMipmappedArray as "cuExternalMemoryGetMappedMipmappedArray" 10000..99999
        (array: *mut usize, memory: usize, description: *const c_void) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, array).unwrap_or(0), 0);
    cuDestroyExternalMemory as "cuDestroyExternalMemory" 10000..99999 (memory: usize) -> 3
        |call, rc| free(&call, rc.into(), FOREIGN, memory as u64);
    cuGraphicsResourceGetMappedPointer as "cuGraphicsResourceGetMappedPointer" 3000..3020
        (at: *mut u32, size: *mut u32, resource: usize) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, at).unwrap_or(0), out!(rc, size).unwrap_or(0));
    cuGraphicsResourceGetMappedPointer_v2 as "cuGraphicsResourceGetMappedPointer" 3020..99999
        (at: *mut Pointer, size: *mut usize, resource: usize) -> 3
        |call, rc| note(&call, rc.into(), out!(rc, at).unwrap_or(0), out!(rc, size).unwrap_or(0));
}
