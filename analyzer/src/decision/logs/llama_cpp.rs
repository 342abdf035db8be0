//! The lines of llama.cpp.

use super::{Logged, number, set};

/// What the log says.
#[derive(Debug, Default)]
pub struct Witness {
    /// MiB of each buffer of the KV cache on a GPU, two decimals, in order.
    pub buffers: Vec<Logged<f64>>,
    /// Cells of the cache, which are tokens.
    pub cells: Option<Logged<u64>>,
    /// MiB free that the device was listed with.
    pub free: Option<Logged<f64>>,
    /// MiB of all GPUs.
    pub total: Option<Logged<f64>>,
    /// Layers, and MiB of K and of V, of each cache, in order.
    pub caches: Vec<Logged<(u64, f64, f64)>>,
    /// Cells of the layers that see everything, and of those that see a window.
    pub full_cells: Option<Logged<u64>>,
    pub sliding_cells: Option<Logged<u64>>,
}

pub fn read(text: &str, evidence: &str, witness: &mut Witness) {
    if text.contains("CUDA")
        && let Some(mib) = number_behind(text, "KV buffer size =")
    {
        witness.buffers.push(Logged { value: mib, evidence: evidence.to_owned() });
    }
    if text.contains(" cells,") && text.contains("size =") {
        let cells = text.split_once('(').and_then(|(_, rest)| number(rest.trim_start(), ""));
        set(&mut witness.cells, cells, evidence);
    }
    if let Some((_, rest)) = text.split_once(" cells,")
        && let Some(layers) = number(rest.trim_start(), "")
        && let Some((key, value)) = half(rest, " K (").zip(half(rest, " V ("))
    {
        witness.caches.push(Logged { value: (layers, key, value), evidence: evidence.to_owned() });
    }
    // The one name ends in the other.
    let sliding = number_behind(text, "creating     SWA KV cache, size =").map(|cells| cells as u64);
    set(&mut witness.sliding_cells, sliding, evidence);
    let full = number_behind(text, "creating non-SWA KV cache, size =").map(|cells| cells as u64);
    set(&mut witness.full_cells, full, evidence);
    set(&mut witness.total, number_behind(text, "(Total VRAM:"), evidence);
    if text.contains("using device CUDA") {
        let free = text.rsplit_once(" - ").and_then(|(_, rest)| number(rest, ""));
        set(&mut witness.free, free, evidence);
    }
}

/// The MiB behind "K (f16):".
fn half(text: &str, mark: &str) -> Option<f64> {
    let (_, rest) = text.split_once(mark)?;
    number_behind(rest, "):")
}

/// Figures are padded with blanks here.
fn number_behind(text: &str, mark: &str) -> Option<f64> {
    let (_, rest) = text.split_once(mark)?;
    number(rest.trim_start(), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines() {
        let mut witness = Witness::default();
        for line in [
            "llama_model_load_from_file_impl: using device CUDA0 (NVIDIA GB10) (0000:01:00.0) - 80567 MiB free",
            "llama_kv_cache:      CUDA0 KV buffer size =   448.00 MiB",
            "llama_kv_cache: size =  448.00 MiB (  8192 cells,  28 layers, 1/1 seqs), K (f16):  224.00 MiB, V (f16):  224.00 MiB",
        ] {
            assert!(super::super::is_memory_line(line), "{line}");
            read(line, "1:2", &mut witness);
        }
        assert_eq!(witness.buffers.iter().map(|buffer| buffer.value).collect::<Vec<_>>(), [448.0]);
        assert_eq!(witness.cells.map(|cells| cells.value), Some(8192));
        assert_eq!(witness.free.map(|free| free.value), Some(80567.0));
    }

    #[test]
    fn the_lines_of_sliding_windows() {
        let mut witness = Witness::default();
        for line in [
            "ggml_cuda_init: found 1 CUDA devices (Total VRAM: 122570 MiB)",
            "llama_kv_cache_iswa: creating non-SWA KV cache, size = 131072 cells",
            "llama_kv_cache: size = 4608.00 MiB (131072 cells,  18 layers,  1/1 seqs), K (f16): 2304.00 MiB, V (f16): 2304.00 MiB",
            "llama_kv_cache_iswa: creating     SWA KV cache, size = 768 cells",
            "llama_kv_cache: size =   27.00 MiB (   768 cells,  18 layers,  1/1 seqs), K (q8_0):   13.50 MiB, V (f16):   13.50 MiB",
        ] {
            assert!(super::super::is_memory_line(line), "{line}");
            read(line, "1:2", &mut witness);
        }
        assert_eq!(witness.total.map(|total| total.value), Some(122_570.0));
        assert_eq!(witness.full_cells.map(|cells| cells.value), Some(131_072));
        assert_eq!(witness.sliding_cells.map(|cells| cells.value), Some(768));
        let caches: Vec<_> = witness.caches.iter().map(|cache| cache.value).collect();
        assert_eq!(caches, [(18, 2304.0, 2304.0), (18, 13.5, 13.5)]);
    }
}
