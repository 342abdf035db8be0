//! Files of a model's weights, put together over the processes of a trace, with every reading of their pages.

use super::events::ProcessIndex;
use kvtrace_trace::event::{self, Stamp};
use std::collections::{BTreeMap, HashMap};

#[derive(Debug, Default)]
pub struct Weights {
    /// Each file once, by host, device and inode, in the order of their first opening.
    pub files: Vec<WeightFile>,
    /// Of all other files that a process had mapped, in time order.
    pub libraries: Vec<Reading>,
    /// Of all files that a process had opened together, in time order.
    pub totals: Vec<Reading>,
    pub configs: Vec<Config>,
}

#[derive(Debug, Clone)]
pub struct WeightFile {
    pub host: String,
    /// `MAJOR << 32 | MINOR`.
    pub device: u64,
    pub inode: u64,
    /// Bytes, when it was last opened.
    pub size: u64,
    /// ns since 1970.
    pub mtime: u64,
    /// As it was first opened.
    pub path: String,
    pub format: String,
    /// Bytes of tensors by dtype, where the header tells.
    pub dtypes: BTreeMap<String, u64>,
    pub tensors: u64,
    /// Digest of the header; 0 if it has none.
    pub header: u64,
    /// In time order.
    pub openings: Vec<Opening>,
    /// In time order.
    pub readings: Vec<Reading>,
    pub uses: Vec<Use>,
}

/// A process opened the file for the first time.
#[derive(Debug, Clone)]
pub struct Opening {
    pub process: ProcessIndex,
    pub n: u64,
    pub at: u64,
}

/// How much was in the page cache. Bytes.
#[derive(Debug, Clone)]
pub struct Reading {
    pub process: ProcessIndex,
    pub n: u64,
    pub at: u64,
    pub files: u64,
    pub size: u64,
    pub cached: u64,
    pub evicted: Option<u64>,
    /// `cachestat` or `mincore`.
    pub by: String,
    /// What it stands beside.
    pub beside: Beside,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// The opening of the file.
    Opening,
    /// The query of this number in the same process.
    Query(u64),
    /// A memory file that was opened, or a sample.
    Other,
}

/// What a process did with the file.
#[derive(Debug, Clone)]
pub struct Use {
    pub process: ProcessIndex,
    pub n: u64,
    /// `open`, `mmap`, `fadvise` or `madvise`.
    pub how: String,
    pub advice: String,
}

/// A `config.json` beside weights.
#[derive(Debug, Clone)]
pub struct Config {
    pub process: ProcessIndex,
    pub n: u64,
    pub path: String,
    pub size: u64,
    pub digest: u64,
    /// Empty if it did not fit.
    pub text: String,
}

/// What ids and numbers of the current file mean.
#[derive(Debug, Default)]
pub struct Reader {
    ids: HashMap<u32, usize>,
    openings: HashMap<u64, usize>,
    known: HashMap<(String, u64, u64), usize>,
}

impl Reader {
    /// Another trace file begins.
    pub fn begin(&mut self) {
        self.ids.clear();
        self.openings.clear();
    }

    pub fn file(
        &mut self,
        weights: &mut Weights,
        host: &str,
        process: ProcessIndex,
        stamp: Stamp,
        file: &event::Weights,
    ) {
        let at = *self.known.entry((host.to_owned(), file.device, file.inode)).or_insert_with(|| {
            weights.files.push(WeightFile {
                host: host.to_owned(),
                device: file.device,
                inode: file.inode,
                size: file.size,
                mtime: file.mtime,
                path: file.path.to_string(),
                format: file.format.to_string(),
                dtypes: file.dtypes.iter().map(|(name, bytes)| (name.to_string(), *bytes)).collect(),
                tensors: file.tensors,
                header: file.header,
                openings: Vec::new(),
                readings: Vec::new(),
                uses: Vec::new(),
            });
            weights.files.len() - 1
        });
        weights.files[at].openings.push(Opening { process, n: stamp.n, at: stamp.t });
        self.ids.insert(file.id, at);
        self.openings.insert(stamp.n, at);
    }

    pub fn used(&mut self, weights: &mut Weights, process: ProcessIndex, stamp: Stamp, what: &event::Use) {
        if let Some(at) = self.ids.get(&what.id) {
            let (how, advice) = (what.how.to_string(), what.advice.to_string());
            weights.files[*at].uses.push(Use { process, n: stamp.n, how, advice });
        }
    }

    /// `query` is the number of the query that the reading stands beside, if it is one.
    pub fn cached(
        &mut self,
        weights: &mut Weights,
        process: ProcessIndex,
        stamp: Stamp,
        query: Option<u64>,
        cached: &event::Cached,
    ) {
        let file = cached.id.and_then(|id| self.ids.get(&id).copied());
        let beside = match query {
            Some(query) => Beside::Query(query),
            None if self.openings.get(&cached.of).is_some_and(|at| Some(*at) == file) => Beside::Opening,
            None => Beside::Other,
        };
        let reading = Reading {
            process,
            n: stamp.n,
            at: stamp.t,
            files: cached.files,
            size: cached.size,
            cached: cached.cached.min(cached.size),
            evicted: cached.evicted,
            by: cached.by.to_string(),
            beside,
        };
        match file {
            Some(file) => weights.files[file].readings.push(reading),
            None if cached.group == "libraries" => weights.libraries.push(reading),
            None if cached.group == "weights" => weights.totals.push(reading),
            None => {}
        }
    }
}

impl Weights {
    pub fn config(&mut self, process: ProcessIndex, stamp: Stamp, config: event::Config) {
        let (path, text) = (config.path.into(), config.text.into());
        self.configs.push(Config { process, n: stamp.n, path, size: config.size, digest: config.digest, text });
    }

    /// Puts everything into time order.
    pub fn sort(&mut self) {
        for file in &mut self.files {
            file.openings.sort_by_key(|opening| (opening.at, opening.process, opening.n));
            file.readings.sort_by_key(|reading| (reading.at, reading.process, reading.n));
            file.uses.sort_by_key(|used| (used.process, used.n));
        }
        self.files.sort_by_key(|file| file.openings.first().map_or(0, |opening| opening.at));
        for list in [&mut self.libraries, &mut self.totals] {
            list.sort_by_key(|reading| (reading.at, reading.process, reading.n));
        }
    }
}
