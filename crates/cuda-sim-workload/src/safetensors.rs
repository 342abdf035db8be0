//! Writes a checkpoint: safetensors files with an index. The names and the layout are real, the values are not.

use crate::checkpoint::share;
use crate::failure::{Failure, Result};
use crate::page_cache::write_bytes;
use crate::progress::Progress;
use serde_json::{Map, Value, json};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

const SHARD: u64 = 4 << 30;
/// Columns of every matrix, so that a row of bf16 is 8 KiB.
const COLUMNS: u64 = 4096;
const ROW: u64 = COLUMNS * 2;
/// Tensors of one layer, and how many rows each has.
const LAYER: [(&str, u64); 7] = [
    ("self_attn.q_proj", 4096),
    ("self_attn.k_proj", 1024),
    ("self_attn.v_proj", 1024),
    ("self_attn.o_proj", 4096),
    ("mlp.gate_proj", 14_336),
    ("mlp.up_proj", 14_336),
    ("mlp.down_proj", 14_336),
];
/// More tensors than this are not put into one file: what is left goes into one large tensor.
const MOST_TENSORS: u64 = 4096;
/// A file smaller than its header could be is refused.
const LEAST_FILE: u64 = 4096;
/// A tensor's entry in the header is shorter than this.
const LAST_TENSOR: usize = 160;

/// A tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Tensor {
    name: String,
    kind: &'static str,
    shape: Vec<u64>,
    bytes: u64,
}

/// Writes files of `bytes` together, and their index.
pub fn make(directory: &Path, bytes: u64, shards: Option<u32>) -> Result<()> {
    let shards = shards.unwrap_or_else(|| bytes.div_ceil(SHARD).clamp(1, 99_999) as u32);
    if bytes / u64::from(shards) < LEAST_FILE {
        let hint = format!("ask for at least {LEAST_FILE} bytes per file");
        return Err(Failure::Input(format!("{bytes} bytes are too few for {shards} files; {hint}")));
    }
    fs::create_dir_all(directory).map_err(|error| Failure::file("create", directory, &error))?;
    let mut progress = Progress::new("writing", bytes);
    let (mut map, mut total, mut next) = (Map::new(), 0, 0);
    for shard in 0..shards {
        let (from, to) = share(bytes, shard, shards);
        let name = file_name(shard, shards);
        let path = directory.join(&name);
        let (header, tensors) = layout(to - from, &mut next);
        write(&path, &header, to - from, &mut progress).map_err(|error| Failure::file("write", &path, &error))?;
        for tensor in tensors {
            total += tensor.bytes;
            map.insert(tensor.name, Value::from(name.as_str()));
        }
    }
    let index = json!({ "metadata": { "total_size": total }, "weight_map": map });
    let path = directory.join("model.safetensors.index.json");
    fs::write(&path, format!("{index:#}\n")).map_err(|error| Failure::file("write", &path, &error))
}

fn file_name(shard: u32, shards: u32) -> String {
    if shards == 1 { "model.safetensors".into() } else { format!("model-{:05}-of-{shards:05}.safetensors", shard + 1) }
}

fn write(path: &Path, header: &[u8], size: u64, progress: &mut Progress) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header)?;
    write_bytes(&mut file, size - 8 - header.len() as u64, progress)?;
    // Dirty pages could not be dropped by anyone who needs the memory.
    file.sync_data()
}

/// The header and the tensors of a file of `size` bytes; `next` counts tensors over all files.
fn layout(size: u64, next: &mut u64) -> (Vec<u8>, Vec<Tensor>) {
    let mut first = *next;
    // The header takes from the data, which then holds no more rows than this, and perhaps one tensor of what is left.
    let room = (header(&tensors(size, &mut first)).len() + LAST_TENSOR).next_multiple_of(8);
    let tensors = tensors(size - 8 - room as u64, next);
    let mut text = header(&tensors);
    // The format allows blanks at the end.
    text.resize(room, b' ');
    (text, tensors)
}

/// Tensors that fill `bytes` exactly.
fn tensors(bytes: u64, next: &mut u64) -> Vec<Tensor> {
    let mut list = Vec::new();
    let mut left = bytes;
    while left >= ROW {
        let (layer, (part, rows)) = (*next / LAYER.len() as u64, LAYER[(*next % LAYER.len() as u64) as usize]);
        let last = list.len() as u64 + 1 >= MOST_TENSORS;
        let rows = if last { left / ROW } else { rows.min(left / ROW) };
        let name = format!("model.layers.{layer}.{part}.weight");
        list.push(Tensor { name, kind: "BF16", shape: vec![rows, COLUMNS], bytes: rows * ROW });
        left -= rows * ROW;
        *next += 1;
    }
    if left > 0 {
        let name = format!("model.layers.{}.mlp.scales_{}", *next / LAYER.len() as u64, *next % LAYER.len() as u64);
        list.push(Tensor { name, kind: "U8", shape: vec![left], bytes: left });
        *next += 1;
    }
    list
}

fn header(tensors: &[Tensor]) -> Vec<u8> {
    let mut map = Map::new();
    map.insert("__metadata__".into(), json!({ "format": "pt" }));
    let mut offset = 0;
    for tensor in tensors {
        let end = offset + tensor.bytes;
        let entry = json!({ "dtype": tensor.kind, "shape": tensor.shape, "data_offsets": [offset, end] });
        map.insert(tensor.name.clone(), entry);
        offset = end;
    }
    Value::Object(map).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Checks a file as a reader of the format would, and returns its tensors.
    fn read(header: &[u8], size: u64) -> BTreeSet<String> {
        let value: Value = serde_json::from_slice(header).unwrap();
        let mut ranges = Vec::new();
        let mut names = BTreeSet::new();
        for (name, entry) in value.as_object().unwrap() {
            if name == "__metadata__" {
                continue;
            }
            let of = |key: &str| entry[key].as_array().unwrap().iter().map(|v| v.as_u64().unwrap()).collect::<Vec<_>>();
            let width = if entry["dtype"] == "BF16" { 2 } else { 1 };
            let (shape, range) = (of("shape"), of("data_offsets"));
            assert_eq!(shape.iter().product::<u64>() * width, range[1] - range[0], "{name}");
            ranges.push((range[0], range[1]));
            names.insert(name.clone());
        }
        ranges.sort_unstable();
        let end = ranges.iter().fold(0, |at, (from, to)| {
            assert_eq!(at, *from, "no gap and no overlap");
            *to
        });
        assert_eq!(8 + header.len() as u64 + end, size);
        names
    }

    #[test]
    fn any_size_is_filled_exactly() {
        let mut next = 0;
        let mut names = BTreeSet::new();
        for size in [LEAST_FILE, LEAST_FILE + 1, 70_000, 1 << 20, 67_108_864, SHARD, SHARD + 12_345, 400 << 30] {
            let (header, tensors) = layout(size, &mut next);
            assert_eq!(header.len() % 8, 0);
            let found = read(&header, size);
            assert_eq!(found.len(), tensors.len());
            assert!(found.is_disjoint(&names), "names are unique over files");
            names.extend(found);
        }
    }

    #[test]
    fn files_and_index() {
        let directory = tempfile::tempdir().unwrap();
        make(directory.path(), 200_001, Some(3)).unwrap();
        let index = fs::read(directory.path().join("model.safetensors.index.json")).unwrap();
        let index: Value = serde_json::from_slice(&index).unwrap();
        let (mut size, mut names) = (0, BTreeSet::new());
        for shard in 0..3 {
            let name = file_name(shard, 3);
            let bytes = fs::read(directory.path().join(&name)).unwrap();
            let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            for tensor in read(&bytes[8..8 + length], bytes.len() as u64) {
                assert_eq!(index["weight_map"][&tensor], name.as_str());
                names.insert(tensor);
            }
            size += bytes.len();
        }
        assert_eq!(size, 200_001);
        assert_eq!(index["weight_map"].as_object().unwrap().len(), names.len());
        assert!(make(directory.path(), 100, None).is_err());
    }
}
