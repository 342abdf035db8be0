//! `kvtrace experiment`: a server run several times in several ways, in mixed order, and what became of its KV cache
//! against what was predicted.
//!
//! [`spec`] says what is to be run, [`order`] when, [`execute`] runs it, [`state`] remembers it, [`predict`] and
//! [`result`] read the traces.

mod execute;
mod order;
mod predict;
pub mod result;
pub mod spec;
mod state;

use crate::failure::Failure;
use crate::render::gib;
use crate::{decision, ledger, load};
use order::Planned;
use result::Report;
use spec::Spec;
use state::{Ended, Folder};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What to run, as the user asked for it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Options {
    /// The experiment, in TOML; without one, --arm and a command
    pub file: Option<PathBuf>,
    /// Folder of the experiment: new, or that of the same one to go on where it was interrupted
    #[arg(short, long, value_name = "DIR", default_value = "experiment")]
    pub out: PathBuf,
    /// A way to run the command, NAME or 'NAME: SETTING ...'; the first is the baseline
    ///
    /// Settings: patch=RULE and i-know (see `kvtrace run --help`), evict-weights, argument=TEXT, env=NAME=VALUE, and
    /// fraction=F, which says for the prediction what an argument sets.
    #[arg(long = "arm", value_name = "ARM", conflicts_with = "file")]
    pub arms: Vec<String>,
    /// Runs of each arm
    #[arg(long, value_name = "N", default_value_t = 5, conflicts_with = "file")]
    pub repetitions: usize,
    /// Another mixed order
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "file")]
    pub seed: u64,
    /// Run nothing, and list the runs in their order
    #[arg(long, conflicts_with = "report_only")]
    pub plan: bool,
    /// Run nothing, and report on what has been run
    #[arg(long)]
    pub report_only: bool,
    /// The command, behind `--`
    #[arg(last = true, value_name = "COMMAND", conflicts_with = "file")]
    pub command: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  Does the page cache of the weights cost KV cache? Three arms, five runs each, in mixed order:
    kvtrace experiment -o answer --arm baseline --arm 'told: patch=free=available' \\
      --arm 'evicted: evict-weights' -- python3 serve.py
  The same from a file, with what it cannot say otherwise (containers, page cache, when to stop):
    kvtrace experiment answer.toml -o answer
  After an interruption the same command goes on; docs/experiments.md has an example of a file.";

/// What the command is to print.
pub enum Outcome {
    Plan(Vec<String>),
    Report(Box<Report>),
}

/// Runs what has not been run, and reports.
///
/// # Errors
/// Bad input before anything is run; what a run does is part of the report.
pub fn experiment(options: &Options) -> Result<Outcome, Failure> {
    let spec = match &options.file {
        Some(file) => spec::read(file)?,
        None => spec::from_options(&options.arms, options.repetitions, options.seed, &options.command)?,
    };
    let plan = order::plan(&spec);
    if options.plan {
        let line = |(at, run): (usize, &Planned)| format!("{} {} {}", at + 1, spec.arms[run.arm].name, run.repetition);
        return Ok(Outcome::Plan(plan.iter().enumerate().map(line).collect()));
    }
    if !options.report_only {
        execute::check(&spec)?;
    } else if !options.out.join("experiment.json").exists() {
        let message = format!("{}: no experiment was begun here", options.out.display());
        return Err(Failure::input(message, "leave --report-only out to begin it"));
    }
    let mut folder = Folder::open(&options.out, &spec)?;
    if !options.report_only {
        run(&spec, &plan, &mut folder)?;
    }
    let report = result::report(&spec, &folder, &plan)?;
    keep(&folder, &report)?;
    Ok(Outcome::Report(Box::new(report)))
}

/// What came out of the experiment in a folder, as far as it has been run.
///
/// # Errors
/// Bad input if it is none, or is being run.
pub fn reported(folder: &Path) -> Result<Report, Failure> {
    let path = folder.join("experiment.json");
    let failed =
        |why: String| Failure::input(format!("{}: {why}", path.display()), "name a folder of `kvtrace experiment`");
    let text = std::fs::read_to_string(&path).map_err(|error| failed(error.to_string()))?;
    let spec: Spec = serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
    result::report(&spec, &Folder::open(folder, &spec)?, &order::plan(&spec))
}

fn run(spec: &Spec, plan: &[Planned], folder: &mut Folder) -> Result<(), Failure> {
    let left = plan.iter().filter(|run| !folder.has(&spec.arms[run.arm].name, run.repetition)).count();
    if left < plan.len() {
        eprintln!("kvtrace: {} of {} runs have ended before; {left} are left", plan.len() - left, plan.len());
    }
    let (begin, mut made) = (Instant::now(), 0u32);
    for (at, planned) in plan.iter().enumerate() {
        let arm = &spec.arms[planned.arm];
        if folder.has(&arm.name, planned.repetition) {
            continue;
        }
        let trace = folder.fresh(&arm.name, *planned)?;
        let (outcome, code, seconds) = execute::execute(spec, arm, &trace)?;
        let found = found(&trace, outcome.is_good());
        folder.note(Ended {
            arm: arm.name.clone(),
            repetition: planned.repetition,
            position: at + 1,
            outcome,
            code,
            seconds,
        })?;
        made += 1;
        let still = left as u32 - made;
        let rest = begin.elapsed().as_secs_f64() / f64::from(made) * f64::from(still);
        eprintln!(
            "[{}/{}] {} {}: {found} after {seconds:.1} s{}",
            at + 1,
            plan.len(),
            arm.name,
            planned.repetition,
            match still {
                0 => String::new(),
                _ => format!("; about {} left", time(rest)),
            }
        );
    }
    Ok(())
}

fn time(seconds: f64) -> String {
    if seconds < 90.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) }
}

/// What a run got, for the one who watches.
fn found(trace: &Path, is_good: bool) -> String {
    if !is_good {
        return format!("no answer, see {}", trace.with_extension("log").display());
    }
    let kv = || {
        let trace = load::trace(trace).ok()?;
        let ledger = ledger::replay(&trace).ok()?;
        Some(decision::decide(&trace, &ledger).first()?.final_pool_bytes.value)
    };
    kv().map_or_else(|| "no KV cache was sized".into(), |bytes| format!("KV cache {}", gib(bytes.into())))
}

fn keep(folder: &Folder, report: &Report) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(report).map_err(|error| Failure::internal(error.to_string(), ""))?;
    folder.put("report.json", &(json + "\n"))?;
    let document = crate::render::experiment::document(report).patched(&report.patched);
    folder.put("report.md", &crate::render::text(&document, report, crate::render::Format::Markdown))
}
