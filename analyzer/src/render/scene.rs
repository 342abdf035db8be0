//! A query with all that explains its answer.

use super::{Cell, Section, gib};
use crate::residual::Residual;
use crate::scene::{Line, Scene, Value};
use crate::symbols::Native;

const SHOWN_FRAMES: usize = 8;
const LONGEST_NOTE: usize = 52;

/// What the tables do not say.
pub fn sentences(scene: &Scene) -> Vec<String> {
    let mut sentences = Vec::new();
    let who = match &scene.asked.line {
        Some(line) => format!("{} in {}", place(line), line.function),
        None => native(&scene.asked.native),
    };
    let what = match scene.role {
        "B" => format!("Query B ({}), which sized the KV cache, was asked by {who}.", scene.evidence),
        _ => format!("Query {} was asked by {who}.", scene.evidence),
    };
    sentences.push(what);
    sentences.extend(scene.view_note.clone());
    sentences.extend(scene.residual.as_ref().map(residual));
    sentences
}

fn residual(residual: &Residual) -> String {
    if residual.bytes < 0 {
        return format!(
            "The lines of /proc/meminfo sum to {} more than is used: they overlap here in a way that is not known.",
            gib(residual.bytes.abs())
        );
    }
    let mut text = format!("Memory that no line of /proc/meminfo shows: {}", gib(residual.bytes));
    if residual.uncertain_bytes > 0 {
        text.push_str(&format!(" (up to {} more)", gib(residual.uncertain_bytes.into())));
    }
    if let Some(compared) = &residual.compared {
        text.push_str(&format!("; the trace's processes hold {} on the device", gib(compared.traced_bytes.into())));
        if let Some(nvml) = compared.nvml_bytes {
            text.push_str(&format!(", NVML lists {}", gib(nvml.into())));
        }
        text.push_str(&match compared.left_bytes {
            left @ 0.. => format!("; left: {}", gib(left)),
            over => format!("; that is {} more than the residual", gib(over.abs())),
        });
    }
    if let Some(why) = residual.not_compared {
        text.push_str(&format!("; not compared with the GPU: {why}"));
    }
    text + "."
}

pub fn sections(scene: &Scene, all: bool) -> Vec<Section> {
    vec![who(scene, all), figures(scene, all)]
}

fn who(scene: &Scene, all: bool) -> Section {
    let row = |kind: &str, function: String, place: String| {
        vec![Cell::Text(kind.into()), Cell::Text(function), Cell::Text(place)]
    };
    let asked = &scene.asked;
    let mut rows = vec![row("call", asked.function.clone(), String::new())];
    let native = &asked.native;
    let at = format!("{}+{:#x}", super::show::file_name(&native.module), native.offset);
    let at = match (&native.file, native.line) {
        (Some(file), Some(line)) => format!("{at}, {}:{line}", short_file(file)),
        _ => at,
    };
    match (&native.function, &native.unknown) {
        (Some(function), _) => rows.push(row("native", middle(function, if all { 400 } else { 60 }), at)),
        (None, Some(why)) => rows.push(row("native", "?".into(), format!("{at} ({why})"))),
        (None, None) => rows.push(row("native", "?".into(), at)),
    }
    let shown = if all { asked.stack.len() } else { SHOWN_FRAMES };
    for line in asked.stack.iter().take(shown) {
        rows.push(row("python", line.function.clone(), if all { whole(line) } else { place(line) }));
    }
    if asked.stack.len() > shown {
        rows.push(row("", format!("{} more (--all)", asked.stack.len() - shown), String::new()));
    }
    if let Some(why) = &asked.no_stack {
        rows.push(row("python", "?".into(), why.clone()));
    }
    let role = if scene.role.is_empty() { String::new() } else { format!(" {}", scene.role) };
    Section {
        title: format!("Who asked: query{role} {} at {:.3} s, innermost first", scene.evidence, scene.seconds),
        columns: vec!["frame", "function", "where"],
        rows,
    }
}

fn figures(scene: &Scene, all: bool) -> Section {
    let rows = scene.figures.iter().map(|figure| {
        let value = match &figure.value {
            Value::Bytes(bytes) => Cell::Bytes(*bytes),
            Value::Words(words) => Cell::Text(words.clone()),
        };
        let difference = figure.difference_bytes.map_or(Cell::Empty, Cell::Change);
        let note = if all { figure.note.clone() } else { middle(&figure.note, LONGEST_NOTE) };
        vec![Cell::Text(figure.name.clone()), value, difference, Cell::Text(note)]
    });
    let source = scene.view.as_ref().map_or(String::new(), |view| match view.cost_ns {
        0 => format!(" (view {})", view.evidence),
        cost => format!(" (view {}, taken in {:.0} us)", view.evidence, cost as f64 / 1e3),
    });
    Section {
        title: format!("What it was told, and what the machine looked like{source}"),
        columns: vec!["figure", "value", "minus GPU free", "what it is"],
        rows: rows.collect(),
    }
}

/// `.../pyexecutor/_util.py:123`
pub fn place(line: &Line) -> String {
    numbered(short_file(&line.file), line.line)
}

fn whole(line: &Line) -> String {
    numbered(line.file.clone(), line.line)
}

fn numbered(file: String, line: u32) -> String {
    if line == 0 { file } else { format!("{file}:{line}") }
}

/// The last two parts of a path.
fn short_file(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.len() > 3 {
        true => format!(".../{}", parts[parts.len() - 2..].join("/")),
        false => path.to_owned(),
    }
}

/// `at::cuda::memory (libtorch.so)`, or `libtorch.so+0x123` where the function is not known.
pub fn native(native: &Native) -> String {
    let module = super::show::file_name(&native.module);
    match &native.function {
        Some(function) => format!("{} ({module})", middle(function, 40)),
        None => format!("{module}+{:#x}", native.offset),
    }
}

/// Both ends of a long text.
pub fn middle(text: &str, longest: usize) -> String {
    let letters: Vec<char> = text.chars().collect();
    if letters.len() <= longest {
        return text.to_owned();
    }
    let half = longest.saturating_sub(3) / 2;
    letters[..half].iter().chain(&['.', '.', '.']).chain(&letters[letters.len() - half..]).collect()
}
