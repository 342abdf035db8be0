//! `kvtrace export`: traces in the formats of other tools.

mod parquet;
mod perfetto;
mod prometheus;

use crate::diff;
use crate::failure::Failure;
use crate::output::Output;
use std::path::PathBuf;

/// Whose format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum To {
    /// A timeline for ui.perfetto.dev and chrome://tracing, as Chrome's JSON; one trace
    Perfetto,
    /// A folder with one row for each event, partitioned by run and host, for DuckDB, Spark and polars
    Parquet,
    /// Gauges for the textfile collector of node_exporter
    Prometheus,
}

/// The export as the user asked for it.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Trace directories, or folders of them
    #[arg(required = true, value_name = "TRACE")]
    pub traces: Vec<PathBuf>,
    /// The format
    #[arg(long, value_enum)]
    pub to: To,
    /// The file to write, of parquet the folder; `-` for standard output, but for parquet. What is there is replaced file by file, each
    /// when the new one is whole
    #[arg(short, long, value_name = "PATH")]
    pub output: PathBuf,
}

/// Writes the export.
///
/// # Errors
/// Those of loading a trace; bad input if the output cannot be written.
pub fn export(options: &Options) -> Result<(), Failure> {
    let traces = diff::each_run(&options.traces);
    match (options.to, traces.as_slice()) {
        (To::Parquet, traces) => parquet::write(traces, &options.output),
        (To::Prometheus, traces) => {
            // node_exporter is another user.
            let output = Output::open_for_all(&options.output)?;
            output.write(prometheus::text(traces)?.as_bytes())
        }
        (To::Perfetto, [trace]) => {
            let output = Output::open(&options.output)?;
            let trace = perfetto::Timeline::of(trace)?;
            output.write_with(|to| trace.write(to))
        }
        (To::Perfetto, traces) => Err(Failure::input(
            format!("{} traces: a timeline is that of one", traces.len()),
            "export each into a file of its own",
        )),
    }
}
