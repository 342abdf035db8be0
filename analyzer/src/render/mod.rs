//! Answers -> text. Computes nothing: it chooses units, columns and escapes.

pub mod attribution;
pub mod check;
pub mod csv;
pub mod decision;
pub mod diff;
pub mod escape;
pub mod experiment;
pub mod facts;
pub mod fit;
pub mod fleet;
pub mod groups;
pub mod markdown;
pub mod model;
pub mod page;
pub mod page_cache;
pub mod plan;
pub mod scene;
pub mod show;
pub mod table;
pub mod timeline;
pub mod verdicts;
pub mod whatif;

use clap::ValueEnum;
use kvtrace_sizing::GIB;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For a terminal; GiB
    Table,
    /// Everything, in bytes
    Json,
    /// For an issue; GiB
    Markdown,
    /// The main table, in bytes
    Csv,
}

/// What is said of two runs or groups of which one is a simulation.
pub const SIMULATED: &str = "Run on a simulated GPU: the order of calls is real, the device is not.";

/// An answer as sentences and tables.
#[derive(Debug, Default)]
pub struct Document {
    /// The first is the answer.
    pub sentences: Vec<String>,
    pub sections: Vec<Section>,
    /// Position of the section that CSV gives.
    pub main: usize,
    /// Positions of sections with the same columns, which CSV gives behind it.
    pub more: Vec<usize>,
}

impl Document {
    /// Says before anything else that programs were told other figures than the real ones, if they were.
    pub fn patched(mut self, rules: &[String]) -> Document {
        if let Some(sentence) = patched(rules) {
            self.sentences.insert(0, sentence);
        }
        self
    }
}

/// That programs were told other figures than the real ones, and by which rules.
pub fn patched(rules: &[String]) -> Option<String> {
    let rules = (!rules.is_empty()).then(|| rules.join("; "))?;
    Some(format!("Patched run: where a rule says so, the program was not told the truth: {rules}."))
}

#[derive(Debug)]
pub struct Section {
    pub title: String,
    pub columns: Vec<&'static str>,
    pub rows: Vec<Vec<Cell>>,
}

/// One figure or name, not yet in any unit.
#[derive(Debug, Clone)]
pub enum Cell {
    /// May hold strings of the traced program.
    Text(String),
    Bytes(i128),
    /// With a sign.
    Change(i128),
    Count(u64),
    /// Share of one, in percent.
    Share(f64),
    /// Seconds.
    Seconds(f64),
    Empty,
}

impl Cell {
    /// For people: GiB with two decimals.
    pub fn shown(&self) -> String {
        match self {
            Cell::Text(text) => text.clone(),
            Cell::Bytes(bytes) => gib(*bytes),
            Cell::Change(bytes) => change(*bytes),
            Cell::Count(count) => grouped(*count),
            // Adding 0 takes the sign off what rounds to zero.
            Cell::Share(share) => format!("{:.1} %", (share * 1000.0).round() / 10.0 + 0.0),
            Cell::Seconds(seconds) => format!("{seconds:.3} s"),
            Cell::Empty => String::new(),
        }
    }

    /// For programs: bytes and shares as they are.
    pub fn exact(&self) -> String {
        match self {
            Cell::Text(text) => text.clone(),
            Cell::Bytes(bytes) | Cell::Change(bytes) => bytes.to_string(),
            Cell::Count(count) => count.to_string(),
            Cell::Share(value) | Cell::Seconds(value) => format!("{value:.6}"),
            Cell::Empty => String::new(),
        }
    }

    pub fn is_number(&self) -> bool {
        !matches!(self, Cell::Text(_) | Cell::Empty)
    }
}

/// `44.31 GiB`; small amounts in MiB, KiB or bytes, so that they do not vanish.
pub fn gib(bytes: i128) -> String {
    let size = bytes.unsigned_abs();
    let value = bytes as f64;
    match size {
        0 => "0".into(),
        1..1024 => format!("{bytes} B"),
        1024..0x10_0000 => format!("{:.1} KiB", value / 1024.0),
        0x10_0000..0x40_0000 => format!("{:.1} MiB", value / 1_048_576.0),
        _ => format!("{:.2} GiB", value / GIB as f64),
    }
}

/// As [`gib`], with a sign.
pub fn change(bytes: i128) -> String {
    if bytes > 0 { format!("+{}", gib(bytes)) } else { gib(bytes) }
}

/// `829 685`
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// With a capital letter first.
pub fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// Writes an answer in `format`.
pub fn text(document: &Document, answer: &impl serde::Serialize, format: Format) -> String {
    match format {
        Format::Table => table::render(document),
        Format::Markdown => markdown::render(document),
        Format::Csv => csv::render(document),
        Format::Json => json(answer),
    }
}

fn json(answer: &impl serde::Serialize) -> String {
    // The answers hold strings, integers and finite floats: nothing that JSON lacks.
    serde_json::to_string_pretty(answer).map(|text| text + "\n").unwrap_or_default()
}
