//! What the runtime itself did: its rule, its caps, its own memory, and when it looked.

use super::case::Case;
use super::container::rule_explains;
use super::{CEILING, FOOTPRINT, FRACTION, Finding, RESERVE, Remedy, STALE};
use crate::decision::{Bound, Confidence};
use crate::ledger::Span;
use crate::load::events::Query;
use crate::render::decision::fraction as shown;
use crate::render::gib;
use crate::settings::{self, Setting};

/// A transient that was solved from the pool may hide this part of it.
const HIDDEN: f64 = 0.05;
/// A reserve of which less is left is none.
const SPENT: f64 = 0.9;
const SAME_FRACTION: f64 = 1e-4;

pub fn ceiling(case: &Case) -> Finding {
    let it = CEILING;
    let decision = case.decision();
    let pool = i128::from(decision.final_pool_bytes.value);
    let rest = i128::from(decision.unexplained_bytes);
    let evidence = [case.scope.seen(), decision.final_pool_bytes.evidence.clone()].concat();
    let told = |found: Finding| found.number("KV cache", pool).number("off the rule", rest).seen(evidence.clone());
    if decision.bound == Bound::UserTokens {
        return told(it.refuted("max_tokens of the user stops it, below what the rule gives"));
    }
    if !rule_explains(case) {
        let direction = if rest < 0 { "more" } else { "less" };
        let because = format!(
            "the rule gives {} {direction} than was allocated: several runs would tell (kvtrace fit)",
            gib(rest.abs())
        );
        return told(it.open(because));
    }
    let transient = &decision.transient_bytes;
    let hidden = transient.confidence == Confidence::Solved && transient.value as f64 > HIDDEN * pool as f64;
    if decision.bound != Bound::Context && (decision.fraction.confidence == Confidence::Solved || hidden) {
        let what = if hidden { "activations were" } else { "fraction was" };
        return told(it.open(format!("the {what} solved from this very size; several runs would tell (kvtrace fit)")));
    }
    told(it.refuted("the runtime's rule gives the size without one"))
}

pub fn footprint(case: &Case) -> Finding {
    let it = FOOTPRINT;
    let decision = case.decision();
    let kept = [
        ("other device memory", case.bytes("device_memory")),
        ("graphs and pools", case.bytes("graphs") + case.bytes("reserved")),
        ("activations", case.bytes("transient")),
        ("context", case.bytes("context")),
    ];
    let beyond: i128 = kept.iter().map(|(_, bytes)| bytes).sum();
    let known = case.term("weights").is_some_and(|term| term.confidence == Confidence::Observed);
    let told = |found: Finding| {
        let found = found.seen([case.scope.seen(), decision.transient_bytes.evidence.clone()].concat());
        kept.iter().filter(|(_, bytes)| *bytes != 0).fold(found, |found, (name, bytes)| found.number(*name, *bytes))
    };
    if beyond >= case.floor {
        let because = format!("besides its weights the process needed {} of the device", gib(beyond));
        let cost = (case.weight() * beyond as f64).round() as i128;
        let found = told(it.supported(because)).costs(Some(cost));
        return smaller(case).into_iter().fold(found, Finding::remedy);
    }
    match known {
        true => told(it.refuted(format!("besides its weights the process needed {} of the device only", gib(beyond)))),
        false => told(it.open("what it held was not told apart from its weights: no files of such a size were seen")),
    }
}

/// What makes activations and graphs smaller.
fn smaller(case: &Case) -> Option<Remedy> {
    let decision = case.decision();
    let tokens = || {
        let per_token = decision.bytes_per_token.as_ref()?.value;
        Some(decision.temporary_pool_bytes.value.checked_div(per_token)? / 2).filter(|half| *half > 0)
    };
    let setting = match decision.runtime {
        // The temporary pool holds as many tokens as the forward was profiled with.
        "TensorRT-LLM PyTorch V1" | "TensorRT-LLM PyTorch V2" => {
            Setting::new("max_num_tokens", (tokens()?.next_power_of_two() / 2).to_string())
        }
        "vLLM" => Setting::new("--max-num-batched-tokens", "2048"),
        "SGLang" => Setting::new("--chunked-prefill-size", "2048"),
        "llama.cpp" => Setting::new("-ub", "256"),
        _ => return None,
    };
    Some(Remedy::with("profile and serve with fewer tokens at once", vec![setting]))
}

pub fn fraction_or_cap(case: &Case) -> Finding {
    let it = FRACTION;
    let decision = case.decision();
    let (f, known) = (decision.fraction.value, decision.fraction.confidence);
    let cap = -i128::from(decision.cap_bytes);
    let evidence = [case.scope.seen(), decision.fraction.evidence.clone()].concat();
    let told = |found: Finding| found.seen(evidence.clone());
    if decision.bound == Bound::Context {
        let found = told(it.supported("the context that was asked for gives the size, whatever is free"));
        let most = case.bytes("left_free");
        let setting = decision.bytes_per_token.as_ref().and_then(|per_token| {
            let room = u64::try_from(most).ok()?.saturating_add(decision.final_pool_bytes.value);
            let tokens = room.checked_div(per_token.value)? / 256 * 256;
            Some(Setting::new(settings::tokens_flag(decision.runtime)?, tokens.to_string()))
        });
        return match setting {
            Some(setting) => {
                found.remedy(Remedy::with("the longest context that the free memory holds", vec![setting]))
            }
            None => found,
        };
    }
    if cap >= case.floor || matches!(decision.bound, Bound::UserTokens) {
        let found = told(it.supported(format!("{} took {} off", decision.bound.sentence(), gib(cap))));
        let flag = settings::tokens_flag(decision.runtime).filter(|_| decision.bound == Bound::UserTokens);
        let remedy = match flag {
            Some(flag) => Remedy::new(format!("leave {flag} out, or raise it")),
            None => Remedy::new("let nothing else take memory while the server starts"),
        };
        return found.number("cap", cap).costs(Some(cap)).remedy(remedy);
    }
    let defaults = settings::default_fractions(decision.runtime);
    if known == Confidence::Assumed {
        return told(it.open(format!("nothing tells the fraction; {} is assumed", shown(f))));
    }
    let Some(default) = defaults.first() else {
        return told(it.open(format!("the runtime computes its fraction, here {}", shown(f))));
    };
    if defaults.iter().any(|default| (default - f).abs() <= SAME_FRACTION) {
        return told(it.refuted(format!("the fraction is the default of {}, and no cap bound", shown(f))));
    }
    let base = match decision.rule.total_share > 0.0 {
        true => decision.total_bytes.value as f64,
        false => decision.budget_bytes as f64 / f.max(f64::MIN_POSITIVE),
    };
    let lost = ((default - f) * base).round() as i128;
    let because = format!("the fraction is {} and not the default of {}: {}", shown(f), shown(*default), worth(lost));
    let found = told(it.supported(because)).costs(Some(lost));
    match settings::fraction_flag(decision.runtime).filter(|_| lost > 0) {
        Some(flag) => {
            let setting = Setting::new(flag, settings::shown_fraction(*default));
            found.remedy(Remedy::with("take the default, if nothing else needs the memory", vec![setting]))
        }
        None => found,
    }
}

fn worth(lost: i128) -> String {
    match lost >= 0 {
        true => format!("{} of KV cache less", gib(lost)),
        false => format!("{} of KV cache more", gib(-lost)),
    }
}

/// Free memory may have changed between the question and the allocation, by others' doing.
pub fn stale(case: &Case) -> Finding {
    let it = STALE;
    let (trace, decision) = (case.trace(), case.decision());
    let until = case.scope.pool.map_or(u64::MAX, |span| span.begin);
    let later = |query: &&Query| {
        query.process == decision.process
            && query.dev == case.scope.query.dev
            && query.rc == 0
            && query.free.is_some()
            && query.begin >= case.scope.query.end
            && query.end <= until
    };
    let Some(last) = trace.queries.iter().rfind(later) else {
        return it.open("no question lies between the deciding one and the allocation").seen(case.scope.seen());
    };
    let free = i128::from(crate::attribution::unpatched(trace, last).or(last.free).unwrap_or(0));
    let own = case.scope.own_at(last.end) - case.scope.own_at(case.scope.query.end);
    let by_others = free - i128::from(case.scope.free) + own;
    let told = |found: Finding| {
        let seen = [case.scope.seen(), vec![trace.evidence(last.process, last.n)]].concat();
        found.number("change by others", by_others).seen(seen)
    };
    let change = crate::render::change(by_others);
    if by_others.abs() < case.floor {
        return told(
            it.refuted(format!("free memory changed by {change} until the last question, its own doing aside")),
        );
    }
    let because = format!("free memory changed by {change} between the deciding question and the last one");
    // One runtime looks again, and takes the lesser of the two.
    let moved = (decision.bound == Bound::FractionOfFree).then_some(i128::from(decision.cap_bytes));
    let settings = settings::for_size(decision, decision.final_pool_bytes.value);
    let remedy = Remedy::with("let nothing else start meanwhile, or give the size", settings);
    told(it.supported(because)).moves(moved).remedy(remedy)
}

/// What it took once the KV cache was there, beside what the rule had left.
pub fn reserve(case: &Case) -> Finding {
    let it = RESERVE;
    let (trace, decision) = (case.trace(), case.decision());
    let evidence = decision.final_pool_bytes.evidence.clone();
    let Some(first) = case.scope.pool else {
        return it.open("the allocation of the KV cache was not found").seen(evidence);
    };
    let spans = || case.scope.own.iter().copied();
    // The cache may be many tensors of one size.
    let of_pool = |span: &&Span| span.begin >= first.begin && span.size == first.size && span.module == first.module;
    let end = spans().filter(of_pool).map(|span| span.begin).max().unwrap_or(first.begin);
    let left: i128 =
        ["left_by_fraction", "left_free", "transient", "reserved", "cap"].iter().map(|key| case.bytes(key)).sum();
    let told = |found: Finding| found.number("left beside the cache", left).seen(evidence.clone());
    let refused = trace.refused.iter().find(|refused| refused.process == decision.process && refused.at > end);
    if let Some(refused) = refused {
        let because = format!("{} was refused once the cache was there ({})", gib(refused.size.into()), refused.name);
        let smaller = decision.final_pool_bytes.value.saturating_sub(refused.size.saturating_add(case.floor as u64));
        let settings = settings::for_size(decision, smaller);
        let found = told(it.supported(because)).seen([trace.evidence(refused.process, refused.n)]);
        return found.number("refused", refused.size).remedy(Remedy::with("leave more beside the cache", settings));
    }
    if !spans().any(|span| span.begin > end) {
        return told(it.open("the trace has no allocation behind the KV cache"));
    }
    let peak = i128::from(crate::ledger::rise(spans(), end, u64::MAX)) + case.scope.own_at(u64::MAX);
    let grown = peak - case.scope.own_at(end);
    let told = |found: Finding| told(found).number("taken behind the cache", grown);
    match grown as f64 > SPENT * left as f64 {
        false => {
            told(it.refuted(format!("it took {} of the {} that were left beside the cache", gib(grown), gib(left))))
        }
        true => {
            let because = format!("it took {} once the cache was there, and {} were left", gib(grown), gib(left));
            let lack = u64::try_from(grown - left).unwrap_or(0).saturating_add(case.floor as u64);
            let settings = settings::for_size(decision, decision.final_pool_bytes.value.saturating_sub(lack));
            told(it.supported(because)).remedy(Remedy::with("leave more beside the cache", settings))
        }
    }
}
