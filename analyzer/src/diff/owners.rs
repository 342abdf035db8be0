//! Device memory by owner at the two sizing queries, side by side.

use super::Side;
use crate::failure::Failure;
use crate::load::events::MemoryKind;
use polars::prelude::*;
use serde::Serialize;

/// Live bytes of one module and kind at query B of each side.
#[derive(Debug, Clone, Serialize)]
pub struct OwnerRow {
    pub module: String,
    pub kind: &'static str,
    pub a_bytes: u64,
    pub b_bytes: u64,
    pub change_bytes: i128,
}

/// Outer join of both sides on module and kind, largest change first. As one stack of rows with a column per side and
/// a group-by, because joins need the engine that triples the build.
///
/// # Errors
/// Internal, if a frame cannot be built.
#[expect(deprecated, reason = "the lazy engine that replaces these triples the build")]
pub fn compare(a: &Side, b: &Side) -> Result<Vec<OwnerRow>, Failure> {
    let (mut modules, mut kinds, mut in_a, mut in_b) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (side, is_a) in [(a, true), (b, false)] {
        let at = side.decision.sized_at;
        for span in side.ledger.spans.iter().filter(|span| span.kind.on_device() && span.live_at(at)) {
            modules.push(side.trace.module(span.module));
            kinds.push(span.kind.name());
            in_a.push(if is_a { span.size } else { 0 });
            in_b.push(if is_a { 0 } else { span.size });
        }
    }
    if modules.is_empty() {
        return Ok(Vec::new());
    }
    let frame = DataFrame::new(
        modules.len(),
        vec![
            Column::new("module".into(), modules),
            Column::new("kind".into(), kinds),
            Column::new("a".into(), in_a),
            Column::new("b".into(), in_b),
        ],
    )?;
    let sums = frame.group_by_stable(["module", "kind"])?.select(["a", "b"]).sum()?;
    let (modules, kinds) = (sums.column("module")?.str()?, sums.column("kind")?.str()?);
    let (in_a, in_b) = (sums.column("a_sum")?.u64()?, sums.column("b_sum")?.u64()?);
    let mut rows: Vec<OwnerRow> = (0..sums.height())
        .filter_map(|row| {
            let (a_bytes, b_bytes) = (in_a.get(row)?, in_b.get(row)?);
            Some(OwnerRow {
                module: modules.get(row)?.to_owned(),
                kind: MemoryKind::of(kinds.get(row)?).name(),
                a_bytes,
                b_bytes,
                change_bytes: i128::from(b_bytes) - i128::from(a_bytes),
            })
        })
        .collect();
    rows.sort_by(|x, y| {
        let size = |row: &OwnerRow| (row.change_bytes.unsigned_abs(), row.a_bytes.max(row.b_bytes));
        size(y).cmp(&size(x)).then_with(|| (&x.module, x.kind).cmp(&(&y.module, y.kind)))
    });
    Ok(rows)
}
