//! What happened between the queries.

use super::{Cell, Section, grouped};
use crate::timeline::Timeline;

pub fn section(timeline: &Timeline) -> Section {
    let bytes = |value: Option<u64>| value.map_or(Cell::Empty, |value| Cell::Bytes(value.into()));
    let named = timeline.steps.iter().any(|step| !step.named_files.is_empty());
    let mut columns = vec!["at", "memfree", "page cache", "gpu free", "on device", "rss"];
    if named {
        columns.push("named files");
    }
    columns.extend(["queries", "decision"]);
    let rows = timeline.steps.iter().map(|step| {
        let sampled = step.mem_free_bytes.is_some();
        let mut row = vec![
            Cell::Seconds(step.seconds),
            bytes(step.mem_free_bytes),
            bytes(step.page_cache_bytes),
            bytes(step.gpu_free_bytes),
            Cell::Bytes(step.device_live_bytes.into()),
            if sampled { Cell::Bytes(step.rss_bytes.into()) } else { Cell::Empty },
        ];
        if named {
            let sum = step.named_files.values().fold(0u64, |sum, bytes| sum.saturating_add(*bytes));
            row.push(if step.named_files.is_empty() { Cell::Empty } else { Cell::Bytes(sum.into()) });
        }
        row.push(if step.queries > 0 { Cell::Count(step.queries as u64) } else { Cell::Empty });
        row.push(Cell::Text(step.marks.join(", ")));
        row
    });
    Section {
        title: format!("Timeline: {} samples, the last of each step", grouped(timeline.samples as u64)),
        columns,
        rows: rows.collect(),
    }
}
