//! `kvtrace check`: whether a run keeps the bounds that a user set, for CI.

use crate::decision::{self, Decision};
use crate::diff::{self, Diff};
use crate::failure::Failure;
use crate::load::events::Trace;
use crate::render::{gib, grouped};
use crate::{ledger, load};
use kvtrace_sizing::units::parse_bytes;
use serde::Serialize;
use std::path::PathBuf;

/// Bounds, as the user sets them.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Options {
    /// Trace directory
    pub trace: PathBuf,
    /// The KV cache has at least this size
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub kv_min: Option<u64>,
    /// The KV cache has at most this size
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub kv_max: Option<u64>,
    /// The KV cache holds at least so many tokens
    #[arg(long, value_name = "N")]
    pub tokens_min: Option<u64>,
    /// What the runtime's rule does not explain of the KV cache has at most this size
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub unexplained_max: Option<u64>,
    /// A trace to compare with
    #[arg(long, value_name = "TRACE")]
    pub baseline: Option<PathBuf>,
    /// Against the baseline, the KV cache lost at most this: a size, or a share such as 5%
    #[arg(long, value_name = "SIZE|%", value_parser = loss, requires = "baseline")]
    pub loss_max: Option<Loss>,
    /// Against the baseline, a term of `kvtrace diff` cost at most this, as page_cache=2GiB; may be given several times
    #[arg(long, value_name = "TERM=SIZE", value_parser = term, requires = "baseline")]
    pub term_max: Vec<(String, u64)>,
    /// Against the baseline: one model, fraction, device and runtime
    #[arg(long, requires = "baseline")]
    pub comparable: bool,
}

const EXAMPLES: &str = "\
Examples:
  At least 40 GiB, and the runtime's rule explains it:
    kvtrace check trace --kv-min 40GiB --unexplained-max 64MiB
  Not more than 5 % below the last good run, and page cache cost at most 2 GiB of it:
    kvtrace check trace --baseline good --loss-max 5% --term-max page_cache=2GiB --comparable

Exit codes: 0 all bounds are kept, 1 one is not, 2 bad input, 3 the trace gives no answer.";

/// How much of the KV cache may be gone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loss {
    Bytes(u64),
    Share(f64),
}

fn loss(text: &str) -> Result<Loss, String> {
    let Some(percent) = text.strip_suffix('%') else { return parse_bytes(text).map(Loss::Bytes) };
    match percent.trim().parse::<f64>() {
        Ok(value) if (0.0..=100.0).contains(&value) => Ok(Loss::Share(value / 100.0)),
        _ => Err(format!("{text:?} is no share; write for example 5%")),
    }
}

fn term(text: &str) -> Result<(String, u64), String> {
    let (name, size) = text.split_once('=').ok_or("write for example page_cache=2GiB")?;
    Ok((name.to_owned(), parse_bytes(size)?))
}

#[derive(Debug, Serialize)]
pub struct Check {
    pub trace: String,
    pub baseline: Option<String>,
    pub passed: bool,
    pub simulated: bool,
    /// The rules by which programs were told other figures than the real ones.
    pub patched: Vec<String>,
    pub bounds: Vec<Bound>,
}

/// One bound and what was found.
#[derive(Debug, Serialize)]
pub struct Bound {
    pub name: String,
    pub bound: String,
    pub found: String,
    /// In bytes, or tokens; absent where the trace does not tell.
    pub found_value: Option<i128>,
    pub kept: bool,
    pub evidence: Vec<String>,
}

/// Checks every bound.
///
/// # Errors
/// Bad input without a bound, with a term that is not there, or a trace that cannot be read; no answer where no KV cache
/// was sized.
pub fn check(options: &Options) -> Result<Check, Failure> {
    let trace = load::trace(&options.trace)?;
    let ledger = ledger::replay(&trace)?;
    let decisions = decision::decide(&trace, &ledger);
    let Some(decision) = decisions.first() else { return Err(crate::show::no_decision(&trace)) };
    let mut bounds = own(options, decision);
    if let Some(path) = &options.baseline {
        let baseline = load::trace(path)?;
        bounds.extend(against(options, &diff::diff(&baseline, &trace)?)?);
    }
    if bounds.is_empty() {
        return Err(Failure::input("no bound was given", "set at least one, for example --kv-min 40GiB; see --help"));
    }
    Ok(assemble(options, &trace, bounds))
}

fn assemble(options: &Options, trace: &Trace, bounds: Vec<Bound>) -> Check {
    Check {
        trace: trace.name.clone(),
        baseline: options.baseline.as_ref().map(|path| path.display().to_string()),
        passed: bounds.iter().all(|bound| bound.kept),
        simulated: trace.simulated(),
        patched: trace.patched(),
        bounds,
    }
}

/// Bounds of the run itself.
fn own(options: &Options, decision: &Decision) -> Vec<Bound> {
    let pool = &decision.final_pool_bytes;
    let size = |name: &str, bound: String, found: i128, kept: bool| Bound {
        name: name.to_owned(),
        bound,
        found: gib(found),
        found_value: Some(found),
        kept,
        evidence: pool.evidence.clone(),
    };
    let (kv, rest) = (i128::from(pool.value), i128::from(decision.unexplained_bytes));
    let mut bounds = Vec::new();
    if let Some(least) = options.kv_min {
        bounds.push(size("KV cache", format!("at least {}", gib(least.into())), kv, kv >= i128::from(least)));
    }
    if let Some(most) = options.kv_max {
        bounds.push(size("KV cache", format!("at most {}", gib(most.into())), kv, kv <= i128::from(most)));
    }
    if let Some(most) = options.unexplained_max {
        let bound = format!("at most {}", gib(most.into()));
        bounds.push(size("unexplained by the rule", bound, rest, rest.unsigned_abs() <= u128::from(most)));
    }
    if let Some(least) = options.tokens_min {
        let tokens = decision.tokens.as_ref();
        bounds.push(Bound {
            name: "tokens".into(),
            bound: format!("at least {}", grouped(least)),
            found: tokens.map_or_else(|| "unknown".into(), |tokens| grouped(tokens.value)),
            found_value: tokens.map(|tokens| tokens.value.into()),
            // What nothing tells cannot be promised.
            kept: tokens.is_some_and(|tokens| tokens.value >= least),
            evidence: tokens.map(|tokens| tokens.evidence.clone()).unwrap_or_default(),
        });
    }
    bounds
}

/// Bounds against the baseline, which is side A.
fn against(options: &Options, diff: &Diff) -> Result<Vec<Bound>, Failure> {
    let mut bounds = Vec::new();
    if let Some(most) = options.loss_max {
        let lost = -diff.difference_bytes;
        let (bound, most) = match most {
            Loss::Bytes(bytes) => (gib(bytes.into()), i128::from(bytes)),
            Loss::Share(share) => {
                (format!("{:.1} %", 100.0 * share), (share * diff.a.kv_cache_bytes as f64).round() as i128)
            }
        };
        let share = lost as f64 / (diff.a.kv_cache_bytes as f64).max(1.0);
        bounds.push(Bound {
            name: "KV cache lost".into(),
            bound: format!("at most {bound}"),
            found: format!("{} ({:.1} %)", gib(lost), 100.0 * share + 0.0),
            found_value: Some(lost),
            kept: lost <= most,
            evidence: vec![format!("A {}", diff.a.sizing_query), format!("B {}", diff.b.sizing_query)],
        });
    }
    for (name, most) in &options.term_max {
        let Some(term) = diff.terms.iter().find(|term| term.key == name) else {
            let known: Vec<_> = diff.terms.iter().map(|term| term.key).collect();
            return Err(Failure::input(
                format!("this comparison has no term {name:?}"),
                format!("its terms are {}", known.join(", ")),
            ));
        };
        let cost = -term.kv_change_bytes;
        bounds.push(Bound {
            name: format!("{} cost", term.title),
            bound: format!("at most {}", gib((*most).into())),
            found: gib(cost),
            found_value: Some(cost),
            kept: cost <= i128::from(*most),
            evidence: term.evidence.clone(),
        });
    }
    if options.comparable {
        let differing: Vec<_> =
            diff.checks.iter().filter(|check| check.same == Some(false)).map(|check| check.check).collect();
        let found = if differing.is_empty() { "nothing".into() } else { differing.join(", ") };
        bounds.push(Bound {
            name: "differs from the baseline in".into(),
            bound: "nothing".into(),
            found,
            found_value: None,
            kept: diff.comparable,
            evidence: Vec::new(),
        });
    }
    Ok(bounds)
}
