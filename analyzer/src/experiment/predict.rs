//! What an arm should come to: the baseline's own figures with the arm's change in them, by the runtime's rule.

use super::spec::Arm;
use crate::decision::{Decision, Source};
use crate::load::events::{AVAILABLE, Layer, Query, Trace};
use crate::page_cache;
use crate::whatif::inputs::Inputs;
use kvtrace_patch::{Available, Figure, Rule, Rules, Target, parse};

/// The KV cache that the run would have had in the arm. Bytes.
///
/// # Errors
/// In words: why it cannot be said.
pub fn predict(trace: &Trace, decision: &Decision, arm: &Arm) -> Result<u64, String> {
    let mut inputs = Inputs::of(decision).ok_or_else(|| format!("no rule is known for {}", decision.runtime))?;
    if let Some(fraction) = arm.fraction {
        inputs.fraction = fraction;
    } else if !arm.arguments.is_empty() {
        return Err("the rule does not know what its arguments change: say the fraction, if it is that".into());
    } else if !arm.env.is_empty() {
        return Err("the rule does not know what its variables change".into());
    }
    let questions = Questions::of(trace, decision);
    if arm.evict_weights && !questions.are_of(Source::MemAvailable) {
        let cached = page_cache::of_decisions(trace, std::slice::from_ref(decision));
        let cached =
            cached.first().ok_or("what the page cache holds of the weights was not read beside the question")?;
        let by = cached.weights_bytes.into();
        // The first question comes before they are read, where the rule has two.
        inputs.freer([0, by, by]);
    }
    let text = arm.rules().map_err(|failure| failure.message)?;
    let rules = parse(text.as_bytes()).map_err(|_| "its rules cannot be read")?;
    if !rules.is_empty() {
        patch(&mut inputs, trace, &questions, &rules)?;
    }
    inputs.size().map(|size| size.bytes).map_err(|refusal| refusal.to_string())
}

/// The questions that count, as positions in the trace: the first and the second of the rule, and the last.
struct Questions<'t> {
    decision: &'t Decision,
    at: [Option<usize>; 3],
}

impl<'t> Questions<'t> {
    fn of(trace: &Trace, decision: &'t Decision) -> Self {
        let free = &decision.rule.free;
        let first = (free.len() > 1).then(|| free.first().map(|weight| weight.query)).flatten();
        let named = decision.free_c_bytes.as_ref().and_then(|fact| fact.evidence.first());
        let is_named = |query: &Query| named.is_some_and(|name| trace.evidence(query.process, query.n) == *name);
        let last = trace.queries.iter().position(is_named);
        Questions { decision, at: [first, free.last().map(|weight| weight.query), last] }
    }

    fn are_of(&self, source: Source) -> bool {
        self.decision.rule.free.iter().any(|weight| weight.source == source)
    }
}

fn patch(inputs: &mut Inputs, trace: &Trace, questions: &Questions, rules: &Rules) -> Result<(), String> {
    let by_meminfo = questions.are_of(Source::MemAvailable);
    let target = if by_meminfo { Target::Meminfo(AVAILABLE.as_bytes()) } else { Target::Device(Figure::Free) };
    if let Some((_, rule)) = rules.iter().find(|(_, rule)| rule.target == Target::Device(Figure::Total)) {
        let total = rule.change.apply(inputs.total, None).ok_or("its total cannot be worked out")?;
        inputs.total = if rules.may_exceed { total } else { total.min(inputs.total) };
    }
    let about: Vec<&Rule> = rules.iter().map(|(_, rule)| rule).filter(|rule| rule.target == target).collect();
    let mut moved = [0i128; 3];
    for (moved, at) in moved.iter_mut().zip(questions.at) {
        let Some(query) = at.and_then(|at| trace.queries.get(at)) else { continue };
        let view = query.view.and_then(|at| trace.views.get(at));
        let line = |name: &str| view.and_then(|view| view.meminfo.get(name).copied());
        let available = line(AVAILABLE).map(|memory| Available {
            memory,
            swap: line("SwapFree").unwrap_or(0),
            huge: line("HugePages_Total")
                .filter(|pages| *pages > 0)
                .and_then(|_| line("HugePages_Free")?.checked_mul(line("Hugepagesize")?)),
        });
        let real = if by_meminfo { line(AVAILABLE) } else { query.free };
        let real = real.ok_or("what was free is not in the trace")?;
        let number = number(trace, query, by_meminfo);
        let Some(rule) = meant(trace, query, number, &about)? else { continue };
        let shares = trace.integrated() == Some(true) || by_meminfo;
        let told = rule.change.apply(real, available.filter(|_| shares)).ok_or("what is available is not known")?;
        let most = available.filter(|_| shares).map_or(real, |available| available.memory.max(real));
        let told = if rules.may_exceed { told } else { told.min(most) };
        *moved = i128::from(told.min(inputs.total)) - i128::from(real);
    }
    inputs.freer(moved);
    Ok(())
}

/// Which of the process's questions of that kind it is, from 1.
fn number(trace: &Trace, query: &Query, by_meminfo: bool) -> u32 {
    let before = match by_meminfo {
        true => {
            let reads = trace.reads.iter().filter(|read| read.process == query.process && read.path == "/proc/meminfo");
            reads.filter(|read| read.at <= query.end).count()
        }
        false => {
            let of_devices = |other: &&Query| {
                other.process == query.process && other.depth == 0 && other.layer != Layer::Libc && other.free.is_some()
            };
            trace.queries.iter().filter(of_devices).filter(|other| other.n < query.n).count()
        }
    };
    u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1)
}

/// The first rule that is for whoever asked.
fn meant<'r>(
    trace: &Trace,
    query: &Query,
    number: u32,
    about: &[&'r Rule<'r>],
) -> Result<Option<&'r Rule<'r>>, String> {
    for rule in about {
        let scope = &rule.scope;
        if scope.python.is_some() || scope.thread.is_some() || scope.rank.is_some() || scope.time != (0, u64::MAX) {
            return Err("whom its rule is for cannot be told from a run without it".into());
        }
        let contains = |name: &[u8], text: &str| {
            text.as_bytes().windows(name.len().max(1)).any(|part| part.eq_ignore_ascii_case(name))
        };
        let file = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let module = file(trace.module(query.asked.module));
        let exe = trace.processes.get(query.process as usize).map_or_else(String::new, |process| file(&process.exe));
        let is_meant = scope.module.is_none_or(|name| contains(name, &module))
            && scope.exe.is_none_or(|name| exe.as_bytes() == name)
            && scope.device.is_none_or(|device| u32::try_from(query.dev) == Ok(device))
            && (scope.nth.0..=scope.nth.1).contains(&number);
        if is_meant {
            return Ok(Some(rule));
        }
    }
    Ok(None)
}
