//! `kvtrace whatif`: the KV cache that a traced run would have had under other conditions, by its runtime's own rule.

pub mod inputs;
mod model;

use crate::attribution::{self, Attribution};
use crate::decision::{self, Confidence, Decision, Source};
use crate::failure::Failure;
use crate::load::events::{Query, Trace};
use crate::settings::{self, Setting};
use crate::{ledger, load};
use inputs::{Inputs, Rule, Size};
use kvtrace_sizing::element::Element;
use kvtrace_sizing::units::parse_bytes;
use serde::Serialize;
use std::path::PathBuf;

/// A rule that is off by more than this part of the cache does not predict it.
const TRUSTED: f64 = 0.01;

/// What would be otherwise.
#[derive(Debug, clap::Args)]
#[group(id = "change", multiple = true, required = true)]
pub struct Changes {
    /// Another fraction: free_gpu_memory_fraction, gpu_memory_utilization or mem_fraction_static
    #[arg(long, value_name = "F", value_parser = fraction)]
    pub fraction: Option<f64>,
    /// So much free memory at the deciding query, and as much more or less at the others
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub free: Option<u64>,
    /// The page cache dropped before the server starts, as far as the kernel could have given it up
    #[arg(long, conflicts_with = "free")]
    pub drop_page_cache: bool,
    /// So many bytes of weights on the device
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub weights: Option<u64>,
    /// Another type of the cache, such as fp8; needs the model's configuration
    #[arg(long, value_name = "TYPE", value_parser = element)]
    pub kv_dtype: Option<Element>,
    /// At most so many tokens; of llama.cpp, the context; `none` for no bound
    #[arg(long, value_name = "N", value_parser = tokens)]
    pub max_tokens: Option<Tokens>,
    /// So many tensor-parallel ranks, each on a GPU of its own; needs the model's configuration
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=4096))]
    pub tp: Option<u64>,
}

/// What the user wants to know.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Options {
    /// Trace directory
    pub trace: PathBuf,
    #[command(flatten)]
    pub changes: Changes,
    /// config.json of the model, if the trace does not hold it
    #[arg(long, value_name = "FILE")]
    pub model: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  How much KV cache the page cache cost:
    kvtrace whatif native --drop-page-cache
  Another fraction, with an 8-bit cache:
    kvtrace whatif native --fraction 0.95 --kv-dtype fp8 --model config.json
  A larger model on the same machine:
    kvtrace whatif native --weights 40GiB";

/// A bound on tokens, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tokens {
    AtMost(u64),
    Unbounded,
}

fn tokens(text: &str) -> Result<Tokens, String> {
    match (text, text.parse()) {
        ("none", _) => Ok(Tokens::Unbounded),
        (_, Ok(count @ 1..)) => Ok(Tokens::AtMost(count)),
        _ => Err(format!("{text:?} is no number of tokens; write for example 131072, or none")),
    }
}

fn fraction(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(fraction) if fraction > 0.0 && fraction <= 1.0 => Ok(fraction),
        _ => Err(format!("{text:?} is no fraction above 0 and up to 1")),
    }
}

fn element(text: &str) -> Result<Element, String> {
    Element::named(text).ok_or_else(|| format!("{text:?} is no type of a KV cache; write for example bf16, fp8, nvfp4"))
}

#[derive(Debug, Serialize)]
pub struct WhatIf {
    pub trace: String,
    pub runtime: &'static str,
    pub simulated: bool,
    /// The rules by which programs were told other figures than the real ones.
    pub patched: Vec<String>,
    pub observed: Outcome,
    pub predicted: Outcome,
    /// Predicted less observed.
    pub change_bytes: i128,
    /// What the rule gives for the run's own figures, less what it allocated.
    pub rule_error_bytes: i128,
    pub changes: Vec<Change>,
    /// What to set for it, in the runtime's own words.
    pub settings: Vec<Setting>,
    /// What else must be done for it.
    pub steps: Vec<String>,
    pub notes: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct Outcome {
    pub kv_bytes: u64,
    pub tokens: Option<u64>,
    /// What decides.
    pub bound: &'static str,
    pub evidence: Vec<String>,
}

/// One figure that the rule is fed with.
#[derive(Debug, Serialize)]
pub struct Change {
    pub what: &'static str,
    pub from: f64,
    pub to: f64,
    /// `bytes`, `tokens`, or empty for a fraction.
    pub unit: &'static str,
}

/// Works it out.
///
/// # Errors
/// Those of loading a trace; no answer where the trace does not allow to predict it, with what is missing.
pub fn whatif(options: &Options) -> Result<WhatIf, Failure> {
    let trace = load::trace(&options.trace)?;
    let ledger = ledger::replay(&trace)?;
    let decisions = decision::decide(&trace, &ledger);
    let Some(decision) = decisions.first() else { return Err(crate::show::no_decision(&trace)) };
    let own = Inputs::of(decision).ok_or_else(|| {
        refuse(&trace, format!("no rule is known for {}", decision.runtime), "kvtrace plan takes a size instead")
    })?;
    let observed = decision.final_pool_bytes.value;
    let base = own.size().map_err(|refusal| {
        refuse(&trace, format!("the rule does not cover this run: {refusal}"), "kvtrace show has its figures")
    })?;
    if base.bytes.abs_diff(observed) as f64 > TRUSTED * observed as f64 {
        let text = format!(
            "the rule gives {} for this run's own figures, and {} were allocated",
            crate::render::gib(base.bytes.into()),
            crate::render::gib(observed.into())
        );
        return Err(refuse(&trace, text, "kvtrace show says what is unexplained"));
    }
    let mut change = Changing {
        trace: &trace,
        decision,
        attribution: attribution::of(&trace, &ledger, decision),
        ranks: decisions.len() as u64,
        inputs: own,
        settings: Vec::new(),
        steps: Vec::new(),
        notes: Vec::new(),
    };
    change.apply(options)?;
    let predicted = change.inputs.size().map_err(|refusal| {
        refuse(&trace, format!("{} would not start so: {refusal}", decision.runtime), "take less of the device")
    })?;
    let Changing { inputs, mut settings, steps, mut notes, .. } = change;
    if settings.is_empty() && steps.is_empty() {
        settings = settings::for_size(decision, predicted.bytes);
    }
    if decision.fraction.confidence == Confidence::Assumed && options.changes.fraction.is_none() {
        notes.push("the fraction of this run is assumed: nothing tells it".into());
    }
    let outcome = |size: &Size, evidence: Vec<String>| Outcome {
        kv_bytes: size.bytes,
        tokens: size.tokens,
        bound: size.bound.name(),
        evidence,
    };
    Ok(WhatIf {
        trace: trace.name.clone(),
        runtime: decision.runtime,
        simulated: trace.simulated(),
        patched: trace.patched(),
        observed: Outcome {
            kv_bytes: observed,
            tokens: decision.tokens.as_ref().map(|fact| fact.value),
            bound: decision.bound.sentence(),
            evidence: decision.final_pool_bytes.evidence.clone(),
        },
        change_bytes: i128::from(predicted.bytes) - i128::from(observed),
        rule_error_bytes: i128::from(base.bytes) - i128::from(observed),
        changes: changes(&own, &inputs),
        predicted: outcome(&predicted, decision.free_b_bytes.evidence.clone()),
        settings,
        steps,
        notes,
    })
}

fn refuse(trace: &Trace, why: impl std::fmt::Display, hint: &str) -> Failure {
    Failure::no_answer(format!("{}: {why}", trace.name), hint)
}

/// The inputs on their way from the run's own to what is asked for.
struct Changing<'t> {
    trace: &'t Trace,
    decision: &'t Decision,
    attribution: Option<Attribution>,
    /// Processes that sized a cache.
    ranks: u64,
    inputs: Inputs,
    settings: Vec<Setting>,
    steps: Vec<String>,
    notes: Vec<String>,
}

impl Changing<'_> {
    fn apply(&mut self, options: &Options) -> Result<(), Failure> {
        let changes = &options.changes;
        if let Some(free) = changes.free {
            let by = i128::from(free) - i128::from(self.inputs.free_b);
            self.inputs.freer([by; 3]);
        }
        if changes.drop_page_cache {
            self.drop_page_cache()?;
        }
        if let Some(weights) = changes.weights {
            self.weights(weights, "what the trace takes for weights")?;
        }
        if changes.kv_dtype.is_some() || changes.tp.is_some() {
            self.model(options)?;
        }
        if let Some(fraction) = changes.fraction {
            let Some(flag) = settings::fraction_flag(self.decision.runtime) else {
                let why = format!("{} takes no fraction", self.decision.runtime);
                return Err(refuse(self.trace, why, "its context gives the size: --max-tokens"));
            };
            self.inputs.fraction = fraction;
            self.settings.push(Setting::new(flag, settings::shown_fraction(fraction)));
        }
        match changes.max_tokens {
            Some(Tokens::AtMost(count)) => self.max_tokens(count)?,
            Some(Tokens::Unbounded) if self.inputs.rule == Rule::LlamaCpp => {
                return Err(refuse(self.trace, "llama.cpp has no cache without a context", "name one: --max-tokens N"));
            }
            Some(Tokens::Unbounded) => {
                self.inputs.max_tokens = None;
                if let Some(flag) = settings::tokens_flag(self.decision.runtime) {
                    self.steps.push(format!("leave {flag} out"));
                }
            }
            None => {}
        }
        let moves_free = changes.free.is_some() || changes.drop_page_cache || changes.weights.is_some();
        if self.inputs.rule == Rule::LlamaCpp && moves_free {
            self.notes.push("its context gives the size, whatever is free".into());
        }
        Ok(())
    }

    fn max_tokens(&mut self, count: u64) -> Result<(), Failure> {
        let Some(per_token) = self.inputs.bytes_per_token else {
            let hint = "trace it with `kvtrace run`, which keeps the log lines that say so";
            return Err(refuse(self.trace, "nothing tells the bytes of a token", hint));
        };
        self.inputs.max_tokens = Some(count);
        self.settings.push(match settings::tokens_flag(self.decision.runtime) {
            Some(flag) => Setting::new(flag, count.to_string()),
            None => Setting::new("--kv-cache-memory-bytes", count.saturating_mul(per_token).to_string()),
        });
        Ok(())
    }

    /// What the kernel would have given up at each query.
    fn drop_page_cache(&mut self) -> Result<(), Failure> {
        let trace = self.trace;
        let hint = "--free takes a figure of your own";
        match trace.integrated() {
            Some(true) => {}
            Some(false) => return Err(refuse(trace, "the GPU has memory of its own, and no page cache in it", hint)),
            None => return Err(refuse(trace, "the trace describes no GPU", hint)),
        }
        if self.decision.rule.free.iter().any(|weight| weight.source == Source::MemAvailable) {
            let why = "the runtime goes by MemAvailable, which counts page cache as free already";
            return Err(refuse(trace, why, hint));
        }
        let could = |query: &Query| {
            let meminfo = &trace.views.get(query.view?)?.meminfo;
            let of = |name: &str| meminfo.get(name).map(|bytes| i128::from(*bytes));
            Some((of("MemAvailable")? - of("MemFree")?).max(0))
        };
        let at = |weight: &decision::Weight| could(trace.queries.get(weight.query)?);
        let rule = &self.decision.rule.free;
        let (first, last) = (rule.first().and_then(at), rule.last().and_then(at));
        let (Some(first), Some(last)) = (first, last) else {
            let why = "no view of the machine lies beside a query that counts: what could be dropped is not known";
            return Err(refuse(trace, why, hint));
        };
        let before = trace.queries.iter().rfind(|query| {
            Some(&trace.evidence(query.process, query.n))
                == self.decision.free_c_bytes.as_ref().and_then(|fact| fact.evidence.first())
        });
        let at_c = before.and_then(could).unwrap_or(last);
        self.inputs.freer([first, last, at_c]);
        self.steps.push("before it sizes its cache: sync; echo 1 > /proc/sys/vm/drop_caches (root)".into());
        if trace.simulated() {
            self.notes.push("the simulated GPU shares this machine's memory, and its page cache".into());
        }
        Ok(())
    }

    /// Other weights: at the queries behind their loading.
    fn weights(&mut self, bytes: u64, doubt: &str) -> Result<(), Failure> {
        let known = self.attribution.as_ref().and_then(|found| found.terms.iter().find(|term| term.key == "weights"));
        let Some(known) = known else {
            return Err(refuse(self.trace, "what the weights take is not known", "--free takes a figure of your own"));
        };
        let by = known.bytes - i128::from(bytes);
        if known.confidence != Confidence::Observed {
            let held = crate::render::gib(known.bytes);
            self.notes.push(format!("{doubt} are the {held} that it had loaded by then"));
        }
        self.inputs.freer([0, by, by]);
        if self.trace.integrated() == Some(true) {
            self.notes.push("the page cache of the files stays as it was".into());
        }
        Ok(())
    }
}

/// The figures that differ.
fn changes(from: &Inputs, to: &Inputs) -> Vec<Change> {
    let figures = |of: &Inputs| {
        [
            ("fraction", Some(of.fraction), ""),
            ("free at A", of.free_a.map(|bytes| bytes as f64), "bytes"),
            ("free at B", Some(of.free_b as f64), "bytes"),
            ("free at C", of.free_c.map(|bytes| bytes as f64), "bytes"),
            ("temporary pool", Some(of.temporary as f64), "bytes"),
            ("bytes per token", of.bytes_per_token.map(|bytes| bytes as f64), "bytes"),
            ("most tokens", of.max_tokens.map(|tokens| tokens as f64), "tokens"),
        ]
    };
    let pairs = figures(from).into_iter().zip(figures(to));
    let differing = pairs.filter(|((_, from, _), (_, to, _))| from != to);
    differing
        .map(|((what, from, unit), (_, to, _))| Change { what, from: from.unwrap_or(0.0), to: to.unwrap_or(0.0), unit })
        .collect()
}
