//! Where one device's memory went, on golden traces: every byte once.

mod support;

use kvtrace_sizing::GIB;
use proptest::prelude::*;
use serde_json::Value;
use std::path::Path;
use support::{Nvml, Scenario, kvtrace, write};

fn attribution(home: &Path, name: &str) -> Value {
    let (code, out, error) = kvtrace(home, &["show", name, "--format", "json"]);
    assert_eq!((code, error.as_str()), (0, ""));
    serde_json::from_str::<Value>(&out).unwrap()["attributions"][0].clone()
}

fn of(scenario: &Scenario) -> Value {
    let home = tempfile::tempdir().unwrap();
    write(scenario, &home.path().join("run"));
    attribution(home.path(), "run")
}

fn bytes(found: &Value, key: &str) -> i64 {
    let terms = found["terms"].as_array().unwrap();
    terms.iter().find(|term| term["key"] == key).map_or(0, |term| term["bytes"].as_i64().unwrap())
}

fn has(found: &Value, key: &str) -> bool {
    found["terms"].as_array().unwrap().iter().any(|term| term["key"] == key)
}

/// The terms and the rest are the total, and the parts of a term are the term.
fn assert_sums(found: &Value) {
    let sum = |list: &Value| list.as_array().unwrap().iter().map(|of| of["bytes"].as_i64().unwrap()).sum::<i64>();
    assert_eq!(sum(&found["terms"]) + found["unexplained_bytes"].as_i64().unwrap(), found["total_bytes"], "{found}");
    for term in found["terms"].as_array().unwrap() {
        if !term["parts"].as_array().unwrap().is_empty() {
            assert_eq!(sum(&term["parts"]), term["bytes"].as_i64().unwrap(), "{term}");
        }
        assert!(!term["evidence"].as_array().unwrap().is_empty(), "{term}");
    }
}

const G: i64 = GIB as i64;

#[test]
fn every_byte_of_a_unified_gpu_has_one_place() {
    let scenario = Scenario {
        huge_pages: 2 * GIB,
        untraced: 3 * GIB,
        nvml: Some(Nvml { context: Some(GIB / 2), others: 2 * GIB, total: None }),
        ..Scenario::default()
    };
    let found = of(&scenario);
    assert_sums(&found);
    for (key, expected) in [
        ("weights", 14 * G),
        // Cached without tmpfs, and Buffers; the rest of what the scenario calls page cache is reclaimable slab.
        ("page_cache", 6 * G - 6 * G / 32),
        ("slab", 6 * G / 32 + G / 2),
        ("anonymous_memory", 3 * G),
        ("shared_memory", G / 4),
        ("huge_pages", 2 * G),
        ("other_processes", 2 * G),
        ("context", G / 2),
        ("untraced", G / 2),
        ("transient", 3 * G / 2),
    ] {
        let off = bytes(&found, key) - expected;
        // The log gives the transient to a block.
        assert!(off.abs() <= if key == "transient" { 32 * 57_344 } else { 0 }, "{key}: {off}");
    }
    assert_eq!(found["unexplained_bytes"], 0);
}

#[test]
fn without_nvml_what_nobody_holds_has_no_owner() {
    let found = of(&Scenario { untraced: 3 * GIB, ..Scenario::default() });
    assert_sums(&found);
    assert_eq!((bytes(&found, "untraced"), found["unexplained_bytes"].as_i64()), (3 * G, Some(0)));
    assert!(!has(&found, "other_processes"));
}

#[test]
fn host_memory_is_no_term_of_a_discrete_gpu() {
    let discrete = Scenario { device: "NVIDIA H100", integrated: false, total: 80 * GIB, ..Scenario::default() };
    let found = of(&Scenario { untraced: GIB, page_cache: 40 * GIB, ..discrete.clone() });
    assert_sums(&found);
    for key in ["page_cache", "shared_memory", "anonymous_memory", "slab", "kernel_memory", "huge_pages"] {
        assert!(!has(&found, key), "{key}: {found}");
    }
    assert_eq!((bytes(&found, "untraced"), bytes(&found, "weights")), (G, 14 * G));
    let nvml = Some(Nvml { context: Some(GIB / 4), others: GIB / 2, total: Some(80 * GIB) });
    let found = of(&Scenario { untraced: GIB, nvml, ..discrete });
    assert_eq!((bytes(&found, "context"), bytes(&found, "other_processes")), (G / 4, G / 2));
    assert_eq!((bytes(&found, "untraced"), found["unexplained_bytes"].as_i64()), (G / 4, Some(0)));
}

#[test]
fn a_cap_keeps_what_the_fraction_would_have_given() {
    let capped = of(&Scenario { user_tokens: Some(100_000), ..Scenario::default() });
    assert_sums(&capped);
    assert_eq!(bytes(&capped, "kv_cache"), 100_000 * 57_344);
    let free = of(&Scenario::default());
    let moved = bytes(&free, "kv_cache") - bytes(&capped, "kv_cache");
    assert!((bytes(&capped, "cap") - moved).abs() <= 16 << 20, "{moved}");
}

#[test]
fn nothing_of_the_host_is_guessed_without_a_view() {
    let home = tempfile::tempdir().unwrap();
    write(&Scenario::default(), &home.path().join("run"));
    let path = home.path().join("run/spark.4242.77.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let kept: Vec<_> = text.lines().filter(|line| !line.contains("\"ev\":\"view\"")).collect();
    std::fs::write(&path, kept.join("\n") + "\n").unwrap();
    let found = attribution(home.path(), "run");
    assert_sums(&found);
    assert!(!has(&found, "page_cache") && !has(&found, "untraced"));
    assert_eq!(found["unexplained_bytes"].as_i64(), Some(6 * G + 3 * G + G / 4 + G / 2));
    let (_, out, _) = kvtrace(home.path(), &["show", "run"]);
    assert!(out.contains("host memory cannot be told from the rest"), "{out}");
}

#[test]
fn a_patched_answer_does_not_change_what_there_was() {
    let home = tempfile::tempdir().unwrap();
    write(&Scenario::default(), &home.path().join("run"));
    let before = attribution(home.path(), "run");
    let path = home.path().join("run/spark.4242.77.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let told = before["free_bytes"].as_u64().unwrap();
    let (query, real) = (before["of"].as_str().unwrap().replace("4242:", ""), told - 5 * GIB);
    let patch = format!(
        r#"{{"ev":"patch","n":998,"t":1000000001,"pid":4242,"tid":4242,"of":{query},"field":"free","real":{real},"reported":{told}}}"#
    );
    std::fs::write(&path, format!("{text}{patch}\n")).unwrap();
    let after = attribution(home.path(), "run");
    assert_sums(&after);
    assert_eq!(after["free_bytes"], real);
    assert_eq!(bytes(&after, "left_by_fraction"), bytes(&before, "left_by_fraction") - 5 * G);
    let note = after["terms"].as_array().unwrap().iter().find(|term| term["key"] == "left_by_fraction").unwrap();
    assert!(note["note"].as_str().unwrap().contains("patched by +5.00 GiB"), "{note}");
}

/// A GPU whose memory is a NUMA node of its own has page cache of its own.
#[test]
fn the_counters_of_the_gpu_s_node_are_booked() {
    let home = tempfile::tempdir().unwrap();
    let total = 96 * GIB;
    let scenario =
        Scenario { device: "NVIDIA GH200", integrated: false, total, untraced: 9 * GIB, ..Scenario::default() };
    write(&scenario, &home.path().join("run"));
    let before = attribution(home.path(), "run");
    assert_eq!(bytes(&before, "untraced"), 9 * G);
    let path = home.path().join("run/spark.4242.77.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let (query, free) = (before["of"].as_str().unwrap().replace("4242:", ""), &before["free_bytes"]);
    let node = format!(
        r#"{{"ev":"node","n":999,"t":1000000001,"pid":4242,"tid":4242,"of":{query},"node":1,"meminfo":{{"MemTotal":{total},"MemFree":{free},"FilePages":{},"AnonPages":{GIB},"Shmem":0}}}}"#,
        7 * GIB
    );
    std::fs::write(&path, format!("{text}{node}\n")).unwrap();
    let after = attribution(home.path(), "run");
    assert_sums(&after);
    assert_eq!((bytes(&after, "page_cache"), bytes(&after, "anonymous_memory")), (7 * G, G));
    assert_eq!((bytes(&after, "untraced"), after["unexplained_bytes"].as_i64()), (G, Some(0)));
}

#[test]
fn hostile_names_of_files_are_escaped() {
    let home = tempfile::tempdir().unwrap();
    write(&Scenario::default(), &home.path().join("run"));
    let path = home.path().join("run/spark.4242.77.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let head = r#""n":990,"t":1000000001,"pid":4242,"tid":4242"#;
    let file = format!(
        r#"{{"ev":"weights",{head},"fn":"open","layer":"libc","depth":0,"rc":0,"dur":0,"mod":"","off":"0x0","id":1,"path":"/m/\u001b[31m|<b>.safetensors","device":7,"inode":9,"size":{GIB},"mtime":5,"flags":"0x0","format":"safetensors"}}"#
    );
    let cached = format!(
        r#"{{"ev":"cached","n":991,"t":1000000002,"pid":4242,"tid":4242,"of":16,"id":1,"files":1,"size":{GIB},"cached":{GIB},"by":"cachestat"}}"#
    );
    std::fs::write(&path, format!("{text}{file}\n{cached}\n")).unwrap();
    assert_sums(&attribution(home.path(), "run"));
    for format in ["table", "markdown", "csv"] {
        let (_, out, _) = kvtrace(home.path(), &["show", "run", "--format", format]);
        assert!(!out.contains('\u{1b}') && (format != "markdown" || !out.contains("<b>")), "{out}");
        assert!(out.contains(".safetensors"), "{out}");
    }
}

prop_compose! {
    fn scenarios()(
        memory in (0..20 * GIB, 0..8 * GIB, 0..GIB, 0..GIB, 0..3 * GIB),
        device in (GIB..40 * GIB, 0..8 * GIB, 0..3 * GIB),
        temporary_tokens in 64u64..10_000,
        fraction in 0.05f64..1.0,
        growth_before_c in prop::sample::select(vec![0, GIB, 9 * GIB]),
        flags in (any::<bool>(), any::<bool>()),
        user_tokens in prop::option::of(1000u64..900_000),
        nvml in prop::option::of((prop::option::of(0..GIB), 0..9 * GIB)),
    ) -> Scenario {
        let (page_cache, anonymous, shared, kernel, huge_pages) = memory;
        let (weights, untraced, transient) = device;
        let (integrated, with_log) = flags;
        let nvml = nvml.map(|(context, others)| Nvml { context, others, total: None });
        Scenario {
            page_cache, anonymous, shared, kernel, huge_pages, weights, untraced, transient, temporary_tokens, fraction,
            growth_before_c, integrated, with_log, user_tokens, nvml, ..Scenario::default()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_terms_and_the_rest_sum_to_the_total(scenario in scenarios()) {
        let home = tempfile::tempdir().unwrap();
        write(&scenario, &home.path().join("run"));
        let (code, out, error) = kvtrace(home.path(), &["show", "run", "--format", "json"]);
        prop_assume!(code != 3);
        prop_assert_eq!((code, error.as_str()), (0, ""));
        assert_sums(&serde_json::from_str::<Value>(&out).unwrap()["attributions"][0]);
    }
}
