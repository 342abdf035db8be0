//! Files of a model, and what of them is in the page cache.

use super::Figures;
use crate::parse::hex;
use serde::Deserialize;
use std::borrow::Cow;

calls! {
    /// A file of a model's weights was opened for the first time by this process.
    Weights {
        /// Number of the file in this process, from 1.
        id: u32,
        /// Path as given, made absolute.
        #[serde(borrow)] path: Cow<'a, str>,
        /// Device number, `MAJOR << 32 | MINOR`.
        device: u64,
        /// Inode.
        inode: u64,
        /// Size, bytes.
        size: u64,
        /// Modification time, ns since 1970.
        mtime: u64,
        /// Flags of the `open`.
        #[serde(deserialize_with = "hex")] flags: u64,
        /// `safetensors`, `gguf`, `pytorch`, ...
        #[serde(borrow)] format: Cow<'a, str>,
        /// Bytes of tensors by dtype (`BF16`, ...), from the header of a safetensors file.
        #[serde(default)] dtypes: Figures<'a>,
        /// Number of tensors in it.
        #[serde(default)] tensors: u64,
        /// 64-bit FNV-1a of that header, 0 if there is none.
        #[serde(default, deserialize_with = "hex")] header: u64,
    }
    /// What the program does with a file of weights.
    Use {
        /// Number of the file.
        id: u32,
        /// `open` (once more), `mmap`, `fadvise` or `madvise`.
        #[serde(borrow)] how: Cow<'a, str>,
        /// Begin of the range in the file.
        #[serde(default)] at: u64,
        /// Its length, bytes; 0 for all of the file.
        #[serde(default)] size: u64,
        /// Advice by its name, or the flags of open and mmap in hex.
        #[serde(borrow, default)] advice: Cow<'a, str>,
    }
}

events! {
    /// How much of files is in the page cache.
    Cached {
        /// Number of the query or of the `weights` event, 0 beside a sample.
        of: u64,
        /// Number of the file of weights; absent for a group of files. Its line is written when a figure has changed.
        #[serde(default)] id: Option<u32>,
        /// `weights`: all files of weights that were asked for; `libraries`: the other files that are mapped; or the path
        /// that the user named. Empty if `id` is there.
        #[serde(borrow, default)] group: Cow<'a, str>,
        /// How many files this is about.
        files: u64,
        /// Their size together, bytes.
        size: u64,
        /// Bytes of them in the page cache.
        cached: u64,
        /// Of those, bytes that are to be written back; absent if that was not asked.
        #[serde(default)] dirty: Option<u64>,
        /// Bytes that were in the page cache and were evicted from it; absent if that was not asked.
        #[serde(default)] evicted: Option<u64>,
        /// How it was asked: `cachestat` or `mincore`.
        #[serde(borrow)] by: Cow<'a, str>,
    }
    /// The description of a model beside its weights.
    Config {
        /// Path.
        #[serde(borrow)] path: Cow<'a, str>,
        /// Size, bytes.
        size: u64,
        /// 64-bit FNV-1a of the whole file.
        #[serde(deserialize_with = "hex")] digest: u64,
        /// Its text, if it fits into the line.
        #[serde(borrow, default)] text: Cow<'a, str>,
    }
}
