//! How each runtime sizes its KV cache: pure arithmetic, without a trace, a file or a device.
//!
//! Bytes are integers, GiB is 2^30 bytes, fractions are shares of one. A new runtime is a new module here.

pub mod kv_bytes;
pub mod line;
pub mod tensorrt_llm;
pub mod units;

/// Bytes in a GiB.
pub const GIB: u64 = 1 << 30;
