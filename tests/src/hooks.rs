//! The hook table as the built preload itself tells it.

use crate::kit;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

/// One hooked function in one of its ABIs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The exported name.
    pub symbol: String,
    /// The name without the suffix of its ABI.
    pub name: String,
    /// `driver`, `runtime` and so on.
    pub layer: String,
    /// What it does to memory, in the words of the documentation.
    pub effect: String,
    /// `name: type` of each argument, in the preload's types.
    pub arguments: String,
    /// Of the runtime, its major version; else 0.
    pub major: u32,
    /// CUDA versions in which the name means this ABI: from the first, below the second; 0 where there is one only.
    pub versions: (u32, u32),
    /// Whether it is the variant with a default stream per thread.
    pub per_thread: bool,
}

impl Row {
    /// Whether it is the driver's function of that name in the ABI of that version.
    pub fn is_abi(&self, name: &str, version: u32, per_thread: bool) -> bool {
        let (since, until) = self.versions;
        let fits = (since..until).contains(&version) && self.per_thread == per_thread;
        self.layer == "driver" && self.name == name && fits
    }
}

/// As the preload lays it out in memory.
#[repr(C)]
struct Raw {
    texts: [(*const u8, usize); 5],
    numbers: [u32; 4],
}

/// Every row of the built preload.
///
/// # Panics
/// If it cannot be loaded or has no table.
pub fn table() -> Vec<Row> {
    let path = CString::new(kit("lib/libkvtrace.so").as_os_str().as_bytes()).expect("a path");
    // SAFETY: its constructor reads the environment and changes nothing; in this scope none of its hooks is reached.
    let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    assert!(!library.is_null(), "{} loads", path.to_string_lossy());
    // SAFETY: a valid handle and a C string.
    let hook = unsafe { libc::dlsym(library, c"kvtrace_hook".as_ptr()) };
    assert!(!hook.is_null(), "{} has a table", path.to_string_lossy());
    // SAFETY: the exported signature of the preload.
    let hook: extern "C" fn(usize, *mut Raw) -> i32 = unsafe { std::mem::transmute(hook) };
    let mut raw = Raw { texts: [(std::ptr::null(), 0); 5], numbers: [0; 4] };
    let mut rows = Vec::new();
    while hook(rows.len(), &mut raw) == 1 {
        let [symbol, name, layer, effect, arguments] = raw.texts.map(|(at, len)| {
            // SAFETY: the texts are static data of a library that cannot be unloaded.
            let bytes = unsafe { std::slice::from_raw_parts(at, len) };
            String::from_utf8(bytes.to_vec()).expect("text")
        });
        let [major, since, until, per_thread] = raw.numbers;
        let versions = (since, until);
        rows.push(Row { symbol, name, layer, effect, arguments, major, versions, per_thread: per_thread != 0 });
    }
    rows
}
