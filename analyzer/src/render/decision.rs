//! A decision as a sentence and a table.

use super::{Cell, Section, gib, grouped};
use crate::decision::{Confidence, Decision, Fact};

pub const COLUMNS: [&str; 4] = ["figure", "value", "known", "evidence"];

/// `KV cache 44.31 GiB (829 685 tokens) = 0.9 x (free ...)`
pub fn answer(decision: &Decision) -> String {
    let tokens = decision.tokens.as_ref().map(|tokens| format!(" ({} tokens)", grouped(tokens.value)));
    let pool = gib(decision.final_pool_bytes.value.into());
    let mut text = format!("KV cache {pool}{} = {}", tokens.unwrap_or_default(), formula(decision));
    if decision.cap_bytes != 0 {
        text.push_str(&format!(
            " {} by the cap ({})",
            super::change(decision.cap_bytes.into()),
            decision.bound.sentence()
        ));
    }
    if decision.rounding_bytes != 0 {
        text.push_str(&format!(" {} by whole blocks", super::change(decision.rounding_bytes.into())));
    }
    if decision.unexplained_bytes != 0 {
        text.push_str(&format!(" {} unexplained", super::change(decision.unexplained_bytes.into())));
    }
    if decision.fraction.confidence == Confidence::Assumed {
        text.push_str("; the fraction is assumed");
    }
    text + "."
}

/// The rule with its figures, in the words of its runtime.
fn formula(decision: &Decision) -> String {
    let rule = &decision.rule;
    let share = fraction(decision.fraction.value);
    let part = |sign: &str, bytes: i128, what: &str| match bytes {
        0 => String::new(),
        _ => format!(" {sign} {} {what}", gib(bytes)),
    };
    let transient = part("-", decision.transient_bytes.value.into(), "transient activations");
    let reserved = part("-", rule.reserved_bytes.into(), "for graphs");
    let [first, second] = [rule.free.first(), rule.free.get(1)];
    match (first, second) {
        (Some(a), Some(b)) if rule.total_share > 0.0 => {
            let used = i128::from(a.free_bytes) - i128::from(b.free_bytes);
            let total = gib(decision.total_bytes.value.into());
            let used = part("-", used, "used between A and B");
            format!("{share} x {total} total{used}{transient}{reserved}")
        }
        (Some(a), Some(b)) => {
            let kept = fraction(-a.weight);
            format!("{} free at B - {kept} x {} free at A", gib(b.free_bytes.into()), gib(a.free_bytes.into()))
        }
        (Some(b), None) if b.weight > 0.0 => {
            let pool = part("+", decision.temporary_pool_bytes.value.into(), "temporary pool");
            let free = format!("{} free at B", gib(b.free_bytes.into()));
            match pool.is_empty() && transient.is_empty() {
                true => format!("{share} x {free}"),
                false => format!("{share} x ({free}{pool}{transient})"),
            }
        }
        _ => decision.bound.sentence().to_owned(),
    }
}

/// The runtime's 32-bit float prints as 0.8999999761581421.
pub fn fraction(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

pub fn section(decision: &Decision) -> Section {
    let mut rows = Vec::new();
    let mut row = |name: &str, value: Cell, confidence: &str, evidence: &[String]| {
        rows.push(vec![Cell::Text(name.into()), value, Cell::Text(confidence.into()), Cell::Text(evidence.join(" "))]);
    };
    let bytes = |fact: &Fact<u64>| Cell::Bytes(fact.value.into());
    row(
        "device total",
        bytes(&decision.total_bytes),
        decision.total_bytes.confidence.name(),
        &decision.total_bytes.evidence,
    );
    let free = [
        ("free at A", decision.free_a_bytes.as_ref()),
        ("free at B", Some(&decision.free_b_bytes)),
        ("free at C", decision.free_c_bytes.as_ref()),
        ("temporary pool M1", Some(&decision.temporary_pool_bytes).filter(|pool| pool.value > 0)),
    ];
    for (name, fact) in free {
        if let Some(fact) = fact {
            row(name, bytes(fact), fact.confidence.name(), &fact.evidence);
        }
    }
    let signed = |fact: &Fact<i64>| Cell::Bytes(fact.value.into());
    let (transient, peak) = (&decision.transient_bytes, &decision.peak_bytes);
    row("transient activations", signed(transient), transient.confidence.name(), &transient.evidence);
    row("peak", signed(peak), peak.confidence.name(), &peak.evidence);
    let share = &decision.fraction;
    row("fraction", Cell::Text(fraction(share.value)), share.confidence.name(), &share.evidence);
    if decision.rule.reserved_bytes > 0 {
        row("kept for graphs", Cell::Bytes(decision.rule.reserved_bytes.into()), "observed", &[]);
    }
    row("budget", Cell::Bytes(decision.budget_bytes.into()), "solved", &[]);
    let parts = [
        ("cap", decision.cap_bytes),
        ("whole blocks", decision.rounding_bytes),
        ("unexplained", decision.unexplained_bytes),
    ];
    for (name, value) in parts {
        row(name, Cell::Change(value.into()), "solved", &[]);
    }
    let pool = &decision.final_pool_bytes;
    row("final pool M2", bytes(pool), pool.confidence.name(), &pool.evidence);
    let counts = [
        ("bytes per token", decision.bytes_per_token.as_ref()),
        ("tokens per block", decision.tokens_per_block.as_ref()),
        ("tokens", decision.tokens.as_ref()),
    ];
    for (name, fact) in counts {
        if let Some(fact) = fact {
            row(name, Cell::Count(fact.value), fact.confidence.name(), &fact.evidence);
        }
    }
    if let Some(tier) = &decision.host_tier_bytes {
        row("host tier", bytes(tier), tier.confidence.name(), &tier.evidence);
    }
    if let Some(blocks) = decision.blocks {
        row("blocks", Cell::Count(blocks), "solved", &[]);
    }
    row("bound by", Cell::Text(decision.bound.sentence().into()), "solved", &[]);
    Section {
        title: format!("Decision of process {} ({})", decision.pid, decision.runtime),
        columns: COLUMNS.to_vec(),
        rows,
    }
}
