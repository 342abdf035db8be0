//! Reading a checkpoint: plain buffered reads of every safetensors file, in the order of their names.

use crate::failure::{Failure, Result};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// A segment of device memory for weights is at least this large.
const LEAST_CHUNK: u64 = 32 << 20;
/// Weights are cut into about this many segments.
const CHUNKS: u64 = 32;
/// Segments are whole multiples of this, but for the last.
const GRANULE: u64 = 2 << 20;
const BUFFER: usize = 1 << 20;

/// The files of a checkpoint.
#[derive(Debug, Default)]
pub struct Checkpoint {
    files: Vec<(PathBuf, u64)>,
}

impl Checkpoint {
    /// Finds the safetensors files of a directory.
    pub fn open(directory: &Path) -> Result<Self> {
        let unreadable = |error: std::io::Error| Failure::file("read the weights in", directory, &error);
        let mut files = Vec::new();
        for entry in fs::read_dir(directory).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_some_and(|extension| extension == "safetensors") {
                let size = fs::metadata(&path).map_err(|error| Failure::file("read", &path, &error))?.len();
                files.push((path, size));
            }
        }
        files.sort();
        if files.is_empty() {
            let hint = "write some with `kvtrace-workload make-weights`";
            return Err(Failure::Input(format!("no *.safetensors in {}; {hint}", directory.display())));
        }
        Ok(Self { files })
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|(_, size)| size).sum()
    }

    /// A reader over the share of one of `ranks` ranks: an even slice of each file.
    pub fn reader(&self, rank: u32, ranks: u32) -> Reader {
        let mut slices: Vec<Slice> = self
            .files
            .iter()
            .map(|(path, size)| {
                let (from, to) = share(*size, rank, ranks);
                Slice { path: path.clone(), from, to }
            })
            .collect();
        slices.reverse();
        let left = slices.iter().map(|slice| slice.to - slice.from).sum();
        Reader { slices, open: None, left, buffer: vec![0; BUFFER] }
    }
}

/// The bounds of the share of one of `ranks` in `size`.
pub fn share(size: u64, rank: u32, ranks: u32) -> (u64, u64) {
    let at = |rank: u32| (u128::from(size) * u128::from(rank) / u128::from(ranks.max(1))) as u64;
    (at(rank), at(rank + 1))
}

/// How `bytes` of weights are cut into device allocations.
pub fn chunks(bytes: u64) -> impl Iterator<Item = u64> {
    let chunk = bytes.div_ceil(CHUNKS).next_multiple_of(GRANULE).max(LEAST_CHUNK);
    (0..bytes.div_ceil(chunk)).map(move |i| chunk.min(bytes - i * chunk))
}

struct Slice {
    path: PathBuf,
    from: u64,
    to: u64,
}

/// Reads a share of a checkpoint piece by piece.
pub struct Reader {
    /// What is still to be opened, the next at the end.
    slices: Vec<Slice>,
    open: Option<(File, Slice)>,
    left: u64,
    buffer: Vec<u8>,
}

impl Reader {
    /// Bytes not yet read.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Reads `bytes` more, or what is left.
    pub fn read(&mut self, mut bytes: u64) -> Result<()> {
        while bytes > 0 {
            let Some((mut file, mut slice)) = self.open.take().map_or_else(|| self.next(), |open| Ok(Some(open)))?
            else {
                return Ok(());
            };
            let want = bytes.min(slice.to - slice.from).min(BUFFER as u64);
            let read = file.read(&mut self.buffer[..want as usize]);
            let got = read.map_err(|error| Failure::file("read", &slice.path, &error))? as u64;
            if got == 0 && want > 0 {
                let path = slice.path.display();
                return Err(Failure::Input(format!("{path} became shorter while it was read; write the weights anew")));
            }
            slice.from += got;
            self.left -= got;
            bytes -= got;
            if slice.from < slice.to {
                self.open = Some((file, slice));
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Option<(File, Slice)>> {
        let Some(slice) = self.slices.pop() else { return Ok(None) };
        let cannot = |error: std::io::Error| Failure::file("read", &slice.path, &error);
        let mut file = File::open(&slice.path).map_err(cannot)?;
        file.seek(SeekFrom::Start(slice.from)).map_err(cannot)?;
        Ok(Some((file, slice)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_add_up() {
        for bytes in [0, 1, LEAST_CHUNK, LEAST_CHUNK + 1, 15_231_233_024, 68_204_080_660] {
            let list: Vec<u64> = chunks(bytes).collect();
            assert_eq!(list.iter().sum::<u64>(), bytes);
            assert!(list.len() <= CHUNKS as usize, "{bytes}: {}", list.len());
            assert!(list.iter().rev().skip(1).all(|chunk| chunk.is_multiple_of(GRANULE) && *chunk >= LEAST_CHUNK));
        }
    }

    #[test]
    fn shares_add_up() {
        let bounds: Vec<_> = (0..3).map(|rank| share(10, rank, 3)).collect();
        assert_eq!(bounds, [(0, 3), (3, 6), (6, 10)]);
        assert_eq!(share(u64::MAX, 0, 1), (0, u64::MAX));
    }

    #[test]
    fn ranks_read_every_byte_once() {
        let directory = tempfile::tempdir().unwrap();
        for (name, size) in [("b.safetensors", BUFFER * 2 + 7), ("a.safetensors", 11), ("c.safetensors", 0)] {
            fs::write(directory.path().join(name), vec![1; size]).unwrap();
        }
        fs::write(directory.path().join("config.json"), "{}").unwrap();
        let checkpoint = Checkpoint::open(directory.path()).unwrap();
        assert_eq!(checkpoint.bytes(), BUFFER as u64 * 2 + 18);
        let mut total = 0;
        for rank in 0..2 {
            let mut reader = checkpoint.reader(rank, 2);
            total += reader.left();
            reader.read(5).unwrap();
            reader.read(u64::MAX).unwrap();
            assert_eq!(reader.left(), 0);
        }
        assert_eq!(total, checkpoint.bytes());
    }

    #[test]
    fn a_directory_without_weights_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let failure = Checkpoint::open(directory.path()).unwrap_err();
        assert_eq!(failure.code(), 2);
        assert!(failure.to_string().contains("make-weights"), "{failure}");
        assert_eq!(Checkpoint::open(&directory.path().join("missing")).unwrap_err().code(), 2);
    }
}
