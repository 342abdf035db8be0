//! Hypotheses with their verdicts, and what to do about the supported ones.

use super::{Cell, Section};
use crate::settings::Setting;
use crate::verdict::Verdict;
use crate::verdicts::Finding;

/// One line for what the table leaves out.
pub fn summary(findings: &[Finding], all: bool) -> Option<String> {
    let count = |verdict| findings.iter().filter(|found| found.verdict == verdict).count();
    let (refuted, open) = (count(Verdict::Refuted), count(Verdict::CannotTell));
    (!all && refuted + open > 0).then(|| {
        format!(
            "Of {} hypotheses {} supported, {refuted} refuted, and {open} cannot be told (--all shows them).",
            findings.len(),
            match count(Verdict::Supported) {
                1 => "1 is".to_owned(),
                supported => format!("{supported} are"),
            }
        )
    })
}

/// The table of the verdicts, and that of the remedies.
pub fn sections(title: &str, findings: &[Finding], all: bool) -> Vec<Section> {
    let shown = || findings.iter().filter(|found| all || found.verdict == Verdict::Supported);
    let rows = shown().map(|found| {
        vec![
            Cell::Text(found.hypothesis.into()),
            Cell::Text(found.verdict.name().into()),
            found.kv_bytes.map_or(Cell::Empty, Cell::Change),
            Cell::Text(found.because.clone()),
            Cell::Text(found.evidence.join(" ")),
        ]
    });
    let verdicts = Section {
        title: title.into(),
        columns: vec!["hypothesis", "verdict", "kv change", "because", "evidence"],
        rows: rows.collect(),
    };
    let remedies = shown().flat_map(|found| found.remedies.iter().map(move |remedy| (found.hypothesis, remedy)));
    let rows = remedies.map(|(hypothesis, remedy)| {
        let settings: Vec<_> = remedy.settings.iter().map(setting).collect();
        vec![Cell::Text(hypothesis.into()), Cell::Text(remedy.action.clone()), Cell::Text(settings.join(" or "))]
    });
    let remedies =
        Section { title: "What to do about it".into(), columns: vec!["against", "do", "set"], rows: rows.collect() };
    vec![verdicts, remedies]
}

/// `--gpu-memory-utilization 0.92 (with as much free memory as this run found)`
pub fn setting(setting: &Setting) -> String {
    match setting.note {
        Some(note) => format!("{} ({note})", setting.typed()),
        None => setting.typed(),
    }
}
