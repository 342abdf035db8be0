//! `kvtrace report`: the answers of `show`, `diff` and `fit` as one page that asks for nothing else.
//!
//! Computes no answer: it asks the commands, and lays out what they say.

mod evidence;
mod experiment;
mod figure;
mod fleet;
mod groups;
mod many;
mod page;
mod pair;
mod run;
mod svg;
mod table;
mod waterfall;

use crate::diff;
use crate::failure::Failure;
use crate::output::Output;
use crate::symbols::Places;
use page::Page;
use std::path::{Path, PathBuf};

/// The report as the user asked for it.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// A trace; two traces, the baseline first; two folders of traces; more traces, and tables of runs; or the folder of
    /// an experiment
    #[arg(required = true, value_name = "TRACE")]
    pub inputs: Vec<PathBuf>,
    /// The page of `kvtrace fleet`: one folder with any number of traces below it
    #[arg(long)]
    pub fleet: bool,
    /// The file to write; `-` for standard output. A file that is there is replaced when the new one is whole
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    pub output: PathBuf,
    #[command(flatten)]
    pub places: Places,
}

/// Writes the report.
///
/// # Errors
/// Those of the command that answers. A trace without a decision is reported on, and is no answer all the same.
pub fn report(options: &Options) -> Result<(), Failure> {
    let output = Output::open(&options.output)?;
    let (page, outcome) = page(options)?;
    output.write(page.html().as_bytes())?;
    outcome
}

fn page(options: &Options) -> Result<(Page, Result<(), Failure>), Failure> {
    let is_group = |path: &PathBuf| diff::runs_below(path).is_some();
    let answered = |page| (page, Ok(()));
    match options.inputs.as_slice() {
        [one] if options.fleet => fleet::page(one).map(answered),
        several if options.fleet => Err(Failure::input(
            format!("{} folders: a fleet is what lies below one", several.len()),
            "give the folder above them",
        )),
        [one] if experiment::is_one(one) => experiment::page(one).map(answered),
        [one] if one.is_dir() && !is_group(one) => run::page(one, &options.places),
        [a, b] if [a, b].into_iter().any(is_group) => groups::page(a, b).map(answered),
        [a, b] if a.is_dir() && b.is_dir() => pair::page(a, b, &options.places).map(answered),
        several => many::page(&diff::each_run(several)).map(answered),
    }
}

/// As it was given on the command line, for the notes on where the JSON is.
fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// The label, else the name of the folder.
fn named(label: &str, trace: &str) -> String {
    match label {
        "" => trace.trim_end_matches('/').rsplit('/').next().unwrap_or(trace).to_owned(),
        label => label.to_owned(),
    }
}
