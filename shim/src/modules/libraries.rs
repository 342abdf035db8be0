//! Which libraries of a GPU, of a tensor framework or of a serving runtime a process has loaded.

use super::{ENTRIES, TABLE, insert, is_new, known, placed, tell};
use crate::elf;
use crate::process::Process;
use crate::text::base_name;
use core::sync::atomic::Ordering;

/// Beginnings of the names of libraries that say what a process computes with.
const OF_INTEREST: [&[u8]; 38] = [
    b"libcuda",
    b"libnv",
    b"libcublas",
    b"libcudnn",
    b"libcufft",
    b"libcufile",
    b"libcurand",
    b"libcusolver",
    b"libcusparse",
    b"libcupti",
    b"libnccl",
    b"libmpi",
    b"libucp",
    b"libnixl",
    b"libamdhip",
    b"libhsa-runtime",
    b"libhip",
    b"librocblas",
    b"librccl",
    b"libMIOpen",
    b"libtorch",
    b"libc10",
    b"_C.",
    b"_C_",
    b"_moe_C",
    b"_vllm",
    b"_rocm_C",
    b"libtensorrt_llm",
    b"libth_common",
    b"libnvinfer",
    b"bindings.cpython",
    b"common_ops",
    b"sgl_kernel",
    b"libggml",
    b"libllama",
    b"flash_attn",
    b"libtriton",
    b"libonnxruntime",
];

/// Writes the `module` events of all libraries of interest that were loaded since the last time. The loader's lock is held
/// while its list is walked, never while something is written.
#[inline(never)]
pub fn announce_libraries(process: &Process) {
    let loads = elf::walk(&mut |module| Some(module.loads())).unwrap_or(0).wrapping_add(1);
    if process.views.loads.swap(loads, Ordering::AcqRel) == loads {
        return;
    }
    let mut done = 0usize;
    for _ in 0..ENTRIES {
        let (mut at, mut id) = (0usize, [0u8; 40]);
        let found = elf::walk(&mut |module| {
            at = at.wrapping_add(1);
            let base = base_name(module.name());
            if at <= done || !OF_INTEREST.iter().any(|prefix| base.starts_with(prefix)) {
                return None;
            }
            let place = placed(module);
            let index = known(&place).or_else(|| insert(&place)).filter(|index| is_new(process, *index))?;
            Some((index, module.build_id(&mut id)))
        });
        done = at;
        let Some((index, len)) = found else { return };
        if let Some(entry) = TABLE.get(index) {
            tell(entry, id.get(..len).unwrap_or_default());
        }
    }
}
