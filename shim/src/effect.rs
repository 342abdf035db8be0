//! From a finished call to its event. One function for each thing that a call can do to memory; a row of the hook
//! table names one of them.

use crate::device::{self, Api};
use crate::hooks::{Hook, Layer};
use crate::trace::Event;
use crate::view::{self, Asked};
use crate::{arch, helper, modules, pools, python, sys};
use kvtrace_trace::line::Line;
use kvtrace_trace::record;

/// A hooked call between its entry and its event.
pub struct Call {
    hook: &'static Hook,
    return_address: usize,
    begin: u64,
    dur: u64,
    depth: u32,
    detour: bool,
}

impl Call {
    /// To be made first thing in a wrapper's body: the stub has just noted the return address.
    pub fn enter(hook: &'static Hook) -> Call {
        let thread = arch::thread();
        let return_address = thread.return_address.get();
        let depth = thread.depth.get();
        thread.depth.set(depth.wrapping_add(1));
        Call { hook, return_address, begin: sys::clock(libc::CLOCK_MONOTONIC), dur: 0, depth, detour: false }
    }

    /// Whether the caller looked up the library's own function, and did not come by its name.
    pub fn is_found(&self) -> bool {
        self.return_address & arch::FOUND != 0
    }

    /// The call goes to another preload's function, which may call the library's own and so come here once more.
    pub fn goes_by(&mut self) {
        self.detour = true;
        arch::thread().told.set(None);
    }

    /// A call that is logged before it runs: it has no result yet.
    pub fn seen(hook: &'static Hook, return_address: usize) -> Call {
        let depth = arch::thread().depth.get();
        Call { hook, return_address, begin: sys::clock(libc::CLOCK_MONOTONIC), dur: 0, depth, detour: false }
    }

    /// Whether the call serves a question of ours, and is nothing that the program did.
    pub fn is_our_own(&self) -> bool {
        helper::is_asking()
    }

    /// The API whose devices the call is about.
    pub fn api(&self) -> &'static Api {
        device::api(self.hook.layer)
    }

    /// Ordinal of the device that is current, -1 if there is none or it must not be asked for. HIP keeps a thread's last
    /// error, which any answer of its replaces, a good one too: after a failed call the program may look there next.
    pub fn device(&self, rc: i64) -> i32 {
        if rc != 0 && self.hook.layer == Layer::Hip { -1 } else { self.api().current() }
    }

    /// Whether no traced call encloses this one.
    pub fn is_outermost(&self) -> bool {
        self.depth == 0
    }

    /// Return address of the call.
    pub fn return_address(&self) -> usize {
        self.return_address & !arch::FOUND
    }

    /// To be called as soon as the real function has returned.
    pub fn returned(&mut self) {
        arch::thread().depth.set(self.depth);
        self.dur = sys::clock(libc::CLOCK_MONOTONIC).wrapping_sub(self.begin);
    }

    /// When it was over.
    pub fn end(&self) -> u64 {
        self.begin.wrapping_add(self.dur)
    }

    /// Writes the view of the machine and the Python stack that belong to the query `number`, if the program itself asked it.
    pub fn view(&self, number: u64) {
        if self.is_outermost() && number != 0 {
            let other = matches!(self.hook.layer, Layer::Libc | Layer::Hip);
            view::write(number, if other { Asked::Other } else { Asked::Nvidia });
            python::stack(number);
        }
    }

    /// A memory file was opened. Returns the event's number, 0 if it was not written.
    pub fn file(&self, path: &core::ffi::CStr, with_content: bool) -> u64 {
        let mut content = [0u8; 256];
        let content = if with_content { sys::read_file(path.to_bytes_with_nul(), &mut content) } else { &[] };
        self.write("file", 0, |line| {
            line.text("path", path.to_bytes()).text("content", content);
        })
    }

    /// The program asks for one of its limits, which the real function is about to tell it.
    pub fn limit(&self, name: &'static str, soft: u64, hard: u64) {
        self.write("call", 0, |line| {
            line.hex("ptr", 0).u64("size", 0).text("limit", name.as_bytes());
            for (key, value) in [("soft", soft), ("hard", hard)] {
                if value != libc::RLIM_INFINITY {
                    line.u64(key, value);
                }
            }
        });
    }

    /// Writes the event: what every call carries, then `fields`. Returns its number, 0 if it was not written.
    pub fn write(&self, kind: &'static str, rc: i64, fields: impl FnOnce(&mut Line)) -> u64 {
        // Bytes are told of once, by the call that reached the library; answers each time, for they may differ.
        let told = arch::thread().told.replace(Some(self.hook));
        if self.detour && kind != "query" && told.is_some_and(|told| told.symbol == self.hook.symbol) {
            return 0;
        }
        let Some(mut event) = Event::begin(kind, self.begin) else { return 0 };
        let caller = modules::caller(self.return_address());
        modules::announce(event.process(), caller);
        let call = record::Call {
            name: self.hook.name,
            layer: self.hook.layer.name(),
            depth: self.depth,
            rc,
            dur: self.dur,
            module: caller.path,
            offset: caller.offset,
        };
        event.write(|line| fields(record::call(line, &call)));
        event.number
    }
}

/// Reads through an out pointer of a call that succeeded.
///
/// # Safety
/// `at` is NULL or was written by the real function.
pub unsafe fn out<T: Copy>(at: *const T) -> Option<T> {
    // SAFETY: the caller's promise.
    (!at.is_null()).then(|| unsafe { at.read_unaligned() })
}

/// The program asked for memory figures of a device that it names, and gets no view. Returns the event's number.
pub fn query_on(call: &Call, rc: i64, dev: i32, free: Option<u64>, total: Option<u64>) -> u64 {
    if rc == 0 {
        call.api().announce(dev);
    }
    call.write("query", rc, |line| {
        line.i64("dev", dev.into());
        if let Some(free) = free {
            line.u64("free", free);
        }
        if let Some(total) = total {
            line.u64("total", total);
        }
    })
}

/// Memory was taken, or was not: `ptr` is 0 then.
pub fn alloc(call: &Call, rc: i64, kind: &'static str, size: u64, ptr: u64) {
    alloc_on(call, rc, kind, call.device(rc), size, ptr);
}

/// As [`alloc`], on a device that the program names.
pub fn alloc_on(call: &Call, rc: i64, kind: &'static str, dev: i32, size: u64, ptr: u64) {
    if rc == 0 && dev >= 0 {
        view::device_used();
    }
    call.write("alloc", rc, |line| {
        line.text("kind", kind.as_bytes()).i64("dev", dev.into()).u64("size", size).hex("ptr", ptr);
    });
}

/// Memory of another process or another API came into sight at `at`.
pub fn alloc_foreign(call: &Call, rc: i64, at: u64) {
    alloc(call, rc, "foreign", call.api().range(at), at);
}

/// Stream-ordered memory was taken, from a pool or from the device's current one (0). On a stream that is being captured
/// nothing was taken: the graph got a node that will.
pub fn pool_alloc(call: &Call, rc: i64, pool: u64, stream: u64, size: u64, ptr: u64) {
    let api = call.api();
    if rc == 0 && api.is_capturing(stream, call.hook.per_thread) {
        return graph_alloc(call, rc, size, ptr);
    }
    let dev = call.device(rc);
    let pool = if pool == 0 && rc == 0 { api.current_pool(dev) } else { pool };
    let watched = if rc == 0 { pools::watch(api, pool, dev) } else { None };
    if watched.is_some_and(pools::Watched::is_on_host) {
        return alloc_on(call, rc, "host", -1, size, ptr);
    }
    call.write("alloc", rc, |line| {
        line.text("kind", b"async").i64("dev", dev.into()).u64("size", size).hex("ptr", ptr).hex("pool", pool);
    });
    if let Some(watched) = watched {
        watched.tell(api, call.end(), false);
    }
}

/// A pool was made, on a device or on the host (-1).
pub fn pool_made(call: &Call, rc: i64, pool: u64, dev: i32) {
    note(call, rc, pool, 0);
    if rc == 0 {
        pools::watch(call.api(), pool, dev);
    }
}

/// A pool was changed.
pub fn pool_call(call: &Call, rc: i64, pool: u64, size: u64) {
    note(call, rc, pool, size);
    if rc == 0
        && let Some(watched) = pools::watch(call.api(), pool, call.device(rc))
    {
        watched.tell(call.api(), call.end(), false);
    }
}

/// A pool was destroyed.
pub fn pool_gone(call: &Call, rc: i64, pool: u64, forgotten: Option<pools::Forgotten>) {
    note(call, rc, pool, 0);
    match rc {
        0 => pools::gone(pool, forgotten),
        _ => pools::remember(call.api(), pool, forgotten),
    }
}

/// A graph got a node that takes memory when the graph is launched.
pub fn graph_alloc(call: &Call, rc: i64, size: u64, ptr: u64) {
    let dev = call.device(rc);
    alloc_on(call, rc, "graph", dev, size, ptr);
    if rc == 0 {
        pools::watch_graphs(call.api(), dev);
    }
}

/// A graph may have been given memory of its own, or have given it back.
pub fn graph_note(call: &Call, rc: i64, ptr: u64, size: u64) {
    note(call, rc, ptr, size);
    if rc == 0 {
        pools::watch_graphs(call.api(), call.api().current());
    }
}

/// A call about memory that takes and gives back none that could be counted.
pub fn note(call: &Call, rc: i64, ptr: u64, size: u64) {
    call.write("call", rc, |line| {
        line.hex("ptr", ptr).u64("size", size);
    });
}

/// A handle of physical memory got another holder.
pub fn retain(call: &Call, rc: i64, handle: u64, address: u64) {
    call.write("retain", rc, |line| {
        line.hex("ptr", handle).hex("address", address);
    });
}

/// Managed memory was asked to move to a device, or to the host (-1).
pub fn prefetch(call: &Call, rc: i64, ptr: u64, size: u64, dev: i32) {
    call.write("prefetch", rc, |line| {
        line.hex("ptr", ptr).u64("size", size).i64("dev", dev.into());
    });
}

/// Memory was given back. Freeing NULL is legal, does nothing, and is left out.
pub fn free(call: &Call, rc: i64, kind: &'static str, ptr: u64) {
    if ptr != 0 {
        call.write("free", rc, |line| {
            line.text("kind", kind.as_bytes()).hex("ptr", ptr);
        });
    }
}

/// A handle of physical memory was mapped.
pub fn map(call: &Call, rc: i64, ptr: u64, size: u64, handle: u64) {
    call.write("map", rc, |line| {
        line.hex("ptr", ptr).u64("size", size).hex("handle", handle);
    });
}

/// A mapping was removed.
pub fn unmap(call: &Call, rc: i64, ptr: u64, size: u64) {
    call.write("unmap", rc, |line| {
        line.hex("ptr", ptr).u64("size", size);
    });
}

/// The process made a child; worth a line only in a trace that was begun.
pub fn fork(call: &Call, child: i64) {
    if child > 0 && crate::process::is_tracing() {
        call.write("fork", 0, |line| {
            line.u64("child", child as u64);
        });
    }
}
