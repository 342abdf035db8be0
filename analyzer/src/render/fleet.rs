//! `kvtrace fleet` as sentences and tables.

use super::{Cell, Document, Section, gib, grouped};
use crate::diff::{Cause, Fleet};

const SHOWN_GROUPS: usize = 60;
pub const SIMULATED: &str = "Runs on the simulated GPU are among these.";

pub fn document(fleet: &Fleet) -> Document {
    let mut sentences = vec![answer(fleet)];
    if fleet.simulated {
        sentences.push(SIMULATED.into());
    }
    if fleet.without_decision > 0 {
        sentences.push(format!("In {} more traces no KV cache was sized.", grouped(fleet.without_decision as u64)));
    }
    sentences.extend(fleet.unread.iter().map(|why| format!("Not read: {why}.")));
    if fleet.more_unread > 0 {
        sentences.push(format!("{} more could not be read.", grouped(fleet.more_unread as u64)));
    }
    Document { sentences, sections: vec![causes(fleet), groups(fleet)], main: 1, more: Vec::new() }
}

pub fn answer(fleet: &Fleet) -> String {
    let count =
        |count: usize, what: &str| format!("{} {what}{}", grouped(count as u64), if count == 1 { "" } else { "s" });
    let mut text = format!("{} in {}", count(fleet.runs, "run"), count(fleet.groups.len(), "group"));
    if fleet.lost_bytes == 0 {
        return text + ": each has as much KV cache as the best of its model, runtime and device.";
    }
    text += &format!(
        " lost {} of KV cache together, against the best run of the same model, runtime and device",
        gib(fleet.lost_bytes)
    );
    if let Some(share) = fleet.causes.first().and_then(|cause| Some((cause.share?, cause.title))) {
        text += &format!("; {:.1} % of it to {}", 100.0 * share.0, share.1);
    }
    text + "."
}

fn causes(fleet: &Fleet) -> Section {
    let row = |title: &str, lost: i128, share: Option<f64>| {
        vec![Cell::Text(title.into()), Cell::Bytes(lost), share.map_or(Cell::Empty, Cell::Share)]
    };
    let of = |cause: &Cause| row(cause.title, cause.lost_bytes, cause.share);
    let mut rows: Vec<_> = fleet.causes.iter().map(of).collect();
    let part = (fleet.lost_bytes != 0).then(|| fleet.unexplained_bytes as f64 / fleet.lost_bytes as f64 + 0.0);
    rows.push(row("unexplained", fleet.unexplained_bytes, part));
    rows.push(row("KV cache", fleet.lost_bytes, (fleet.lost_bytes != 0).then_some(1.0)));
    Section { title: "What took it, over all runs".into(), columns: vec!["term", "lost", "share"], rows }
}

fn groups(fleet: &Fleet) -> Section {
    let text = |text: &str| Cell::Text(text.to_owned());
    let rows = fleet.groups.iter().take(SHOWN_GROUPS).map(|group| {
        let mean = group.lost_bytes / (group.runs.max(1) as i128);
        let first = group.causes.first().filter(|cause| cause.lost_bytes > 0);
        vec![
            text(&group.model),
            text(group.runtime),
            text(&group.device),
            text(&group.host),
            text(&group.driver),
            Cell::Count(group.runs as u64),
            Cell::Bytes(group.best_kv_cache_bytes.into()),
            Cell::Bytes(group.median_kv_cache_bytes.into()),
            Cell::Bytes(group.least_kv_cache_bytes.into()),
            Cell::Bytes(mean),
            text(first.map_or("", |cause| cause.title)),
            text(&group.worst_trace),
        ]
    });
    let title = match fleet.groups.len() > SHOWN_GROUPS {
        true => format!("Groups, what lost most first: {SHOWN_GROUPS} of {} (JSON has all)", fleet.groups.len()),
        false => "Groups, what lost most first".into(),
    };
    let columns = vec![
        "model",
        "runtime",
        "device",
        "host",
        "driver",
        "runs",
        "best of all hosts",
        "median",
        "least",
        "lost a run",
        "mostly to",
        "least in",
    ];
    Section { title, columns, rows: rows.collect() }
}
