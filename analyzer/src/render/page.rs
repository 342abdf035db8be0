//! `kvtrace fit --page`: what the runs say, as a page of Markdown for those who were not there.

use super::escape::markdown;
use crate::fit::{Between, Fit};
use crate::verdict::{Hypothesis, Verdict};
use std::fmt::Write as _;

/// Gaps below this are what two decimals of GiB leave.
const ROUNDING: f64 = 0.02;

/// `command` is what the reader types to have it again.
pub fn page(fit: &Fit, title: &str, command: &str) -> String {
    let mut out = format!("# {}\n\n", markdown(title));
    // Writing to memory does not fail.
    let _ = write!(out, "`{}` writes this page.\n\n", command.replace('`', "'"));
    out += &figures(fit);
    out += &ceiling(fit);
    for between in &fit.between {
        out += &difference(fit, between);
    }
    out += &doubts(fit);
    out += SETTLE;
    out
}

const SETTLE: &str = "\
## How to settle the rest

A peak is a sum. What it was made of, a trace of each kind of run says, to the byte and with the events: page cache by file,
other processes, heaps, the server's own memory. It also says which explanations the evidence supports, a control group's
limit and counting memory twice among them, and what to set:

```sh
kvtrace run -o native --label native -- SERVER
kvtrace show native
kvtrace diff native container
```

Mix the order of the runs: what the last run left in the page cache is there for the next.
";

fn find<'f>(fit: &'f Fit, start: &str) -> Option<&'f Hypothesis> {
    fit.hypotheses.iter().find(|hypothesis| hypothesis.name.starts_with(start))
}

/// `Yes`, `No`, or that it is open.
fn answer(verdict: Verdict, yes: &str, no: &str) -> String {
    match verdict {
        Verdict::Supported => yes.to_owned(),
        Verdict::Refuted => no.to_owned(),
        Verdict::CannotTell => "These runs do not say.".to_owned(),
    }
}

fn figures(fit: &Fit) -> String {
    let mut out = "| run | peak, GiB | KV cache, GiB | off the line, GiB |\n| --- | ---: | ---: | ---: |\n".to_owned();
    for run in &fit.runs {
        let labels = run.labels.values().map(String::as_str).collect::<Vec<_>>().join(", ");
        let _ = writeln!(
            out,
            "| {} | {:.2} | {:.2} | {:+.3} |",
            markdown(&labels),
            run.peak_gib,
            run.kv_gib,
            run.residual_gib
        );
    }
    out + "\n"
}

fn ceiling(fit: &Fit) -> String {
    let Some(found) = find(fit, "ceiling") else { return String::new() };
    let mut out = "## Is there a ceiling?\n\n".to_owned();
    let (name, because) = (super::capital(&found.name), &found.because);
    out += &format!("**{}** *{}*: {}.\n\n", answer(found.verdict, "Yes.", "No."), markdown(&name), markdown(because));
    if let Some(line) = find(fit, "one line").filter(|line| line.verdict == Verdict::Supported) {
        out += &format!("One line holds for all: {}.", markdown(&line.because));
        if let Some([low, high]) = fit.slope_interval {
            out += &format!(" With 95 % confidence its slope is {low:.4} to {high:.4}.");
        }
        let rules = fit.hypotheses.iter().filter(|rule| rule.name.starts_with("rule: "));
        let holding: Vec<_> = rules.filter(|rule| rule.verdict == Verdict::Supported).collect();
        if let [rule] = holding.as_slice() {
            let name = rule.name.trim_start_matches("rule: ");
            out += &format!(
                " It is the rule of {}, with {:.2}: a run gets more when less is in use at its peak.",
                markdown(name),
                fit.fraction
            );
        }
        out += "\n\n";
    }
    out
}

fn difference(fit: &Fit, between: &Between) -> String {
    let (kv, peak, worst) = (between.kv_change_gib, between.peak_change_gib, between.worst_unexplained_gib);
    let (less, more) = if kv < 0.0 { ("less", "more") } else { ("more", "less") };
    let (from, to) = (markdown(&between.from), markdown(&between.to));
    let mut out = format!("## Why does {to} get {less} than {from}?\n\n");
    out += &match worst <= ROUNDING {
        true => format!(
            "**Because {more} memory was in use at the peak, and for no other reason that these figures show.** On average \
             the peak is {:.2} GiB {} and the KV cache {:.2} GiB {less}; the line leaves {worst:.3} GiB of any pair \
             unexplained.\n\n",
            peak.abs(),
            if peak > 0.0 { "higher" } else { "lower" },
            kv.abs()
        ),
        false => format!(
            "**The peak explains a part.** On average the KV cache is {:.2} GiB {less}; the line leaves up to {worst:.2} GiB \
             of a pair unexplained.\n\n",
            kv.abs()
        ),
    };
    out +=
        "| | peak, GiB | by the line, GiB | KV cache, GiB | unexplained, GiB |\n| --- | ---: | ---: | ---: | ---: |\n";
    for gap in &between.gaps {
        let _ = writeln!(
            out,
            "| {} | {:+.2} | {:+.2} | {:+.2} | {:+.3} |",
            markdown(&gap.alike),
            gap.peak_change_gib,
            gap.by_peak_gib,
            gap.kv_change_gib,
            // No sign on a zero.
            (gap.unexplained_gib * 1000.0).round() / 1000.0 + 0.0
        );
    }
    let column = &between.column;
    let depends = find(fit, &format!("the rule or its constants depend on {column}"));
    if let Some(found) = depends.filter(|found| found.verdict == Verdict::Refuted) {
        out += &format!(
            "\nThe rule and its constants are the same for both: {}. So whatever {to} does to the size, it does through \
             memory in use at the peak. A limit, or memory counted twice, that entered anywhere else would lie off the line.\n",
            markdown(&found.because)
        );
    }
    if let Some(found) = find(fit, "a constant overhead of") {
        let text = answer(found.verdict, "It is a constant overhead", "It is no constant overhead");
        out += &format!("\n{}: {}.\n", text.trim_end_matches('.'), markdown(&found.because));
    }
    out + "\nWhat the memory in use was, a peak does not say.\n\n"
}

/// What the figures themselves put in doubt.
fn doubts(fit: &Fit) -> String {
    let models = find(fit, "different models were run").filter(|found| found.verdict != Verdict::Supported);
    if models.is_none() && fit.warnings.is_empty() {
        return String::new();
    }
    let mut out = "## What to doubt in the figures\n\n".to_owned();
    if let Some(found) = models {
        let text = answer(found.verdict, "", "One model was run under all names");
        let text =
            if found.verdict == Verdict::Refuted { text } else { "Whether different models were run is open".into() };
        out += &format!("* {text}: {}.\n", markdown(&found.because));
    }
    for warning in &fit.warnings {
        out += &format!("* {}.\n", super::capital(&markdown(warning)));
    }
    out + "\n"
}
