//! `kvtrace diff` of several runs a side, on golden traces.

mod support;

use kvtrace_sizing::GIB;
use proptest::prelude::*;
use serde_json::Value;
use std::path::Path;
use support::{Scenario, kvtrace, write};

const MIB: u64 = 1 << 20;

/// Page cache of each run of a side, MiB, and the order in which its runs started.
type Side<'s> = (&'s str, &'s [(u64, u64)]);

fn runs(home: &Path, sides: &[Side]) {
    for (side, runs) in sides {
        for (at, (page_cache, started)) in runs.iter().enumerate() {
            let scenario = Scenario { page_cache: page_cache * MIB, label: "x", ..Scenario::default() };
            let directory = home.join(side).join(format!("run-{at:02}"));
            write(&scenario, &directory);
            for entry in std::fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                let text = std::fs::read_to_string(&path).unwrap();
                let wall = format!("\"wall\":{}", 1_790_000_000_000_000_000 + started * 1_000_000_000);
                std::fs::write(&path, text.replace("\"wall\":1790000000000000000", &wall)).unwrap();
            }
        }
    }
}

fn text(home: &Path, format: &str) -> String {
    let (code, out, error) = kvtrace(home, &["diff", "native", "container", "--format", format]);
    assert_eq!((code, error.as_str()), (0, ""));
    out
}

fn json(home: &Path) -> Value {
    serde_json::from_str(&text(home, "json")).unwrap()
}

fn assert_sums(groups: &Value) {
    let terms = groups["terms"].as_array().unwrap();
    let sum: i64 = terms.iter().map(|term| term["kv_change_bytes"].as_i64().unwrap()).sum();
    assert_eq!(sum + groups["unexplained_bytes"].as_i64().unwrap(), groups["difference_bytes"].as_i64().unwrap());
}

fn term<'v>(groups: &'v Value, key: &str) -> &'v Value {
    groups["terms"].as_array().unwrap().iter().find(|term| term["key"] == key).unwrap()
}

const NATIVE: [(u64, u64); 6] = [(6000, 0), (6200, 2), (5900, 4), (6100, 6), (6050, 8), (5950, 10)];
const CONTAINER: [(u64, u64); 6] = [(25_000, 1), (26_000, 3), (24_500, 5), (25_500, 7), (25_100, 9), (24_900, 11)];

#[test]
fn a_mixed_order_of_enough_runs_gives_intervals_and_no_warning() {
    let home = tempfile::tempdir().unwrap();
    runs(home.path(), &[("native", &NATIVE), ("container", &CONTAINER)]);
    let groups = json(home.path());
    assert_sums(&groups);
    let cache = term(&groups, "page_cache");
    let change = cache["kv_change_bytes"].as_i64().unwrap() as f64;
    let mean = |runs: &[(u64, u64)]| runs.iter().map(|run| run.0).sum::<u64>() as f64 / runs.len() as f64;
    let expected = -0.9 * (mean(&CONTAINER) - mean(&NATIVE)) * MIB as f64;
    assert!((change - expected).abs() < 64.0, "{change} {expected}");
    assert!(cache["share"].as_f64().unwrap() > 0.99);
    let ends: Vec<f64> = cache["interval_bytes"].as_array().unwrap().iter().map(|end| end.as_f64().unwrap()).collect();
    assert!(ends[0] < change && change < ends[1] && ends[1] < 0.0, "{ends:?}");
    // The scatter within the sides is some hundred MiB.
    assert!((ends[1] - ends[0]) < GIB as f64, "{ends:?}");
    assert_eq!(groups["warnings"].as_array().unwrap().len(), 0, "{}", groups["warnings"]);
    assert_eq!(groups["comparable"], true);
    insta::assert_snapshot!("groups_table", text(home.path(), "table"));
}

#[test]
fn blocked_order_drift_and_few_runs_are_warned_of() {
    let home = tempfile::tempdir().unwrap();
    let falling: Vec<(u64, u64)> = (0..9).map(|run| (30_000 - 1500 * run, 100 + run)).collect();
    runs(home.path(), &[("native", &NATIVE[..2]), ("container", &falling)]);
    insta::assert_snapshot!("groups_warned", text(home.path(), "table"));
}

#[test]
fn one_trace_against_a_group_has_no_interval() {
    let home = tempfile::tempdir().unwrap();
    runs(home.path(), &[("several", &NATIVE), ("container", &CONTAINER)]);
    std::fs::rename(home.path().join("several/run-00"), home.path().join("native")).unwrap();
    let groups = json(home.path());
    assert_sums(&groups);
    assert!(groups["difference_interval_bytes"].is_null());
    assert!(groups["warnings"][0].as_str().unwrap().starts_with("A has 1 run"), "{}", groups["warnings"]);
}

#[test]
fn runs_of_another_model_are_named_first() {
    let home = tempfile::tempdir().unwrap();
    runs(home.path(), &[("native", &NATIVE), ("container", &CONTAINER)]);
    let other = Scenario { weights: 40 * GIB, bytes_per_token: 73_728, label: "x", ..Scenario::default() };
    write(&other, &home.path().join("container/run-06"));
    let table = text(home.path(), "table");
    let first = table.lines().next().unwrap();
    assert!(first.starts_with("Warning: these are not runs of one set-up") && first.contains("weights"), "{first}");
}

#[test]
fn a_broken_run_is_named() {
    let home = tempfile::tempdir().unwrap();
    runs(home.path(), &[("native", &NATIVE), ("container", &CONTAINER)]);
    std::fs::write(home.path().join("native/run-03/x.jsonl"), "no trace\n").unwrap();
    let (code, out, error) = kvtrace(home.path(), &["diff", "native", "container"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(error.contains("native/run-03"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_terms_sum_to_the_difference(
        native in prop::collection::vec(1000u64..40_000, 1..4),
        container in prop::collection::vec(1000u64..40_000, 1..4),
    ) {
        let home = tempfile::tempdir().unwrap();
        let of = |list: &[u64]| list.iter().map(|cache| (*cache, *cache)).collect::<Vec<_>>();
        runs(home.path(), &[("native", &of(&native)), ("container", &of(&container))]);
        assert_sums(&json(home.path()));
    }
}
