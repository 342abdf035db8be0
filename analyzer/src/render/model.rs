//! Which model it was, as a table, and whether two runs had the same, as a sentence.

use super::show::file_name;
use super::{Cell, Section, gib};
use crate::model::{Model, ModelConfig, Same, Verdict};
use crate::show::Show;

const SHOWN_FILES: usize = 24;

pub fn sections(show: &Show) -> Vec<Section> {
    let Some(model) = &show.model else { return Vec::new() };
    std::iter::once(files(model)).chain(model.configs.iter().map(config)).collect()
}

fn files(model: &Model) -> Section {
    let text = |text: &str| Cell::Text(text.to_owned());
    let mut rows = Vec::new();
    for file in model.files.iter().take(SHOWN_FILES) {
        let kind = match file.dtypes.is_empty() {
            true => file.format.clone(),
            false => file.dtypes.keys().cloned().collect::<Vec<_>>().join(" "),
        };
        rows.push(vec![
            text(file_name(&file.path)),
            Cell::Bytes(file.size_bytes.into()),
            text(&kind),
            if file.header.is_some() { Cell::Count(file.tensors) } else { Cell::Empty },
            text(file.header.as_deref().unwrap_or_default()),
            text(&file.uses.join(", ")),
            text(&file.evidence.join(" ")),
        ]);
    }
    let mut title = format!(
        "Model: {} of weights in {} file{}",
        gib(model.weight_bytes.into()),
        model.files.len(),
        if model.files.len() == 1 { "" } else { "s" }
    );
    let dtypes: Vec<_> = model.dtypes.iter().map(|(name, bytes)| format!("{name} {}", gib((*bytes).into()))).collect();
    if !dtypes.is_empty() {
        title.push_str(&format!(", {} tensors ({})", super::grouped(model.tensors), dtypes.join(", ")));
    }
    if model.files.len() > SHOWN_FILES {
        title.push_str(&format!("; the first {SHOWN_FILES} files (JSON has all)"));
    }
    Section { title, columns: vec!["file", "size", "holds", "tensors", "header", "use", "evidence"], rows }
}

fn config(config: &ModelConfig) -> Section {
    let row = |name: &str, value: &str| vec![Cell::Text(name.to_owned()), Cell::Text(value.to_owned())];
    let mut rows: Vec<_> = config.fields.iter().map(|(name, value)| row(name, value)).collect();
    rows.push(row("digest", &config.digest));
    rows.push(row("evidence", &config.evidence));
    Section { title: format!("Model: what {} says", config.path), columns: vec!["field", "value"], rows }
}

/// The sentence about two runs, if either tells of its model. Labels are the user's own.
pub fn same(same: &Same, labels: (&str, &str)) -> Option<String> {
    if !same.is_told() {
        return None;
    }
    let because = &same.because;
    Some(match same.verdict {
        Verdict::Same => format!("Same model: {because}."),
        Verdict::NotKnown => format!("Whether it is the same model is not known: {because}."),
        Verdict::NotTheSame if labels.0 == labels.1 && !labels.0.is_empty() => {
            format!("Not the same model, though both runs are labelled {}: {because}.", labels.0)
        }
        Verdict::NotTheSame => format!("Not the same model: {because}."),
    })
}
