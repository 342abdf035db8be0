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
    if text.contains("using device CUDA") {
        let free = text.rsplit_once(" - ").and_then(|(_, rest)| number(rest, ""));
        set(&mut witness.free, free, evidence);
    }
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
}
