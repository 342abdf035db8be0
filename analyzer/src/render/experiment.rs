//! `kvtrace experiment` as sentences and tables.

use super::{Cell, Document, Section};
use crate::experiment::result::{ArmResult, Report};
use crate::verdict::Verdict;

pub fn document(report: &Report) -> Document {
    let count = |verdict: Verdict| report.hypotheses.iter().filter(|found| found.verdict == verdict).count();
    let mut sentences = vec![match report.hypotheses.len() {
        0 => format!("{} runs of one arm: there is nothing to compare.", report.ended),
        all => {
            let open = match count(Verdict::CannotTell) {
                0 => String::new(),
                open => format!("; {open} cannot be told by these runs"),
            };
            let plural = if all == 1 { "" } else { "s" };
            let (held, not) = (count(Verdict::Supported), count(Verdict::Refuted));
            format!("Of {all} prediction{plural} {held} held and {not} did not{open}.")
        }
    }];
    if report.simulated {
        sentences.push("Run on a simulated GPU: the order of calls is real, the device is not.".into());
    }
    sentences.extend(report.warnings.iter().map(|text| format!("Warning: {text}.")));
    Document { sentences, sections: vec![arms(report), hypotheses(report), runs(report)], main: 0, more: Vec::new() }
}

fn arms(report: &Report) -> Section {
    let bytes = |bytes: Option<u64>| bytes.map_or(Cell::Empty, |bytes| Cell::Bytes(bytes.into()));
    let change = |bytes: Option<i128>| bytes.map_or(Cell::Empty, Cell::Change);
    let row = |arm: &ArmResult| {
        let [low, high] = arm.change_interval_bytes.map_or([None; 2], |ends| ends.map(Some));
        vec![
            Cell::Text(arm.name.clone()),
            Cell::Count(arm.runs as u64),
            bytes(arm.mean_bytes),
            bytes(arm.least_bytes),
            bytes(arm.most_bytes),
            change(arm.change_bytes),
            change(low),
            change(high),
            match &arm.not_predicted {
                Some(why) => Cell::Text(format!("no: {why}")),
                None => change(arm.predicted_change_bytes),
            },
        ]
    };
    Section {
        title: "KV cache by arm; the first is the baseline".into(),
        columns: vec!["arm", "runs", "mean", "least", "most", "change", "95 % from", "to", "predicted change"],
        rows: report.arms.iter().map(row).collect(),
    }
}

fn hypotheses(report: &Report) -> Section {
    let rows = report.hypotheses.iter().map(|found| {
        [found.name.as_str(), found.verdict.name(), &found.because].map(|text| Cell::Text(text.into())).to_vec()
    });
    Section { title: "Predictions".into(), columns: vec!["prediction", "verdict", "because"], rows: rows.collect() }
}

fn runs(report: &Report) -> Section {
    let rows = report.runs.iter().map(|run| {
        vec![
            Cell::Text(run.arm.clone()),
            Cell::Count(run.repetition as u64),
            Cell::Count(run.position as u64),
            run.kv_bytes
                .map_or_else(|| Cell::Text(run.problem.clone().unwrap_or_default()), |bytes| Cell::Bytes(bytes.into())),
            Cell::Text(format!("{:.1} s", run.seconds)),
        ]
    });
    let title = format!("Runs in their order, in {}", report.folder);
    Section { title, columns: vec!["arm", "repetition", "run", "kv cache", "took"], rows: rows.collect() }
}
