#![doc = include_str!("../README.md")]

pub mod element;
pub mod float;
pub mod kv_bytes;
pub mod line;
pub mod llama_cpp;
pub mod model;
pub mod ollama;
pub mod refusal;
pub mod sglang;
pub mod tensorrt_llm;
pub mod terms;
pub mod units;
pub mod vllm;

pub use float::Fractions;
pub use refusal::Refusal;
pub use terms::{Bound, Terms};

/// Bytes in a GiB.
pub const GIB: u64 = 1 << 30;
/// Bytes in a MiB.
pub const MIB: u64 = 1 << 20;
