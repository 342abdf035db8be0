//! A serving workload for the simulated GPU: it makes the calls that a serving runtime makes to size its KV cache, in the
//! same order, and prints the same lines. It also makes the conditions to run it under: weight files and page cache.

mod checkpoint;
mod cli;
mod cudart;
mod failure;
mod model;
mod page_cache;
mod progress;
mod ranks;
mod rendezvous;
mod safetensors;
mod serve;
mod size;

use clap::Parser;
use failure::Result;
use std::process::ExitCode;

fn main() -> ExitCode {
    // SAFETY: no other thread runs yet. A reader such as `head` may end first, as for any filter.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let command = cli::Cli::parse().command;
    let who = match &command {
        cli::Command::Serve(cli::Serve { rank: Some(rank), .. }) => format!("rank {rank}: "),
        _ => String::new(),
    };
    match run(command) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            failure.report(&who);
            ExitCode::from(failure.code())
        }
    }
}

fn run(command: cli::Command) -> Result<u8> {
    match command {
        cli::Command::Serve(options) if options.workers > 0 && options.rank.is_none() => {
            return ranks::launch(&options);
        }
        cli::Command::Serve(options) => match options.rank {
            Some(rank) => {
                let ranks = rendezvous::Rendezvous::join(options.rendezvous)?;
                serve::serve(&options, serve::Place { rank, ranks: options.workers, rendezvous: Some(&ranks) })?;
            }
            None => serve::serve(&options, serve::Place::ALONE)?,
        },
        cli::Command::MakeWeights(options) => safetensors::make(&options.dir, options.bytes, options.shards)?,
        cli::Command::FillPageCache(options) => page_cache::fill(&options.file, options.bytes)?,
        cli::Command::DropPageCache(options) => page_cache::drop_files(&options.files)?,
    }
    Ok(0)
}
