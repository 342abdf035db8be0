//! Named hypotheses about a KV cache's size: each class recognised by a trace that has it, and not by one that nearly does.

#[path = "../support/mod.rs"]
mod support;

/// What stands between the program and the device.
mod device;
/// Two runs: which of them made the difference, and how much of it.
mod pairs;
/// The runtime's rule, its caps, its own memory, and when it looked.
mod runtime;
/// Host memory where it is the GPU's memory too.
mod unified;

use serde_json::Value;
use std::path::Path;
use support::{More, Scenario, kvtrace, write};

const GIB: u64 = 1 << 30;
const G: i64 = GIB as i64;
/// Query B of `support::write`, without NVML's lines.
const QUERY_B: u64 = 16;

/// A run in which nothing is worth a word.
fn clean() -> Scenario {
    Scenario {
        page_cache: GIB / 2,
        anonymous: GIB,
        shared: GIB / 8,
        kernel: GIB / 4,
        transient: GIB / 4,
        ..Scenario::default()
    }
}

fn discrete() -> Scenario {
    Scenario { device: "NVIDIA H100", integrated: false, total: 80 * GIB, ..clean() }
}

fn run(scenario: &Scenario, more: impl FnOnce(&mut More)) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    write(scenario, &home.path().join("run"));
    more(&mut More::to(&home.path().join("run")));
    home
}

fn show(home: &Path) -> Value {
    let (code, out, error) = kvtrace(home, &["show", "run", "--format", "json"]);
    assert!(code == 0 || code == 3, "{error}");
    serde_json::from_str(&out).unwrap()
}

fn of(scenario: &Scenario) -> Value {
    show(run(scenario, |_| ()).path())
}

fn finding<'v>(answer: &'v Value, key: &str) -> &'v Value {
    let all = answer["verdicts"].as_array().unwrap();
    all.iter().find(|found| found["key"] == key).unwrap_or_else(|| panic!("{key}: {all:?}"))
}

#[track_caller]
fn assert_is(answer: &Value, key: &str, verdict: &str) {
    let found = finding(answer, key);
    assert_eq!(found["verdict"], verdict, "{found:#}");
}

fn supported(answer: &Value) -> Vec<&str> {
    let all = answer["verdicts"].as_array().unwrap().iter();
    all.filter(|found| found["verdict"] == "supported").map(|found| found["key"].as_str().unwrap()).collect()
}

fn number(found: &Value, name: &str) -> i64 {
    let numbers = found["numbers"].as_array().unwrap();
    let of = numbers.iter().find(|number| number["name"] == name);
    of.unwrap_or_else(|| panic!("{name}: {found:#}"))["bytes"].as_i64().unwrap()
}

/// `flag value` of every remedy.
fn settings(found: &Value) -> Vec<String> {
    let remedies = found["remedies"].as_array().unwrap().iter();
    let all = remedies.flat_map(|remedy| remedy["settings"].as_array().unwrap());
    all.map(|set| format!("{} {}", set["flag"].as_str().unwrap(), set["value"].as_str().unwrap())).collect()
}

/// Changes the text of the serving process's file.
fn edit(home: &Path, change: impl FnOnce(String) -> String) {
    let path = home.join("run/spark.4242.77.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, change(text)).unwrap();
}

/// Every figure of that name, by a function.
fn replace(text: &str, name: &str, by: impl Fn(u64) -> u64) -> String {
    let mark = format!("\"{name}\":");
    let mut parts = text.split(&mark);
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_digit()).unwrap();
        out += &format!("{mark}{}{}", by(part[..end].parse().unwrap()), &part[end..]);
    }
    out
}

#[test]
fn where_nothing_happened_nothing_is_supported() {
    for scenario in [clean(), discrete()] {
        let answer = of(&scenario);
        assert_eq!(supported(&answer), [] as [&str; 0], "{:#}", answer["verdicts"]);
        assert_eq!(answer["verdicts"].as_array().unwrap().len(), 16);
        for found in answer["verdicts"].as_array().unwrap() {
            assert!(!found["because"].as_str().unwrap().is_empty(), "{found}");
            assert_eq!(found["remedies"], serde_json::json!([]), "{found}");
        }
    }
}

#[test]
fn without_a_view_nothing_of_the_machine_is_judged() {
    let home = run(&Scenario { page_cache: 40 * GIB, ..clean() }, |_| ());
    edit(home.path(), |text| {
        let kept = text.lines().filter(|line| !line.contains("\"ev\":\"view\""));
        kept.map(|line| format!("{line}\n")).collect()
    });
    let answer = show(home.path());
    for key in ["page_cache", "cgroup_limit", "cgroup_double_counting", "other_process", "total", "kernel_reserves"] {
        assert_is(&answer, key, "cannot tell");
        let because = finding(&answer, key)["because"].as_str().unwrap();
        assert!(because.contains("no view of the machine"), "{key}: {because}");
    }
    assert_eq!(supported(&answer), [] as [&str; 0]);
}

#[test]
fn as_a_user_reads_it() {
    let scenario = Scenario { page_cache: 12 * GIB, fraction: 0.8, ..clean() };
    let home = run(&scenario, |_| ());
    let read = |arguments: &[&str]| {
        let (code, out, error) = kvtrace(home.path(), &[&["show", "run"], arguments].concat());
        assert_eq!((code, error.as_str()), (0, ""));
        let sections =
            out.split("\n\n").filter(|part| part.starts_with("Why the KV") || part.starts_with("What to do"));
        let summary = out.lines().find(|line| line.contains(" hypotheses ")).unwrap_or_default();
        format!("{summary}\n\n{}", sections.collect::<Vec<_>>().join("\n\n"))
    };
    insta::assert_snapshot!("verdicts_table", read(&[]));
    insta::assert_snapshot!("verdicts_all", read(&["--all"]));
}

#[test]
fn the_document_has_a_row_for_each() {
    let document = include_str!("../../../docs/diagnosis.md");
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(key, _)| key));
    let home = run(&clean(), |_| ());
    let (_, out, _) = kvtrace(home.path(), &["diff", "run", "run", "--format", "json"]);
    let diff: Value = serde_json::from_str(&out).unwrap();
    let keys = diff["verdicts"].as_array().unwrap().iter().map(|found| found["key"].as_str().unwrap());
    assert_eq!(rows.collect::<Vec<_>>(), keys.collect::<Vec<_>>());
}

#[test]
fn strings_of_the_program_are_escaped() {
    let hostile = Scenario { cgroup_path: "=cmd|<b>\u{7}\u{1b}[31m", cgroup_max: Some(support::TOTAL), ..clean() };
    let home = run(&hostile, |more| more.fact("kernel.release", "", "\u{1b}]0;microsoft\u{7}"));
    for format in ["table", "markdown"] {
        let (_, out, _) = kvtrace(home.path(), &["show", "run", "--all", "--format", format]);
        assert!(!out.contains(['\u{1b}', '\u{7}']) && (format != "markdown" || !out.contains("<b>")), "{out}");
    }
}
