//! What else differs between the two sides: kernel, driver, parameters, environment, limits, libraries.

use super::Side;
use crate::facts;
use crate::load::events::Process;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub what: String,
    /// Absent where the side does not have it or does not tell.
    pub a: Option<String>,
    pub b: Option<String>,
}

/// Facts that differ in every run, or that are listed with what they mean.
const NOT_COMPARED: [&str; 9] = [
    "kernel.uptime",
    "kernel.boot_id",
    "ns.pid",
    "ns.mnt",
    "ns.net",
    "ns.uts",
    "ns.ipc",
    "mount.memory",
    "status.NSpid",
];
/// Variables that kvtrace itself needs.
const OURS: [&str; 2] = ["LD_PRELOAD", "KVTRACE_"];

/// Only differences.
pub fn compare(a: &Side, b: &Side) -> Vec<Difference> {
    let mut list = Vec::new();
    let mut add = |what: String, a: Option<&String>, b: Option<&String>| {
        if a != b {
            list.push(Difference { what, a: a.cloned(), b: b.cloned() });
        }
    };
    let mut both = |prefix: &str, a: BTreeMap<String, String>, b: BTreeMap<String, String>| {
        let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        for name in names {
            add(format!("{prefix}{name}"), a.get(name), b.get(name));
        }
    };
    // A side that knows no facts at all was written by an older version: it differs in nothing that is known.
    let (of_a, of_b) = (facts(a), facts(b));
    if !of_a.is_empty() && !of_b.is_empty() {
        both("", of_a, of_b);
    }
    both("", driver(a), driver(b));
    both("", environment(a), environment(b));
    if let (Some(of_a), Some(of_b)) = (limits(a), limits(b)) {
        both("limit ", of_a, of_b);
    }
    let (of_a, of_b) = (libraries(a), libraries(b));
    if !of_a.is_empty() && !of_b.is_empty() {
        both("", of_a, of_b);
    }
    list
}

/// Of the process that sized the KV cache.
fn facts(side: &Side) -> BTreeMap<String, String> {
    let own = side.trace.seen.facts.iter().filter(|fact| fact.process == side.decision.process);
    let compared = own.filter(|fact| !NOT_COMPARED.contains(&fact.name.as_str()));
    compared.map(|fact| (fact.name.clone(), fact.text.trim().to_owned())).collect()
}

/// As CUDA says it.
fn driver(side: &Side) -> BTreeMap<String, String> {
    let version = side.device().map(|device| device.driver).filter(|version| *version > 0);
    let text = version.map(|version| format!("{}.{}", version / 1000, version % 1000 / 10));
    text.map(|text| ("CUDA of the driver".to_owned(), text)).into_iter().collect()
}

fn environment(side: &Side) -> BTreeMap<String, String> {
    let env = process(side).map(|process| process.env.clone()).unwrap_or_default();
    env.into_iter().filter(|(name, _)| !OURS.iter().any(|ours| name.starts_with(ours))).collect()
}

fn process<'t>(side: &Side<'t>) -> Option<&'t Process> {
    side.trace.processes.get(side.decision.process as usize)
}

/// Bytes, as a person reads them. Nothing where no view lies beside the sizing query.
fn limits(side: &Side) -> Option<BTreeMap<String, String>> {
    let shown = |bytes: u64| crate::render::gib(bytes.into());
    Some(side.view()?.limits.iter().map(|(name, bytes)| (name.clone(), shown(*bytes))).collect())
}

/// By the name of the file up to its version: what follows and the build id tell two of them apart.
fn libraries(side: &Side) -> BTreeMap<String, String> {
    let mut list: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for library in facts::libraries(side.trace, Some(side.decision.process)) {
        let name = crate::render::show::file_name(&library.path).to_owned();
        let stem = name.split(".so").next().unwrap_or(&name).to_owned();
        let file = if library.file.is_empty() { library.path } else { library.file };
        let id = match library.build_id.get(..12) {
            Some(id) => format!(" ({id})"),
            None => String::new(),
        };
        let version = crate::render::show::file_name(&file).to_owned();
        list.entry(stem).or_default().insert(format!("{version}{id}"));
    }
    list.into_iter().map(|(name, files)| (name, Vec::from_iter(files).join(", "))).collect()
}
