//! Whether a path is that of a model's weights, by the end of its name.

use crate::text::{base_name, contains};
use core::ffi::c_char;

/// Files with a name of many uses are weights from here on, bytes.
pub const LARGE: u64 = 64 << 20;

/// What a file of weights is by its name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// As the trace spells it.
    pub name: &'static str,
    ending: &'static [u8],
    /// Whether other files end like this too.
    is_common: bool,
}

/// safetensors, of which the header is read.
pub const SAFETENSORS: Format = Format { name: "safetensors", ending: b".safetensors", is_common: false };

const FORMATS: [Format; 11] = [
    SAFETENSORS,
    Format { name: "gguf", ending: b".gguf", is_common: false },
    Format { name: "ggml", ending: b".ggml", is_common: false },
    Format { name: "pytorch", ending: b".bin", is_common: true },
    Format { name: "pytorch", ending: b".pt", is_common: true },
    Format { name: "pytorch", ending: b".pth", is_common: true },
    Format { name: "pytorch", ending: b".ckpt", is_common: true },
    Format { name: "tensorrt", ending: b".engine", is_common: false },
    Format { name: "tensorrt", ending: b".plan", is_common: false },
    Format { name: "nemo", ending: b".nemo", is_common: false },
    Format { name: "onnx", ending: b".onnx", is_common: false },
];

/// What the names of checkpoints contain.
const CHECKPOINTS: [&[u8]; 6] = [b"model", b"consolidated", b"checkpoint", b"weight", b"mp_rank", b"ggml"];

const fn tail(end: [u8; 4]) -> u32 {
    u32::from_le_bytes(end)
}

/// Whether the path may be one, from its last four bytes: every file that the program opens comes by here.
///
/// # Safety
/// `path` is a C string.
#[inline]
pub unsafe fn may_be(path: *const c_char) -> bool {
    const SORS: u32 = tail(*b"sors");
    const GGUF: u32 = tail(*b"gguf");
    const GGML: u32 = tail(*b"ggml");
    const BIN: u32 = tail(*b".bin");
    const PT: u32 = tail(*b"\0.pt");
    const PTH: u32 = tail(*b".pth");
    const CKPT: u32 = tail(*b"ckpt");
    const GINE: u32 = tail(*b"gine");
    const PLAN: u32 = tail(*b"plan");
    const NEMO: u32 = tail(*b"nemo");
    const ONNX: u32 = tail(*b"onnx");
    // SAFETY: the caller's promise.
    let size = unsafe { libc::strlen(path) };
    if size < 4 {
        return false;
    }
    // SAFETY: the string has at least four bytes.
    let end = u32::from_le(unsafe { path.add(size.wrapping_sub(4)).cast::<u32>().read_unaligned() });
    matches!(end, SORS | GGUF | GGML | BIN | PTH | CKPT | GINE | PLAN | NEMO | ONNX) || end & 0xffff_ff00 == PT
}

/// The format of a path.
pub fn format(path: &[u8]) -> Option<Format> {
    FORMATS.into_iter().find(|format| path.ends_with(format.ending))
}

impl Format {
    /// Whether a file of this name and size is one.
    pub fn fits(self, path: &[u8], size: u64) -> bool {
        let name = base_name(path);
        !self.is_common || size >= LARGE || CHECKPOINTS.iter().any(|part| contains(name, part))
    }
}
