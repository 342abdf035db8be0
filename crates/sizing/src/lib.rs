//! How each runtime sizes its KV cache: pure arithmetic.
