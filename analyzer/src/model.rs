//! Which model a run served, by the files of weights that it opened, and whether two runs served the same.

use crate::load::Trace;
use crate::load::events::WeightFile;
use crate::render::{gib, grouped};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Serialize)]
pub struct Model {
    /// Of all files together.
    pub weight_bytes: u64,
    pub files: Vec<ModelFile>,
    /// Of the files whose header was read.
    pub tensors: u64,
    /// Bytes of tensors by dtype, of the same files.
    pub dtypes: BTreeMap<String, u64>,
    pub configs: Vec<ModelConfig>,
}

#[derive(Debug, Serialize)]
pub struct ModelFile {
    pub path: String,
    pub format: String,
    pub size_bytes: u64,
    pub tensors: u64,
    pub dtypes: BTreeMap<String, u64>,
    /// 64-bit FNV-1a of the header, in hex; absent if it has none.
    pub header: Option<String>,
    /// Its first opening by each process.
    pub evidence: Vec<String>,
    /// What was done with it: `mmap`, `fadvise dontneed`, ...
    pub uses: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct ModelConfig {
    pub path: String,
    pub size_bytes: u64,
    /// 64-bit FNV-1a of the file, in hex.
    pub digest: String,
    /// The main ones.
    pub fields: BTreeMap<&'static str, String>,
    pub evidence: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Same,
    NotTheSame,
    NotKnown,
}

/// Whether both sides read one model's files.
#[derive(Debug, Serialize)]
pub struct Same {
    pub verdict: Verdict,
    pub because: String,
    /// What each side read; empty if nothing.
    pub a: String,
    pub b: String,
    /// `A PID:N` and `B PID:N`.
    pub evidence: Vec<String>,
}

impl Same {
    /// Whether either side tells.
    pub fn is_told(&self) -> bool {
        !self.a.is_empty() || !self.b.is_empty()
    }
}

impl Verdict {
    pub fn is_same(self) -> Option<bool> {
        match self {
            Verdict::Same => Some(true),
            Verdict::NotTheSame => Some(false),
            Verdict::NotKnown => None,
        }
    }
}

/// The fields that say what a model is, as Hugging Face names them.
const FIELDS: [&str; 8] = [
    "model_type",
    "num_hidden_layers",
    "hidden_size",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "torch_dtype",
    "dtype",
];

/// The model of a trace; `None` where no file of weights was opened.
pub fn of(trace: &Trace) -> Option<Model> {
    let files = distinct(trace);
    if files.is_empty() {
        return None;
    }
    let mut dtypes = BTreeMap::new();
    for (name, bytes) in files.iter().flat_map(|file| &file.dtypes) {
        let sum: &mut u64 = dtypes.entry(name.clone()).or_default();
        *sum = sum.saturating_add(*bytes);
    }
    Some(Model {
        weight_bytes: bytes(&files),
        tensors: files.iter().fold(0, |sum, file| sum.saturating_add(file.tensors)),
        dtypes,
        configs: configs(trace),
        files: files.into_iter().map(|file| row(trace, file)).collect(),
    })
}

/// Each file once: a container may see another device number than its host does.
fn distinct(trace: &Trace) -> Vec<&WeightFile> {
    let mut seen = BTreeSet::new();
    trace.weights.files.iter().filter(|file| seen.insert((file.inode, file.size, file.mtime, name(file)))).collect()
}

fn name(file: &WeightFile) -> &str {
    file.path.rsplit('/').next().unwrap_or_default()
}

fn bytes(files: &[&WeightFile]) -> u64 {
    files.iter().fold(0, |sum, file| sum.saturating_add(file.size))
}

fn row(trace: &Trace, file: &WeightFile) -> ModelFile {
    let uses: BTreeSet<String> = file
        .uses
        .iter()
        .filter(|used| used.how != "open")
        .map(|used| match used.advice.starts_with("0x") || used.advice.is_empty() {
            true => used.how.clone(),
            false => format!("{} {}", used.how, used.advice),
        })
        .collect();
    ModelFile {
        path: file.path.clone(),
        format: file.format.clone(),
        size_bytes: file.size,
        tensors: file.tensors,
        dtypes: file.dtypes.clone(),
        header: (file.header != 0).then(|| format!("{:#018x}", file.header)),
        evidence: file.openings.iter().map(|opening| trace.evidence(opening.process, opening.n)).collect(),
        uses: uses.into_iter().collect(),
    }
}

/// Each text once, however many processes read it.
fn configs(trace: &Trace) -> Vec<ModelConfig> {
    let mut seen = BTreeSet::new();
    let configs = trace.weights.configs.iter().filter(|config| seen.insert((config.digest, config.path.as_str())));
    configs
        .map(|config| ModelConfig {
            path: config.path.clone(),
            size_bytes: config.size,
            digest: format!("{:#018x}", config.digest),
            fields: fields(&config.text),
            evidence: trace.evidence(config.process, config.n),
        })
        .collect()
}

fn fields(text: &str) -> BTreeMap<&'static str, String> {
    let Ok(config) = serde_json::from_str::<serde_json::Value>(text) else { return BTreeMap::new() };
    let shown = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    // Models of several parts keep the language model's fields in a part of its own.
    let of =
        |name: &str| [config.get(name), config.get("text_config")?.get(name)].into_iter().flatten().find_map(shown);
    let direct = |name: &str| config.get(name).and_then(shown).or_else(|| of(name));
    let mut fields: BTreeMap<_, _> = FIELDS.into_iter().filter_map(|name| Some((name, direct(name)?))).collect();
    if let Some(list) = config.get("architectures").and_then(|list| list.as_array()) {
        fields.insert("architectures", list.iter().filter_map(shown).collect::<Vec<_>>().join(", "));
    }
    if let Some(method) = config.get("quantization_config").and_then(|part| shown(part.get("quant_method")?)) {
        fields.insert("quant_method", method);
    }
    fields
}

/// Compares what two sides read.
pub fn compare((a_name, a): (&str, &Trace), (b_name, b): (&str, &Trace)) -> Same {
    let (files_a, files_b) = (distinct(a), distinct(b));
    let (verdict, because) = judge((a, &files_a), (b, &files_b));
    let evidence = |name: &str, trace: &Trace| -> Vec<String> {
        let openings = distinct(trace).into_iter().filter_map(|file| file.openings.first());
        let openings = openings.map(|opening| (opening.process, opening.n));
        let configs = trace.weights.configs.iter().map(|config| (config.process, config.n));
        openings.chain(configs).map(|(process, n)| format!("{name} {}", trace.evidence(process, n))).collect()
    };
    Same {
        verdict,
        because,
        a: summary(a, &files_a),
        b: summary(b, &files_b),
        evidence: evidence(a_name, a).into_iter().chain(evidence(b_name, b)).collect(),
    }
}

/// `15 files, 46.10 GiB, config 0x...`
fn summary(trace: &Trace, files: &[&WeightFile]) -> String {
    if files.is_empty() {
        return String::new();
    }
    let mut text = format!("{}, {}", count(files.len()), gib(bytes(files).into()));
    for digest in digests(trace) {
        text.push_str(&format!(", config {digest:#018x}"));
    }
    text
}

fn count(files: usize) -> String {
    format!("{} {}", grouped(files as u64), if files == 1 { "file" } else { "files" })
}

fn digests(trace: &Trace) -> BTreeSet<u64> {
    trace.weights.configs.iter().map(|config| config.digest).collect()
}

fn judge((a, files_a): (&Trace, &[&WeightFile]), (b, files_b): (&Trace, &[&WeightFile])) -> (Verdict, String) {
    let none = match (files_a.is_empty(), files_b.is_empty()) {
        (true, true) => Some("neither A nor B was seen to open a file of weights"),
        (true, false) => Some("A was not seen to open a file of weights"),
        (false, true) => Some("B was not seen to open a file of weights"),
        (false, false) => None,
    };
    if let Some(none) = none {
        return (Verdict::NotKnown, none.into());
    }
    let sorted = |files: &[&WeightFile], of: fn(&WeightFile) -> u64| {
        let mut list: Vec<u64> = files.iter().map(|file| of(file)).collect();
        list.sort_unstable();
        list
    };
    let pairs = |files: &[&WeightFile]| {
        let mut list: Vec<(u64, u64)> = files.iter().map(|file| (file.size, file.header)).collect();
        list.sort_unstable();
        list
    };
    let (bytes_a, bytes_b) = (bytes(files_a), bytes(files_b));
    if bytes_a != bytes_b {
        let text = format!(
            "A read {} of weights in {}, B {} in {}",
            grouped(bytes_a) + " bytes",
            count(files_a.len()),
            grouped(bytes_b) + " bytes",
            count(files_b.len())
        );
        return (Verdict::NotTheSame, text);
    }
    if sorted(files_a, |file| file.size) != sorted(files_b, |file| file.size) {
        let text = format!("the {} of A and {} of B are of other sizes", count(files_a.len()), count(files_b.len()));
        return (Verdict::NotTheSame, text);
    }
    if pairs(files_a) != pairs(files_b) {
        return (Verdict::NotTheSame, "the files are as large, but their headers differ".into());
    }
    let (config_a, config_b) = (digests(a), digests(b));
    if !config_a.is_empty() && !config_b.is_empty() && config_a != config_b {
        return (Verdict::NotTheSame, "the files are as large, but their config.json differs".into());
    }
    let read = format!("{} ({})", count(files_a.len()), gib(bytes_a.into()));
    let identity = |files: &[&WeightFile]| -> BTreeSet<_> {
        files.iter().map(|file| (file.host.clone(), file.device, file.inode, file.mtime)).collect()
    };
    if identity(files_a) == identity(files_b) {
        return (Verdict::Same, format!("A and B read the same {read}"));
    }
    let with_header = files_a.iter().all(|file| file.header != 0);
    let by = match (with_header, config_a.is_empty() || config_b.is_empty()) {
        (true, false) => "sizes, headers and config.json",
        (true, true) => "sizes and headers",
        (false, false) => "sizes and config.json",
        (false, true) => return (Verdict::NotKnown, format!("the {read} of A and B agree in their sizes alone")),
    };
    (Verdict::Same, format!("the {by} of {read} agree; what the tensors hold was not compared"))
}
