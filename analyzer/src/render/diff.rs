//! `kvtrace diff` as sentences and tables.

use super::{Cell, Document, Section, capital, gib};
use crate::diff::{Check, Diff, MODEL, Term};
use crate::model::Verdict;

const SHOWN_OWNERS: usize = 30;
const SHOWN_DIFFERENCES: usize = 20;
const LONGEST_TEXT: usize = 36;
/// Below this a cause is not worth a place in the first sentence.
const NAMED: f64 = 0.5;

/// `all`: verdicts that are not supported, too.
pub fn document(diff: &Diff, all: bool) -> Document {
    let mut sentences = vec![answer(diff)];
    if diff.simulated {
        sentences.push(super::SIMULATED.into());
    }
    let differs = |check: &&Check| check.same == Some(false) && check.check != MODEL;
    let differing = diff.checks.iter().filter(differs);
    let differing: Vec<_> =
        differing.map(|check| format!("{} ({} against {})", check.check, check.a, check.b)).collect();
    if !differing.is_empty() {
        // What makes the comparison doubtful comes before its result.
        sentences.insert(
            0,
            format!("Warning: A and B are not runs of one set-up: they differ in {}.", differing.join(", ")),
        );
    }
    if let Some(sentence) = super::model::same(&diff.model, (&diff.a.label, &diff.b.label)) {
        let at = if diff.model.verdict == Verdict::NotTheSame { 0 } else { sentences.len() };
        sentences.insert(at, sentence);
    }
    sentences.push(diff.cgroup_verdict.because.clone());
    sentences.extend(diff.unexplained_notes.iter().map(|note| format!("Unexplained: {note}.")));
    let notes = diff.terms.iter().filter_map(|term| Some((term, term.note.as_ref()?)));
    sentences
        .extend(notes.filter(|(term, _)| shown(term)).map(|(term, note)| format!("{}: {note}.", capital(term.title))));
    sentences.extend(diff.warnings.iter().cloned());
    sentences.extend(super::verdicts::summary(&diff.verdicts, all));
    let mut sections = vec![terms(diff)];
    sections.extend(super::verdicts::sections("What may have made the difference", &diff.verdicts, all));
    sections.extend([owners(diff), checks(diff), environment(diff, false), cgroups(diff)]);
    Document { sentences, sections, main: 0, more: Vec::new() }
}

/// `The KV cache of B is 17.10 GiB smaller than A's (44.31 GiB -> 27.21 GiB); 98.9 % of it is page cache: ...`
pub fn answer(diff: &Diff) -> String {
    let (a, b) = (i128::from(diff.a.kv_cache_bytes), i128::from(diff.b.kv_cache_bytes));
    let difference = diff.difference_bytes;
    if difference == 0 {
        let moved = diff.terms.iter().any(|term| term.kv_change_bytes.unsigned_abs() > 1 << 20);
        let rest = if moved { "; what changed cancels out" } else { "" };
        return format!("The KV caches of A and B are the same size ({}){rest}.", gib(a));
    }
    let direction = if difference < 0 { "smaller" } else { "larger" };
    let size = gib(difference.abs());
    let mut text = format!("The KV cache of B is {size} {direction} than A's ({} -> {})", gib(a), gib(b));
    let mut causes: Vec<&Term> = diff.terms.iter().filter(|term| term.share.is_some_and(|share| share > 0.0)).collect();
    causes.sort_by(|x, y| y.share.unwrap_or(0.0).total_cmp(&x.share.unwrap_or(0.0)));
    let first = causes.first().and_then(|term| term.share).unwrap_or(0.0);
    let unexplained = diff.unexplained_share.unwrap_or(0.0);
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    match causes.as_slice() {
        _ if unexplained > first => text.push_str(&format!("; {} of it is unexplained", percent(unexplained))),
        [] => {}
        [term, ..] if first >= NAMED => {
            text.push_str(&format!("; {} of it is {}", percent(first), term.title));
            if let (Some(a), Some(b)) = (term.a_bytes, term.b_bytes) {
                text.push_str(&format!(": {} at A's sizing query, {} at B's", gib(a), gib(b)));
            }
        }
        [..] => {
            let named =
                causes.iter().take(3).map(|term| format!("{} {}", percent(term.share.unwrap_or(0.0)), term.title));
            text.push_str(&format!("; of it {}", named.collect::<Vec<_>>().join(", ")));
        }
    }
    text + "."
}

/// What is nothing on both sides is left out; JSON has all.
pub fn shown(term: &Term) -> bool {
    let quantity = |bytes: Option<i128>| bytes.is_some_and(|bytes| bytes != 0);
    term.kv_change_bytes != 0 || quantity(term.a_bytes) || quantity(term.b_bytes) || term.note.is_some()
}

fn terms(diff: &Diff) -> Section {
    let share = |share: Option<f64>| share.map_or(Cell::Empty, Cell::Share);
    let bytes = |bytes: Option<i128>| bytes.map_or(Cell::Empty, Cell::Bytes);
    let mut rows: Vec<Vec<Cell>> = diff
        .terms
        .iter()
        .filter(|term| shown(term))
        .map(|term| {
            vec![
                Cell::Text(term.title.into()),
                bytes(term.a_bytes),
                bytes(term.b_bytes),
                Cell::Change(term.kv_change_bytes),
                share(term.share),
                Cell::Text(term.confidence.name().into()),
                Cell::Text(term.evidence.join(", ")),
            ]
        })
        .collect();
    let plain = |title: &str, a, b, change, part| {
        vec![
            Cell::Text(title.into()),
            a,
            b,
            Cell::Change(change),
            share(part),
            Cell::Text(String::new()),
            Cell::Text(String::new()),
        ]
    };
    rows.push(plain("unexplained", Cell::Empty, Cell::Empty, diff.unexplained_bytes, diff.unexplained_share));
    let (a, b) = (Cell::Bytes(diff.a.kv_cache_bytes.into()), Cell::Bytes(diff.b.kv_cache_bytes.into()));
    let whole = (diff.difference_bytes != 0).then_some(1.0);
    rows.push(plain("KV cache", a, b, diff.difference_bytes, whole));
    Section {
        title: "What changed, and what it did to the KV cache".into(),
        columns: vec!["term", "a", "b", "kv change", "share", "known", "evidence"],
        rows,
    }
}

pub fn owners(diff: &Diff) -> Section {
    let rows = diff.owners.iter().take(SHOWN_OWNERS).map(|owner| {
        vec![
            Cell::Text(super::show::file_name(&owner.module).into()),
            Cell::Text(owner.kind.into()),
            Cell::Bytes(owner.a_bytes.into()),
            Cell::Bytes(owner.b_bytes.into()),
            Cell::Change(owner.change_bytes),
        ]
    });
    Section {
        title: "Device memory by owner at the sizing query".into(),
        columns: vec!["owner", "kind", "a", "b", "change"],
        rows: rows.collect(),
    }
}

pub fn checks(diff: &Diff) -> Section {
    let rows = diff.checks.iter().map(|check| {
        let same = match check.same {
            Some(true) => "same",
            Some(false) => "differs",
            None => "cannot tell",
        };
        [check.check, &check.a, &check.b, same].map(|text| Cell::Text(text.into())).to_vec()
    });
    Section {
        title: if diff.comparable { "Comparable" } else { "Not comparable" }.into(),
        columns: vec!["check", "a", "b", "result"],
        rows: rows.collect(),
    }
}

/// `all`: nothing is left out for brevity.
pub fn environment(diff: &Diff, all: bool) -> Section {
    let side = |text: &Option<String>| {
        let text = text.as_deref().map(|text| text.replace('\n', " "));
        let shown = text.map(|text| if all { text } else { super::scene::middle(&text, LONGEST_TEXT) });
        Cell::Text(shown.unwrap_or_else(|| "-".into()))
    };
    let most = if all { usize::MAX } else { SHOWN_DIFFERENCES };
    let shown = diff.environment.iter().take(most);
    let rows = shown.map(|row| vec![Cell::Text(row.what.clone()), side(&row.a), side(&row.b)]);
    Section {
        title: match diff.environment.len() > most {
            true => {
                format!("What else differs: the first {SHOWN_DIFFERENCES} of {} (JSON has all)", diff.environment.len())
            }
            false => "What else differs".into(),
        },
        columns: vec!["what", "a", "b"],
        rows: rows.collect(),
    }
}

pub fn cgroups(diff: &Diff) -> Section {
    let rows = diff.cgroups.iter().map(|cgroup| {
        let bytes = |bytes: Option<u64>, none: &str| {
            Cell::Text(bytes.map_or_else(|| none.to_owned(), |bytes| gib(bytes.into())))
        };
        let seen = cgroup.evidence.is_some();
        vec![
            Cell::Text(cgroup.side.into()),
            Cell::Text(cgroup.path.clone()),
            Cell::Text(cgroup.version.map_or_else(|| "unknown".into(), |version| format!("v{version}"))),
            bytes(cgroup.limit_bytes, if seen { "none" } else { "unknown" }),
            bytes(cgroup.current_bytes, "unknown"),
            Cell::Text(if cgroup.limit_read { "yes" } else { "no" }.into()),
            Cell::Text(cgroup.evidence.as_ref().map(|of| format!("{} {of}", cgroup.side)).unwrap_or_default()),
        ]
    });
    Section {
        title: "Control groups at the sizing query".into(),
        columns: vec!["side", "path", "version", "limit", "current", "read by the server", "evidence"],
        rows: rows.collect(),
    }
}
