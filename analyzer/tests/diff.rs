//! `kvtrace diff`: what made two KV caches differ, on golden traces.

mod support;

use kvtrace_sizing::GIB;
use proptest::prelude::*;
use serde_json::Value;
use std::path::Path;
use support::{File, Scenario, kvtrace, write};

fn pair(a: &Scenario, b: &Scenario) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    write(a, &home.path().join("a"));
    write(b, &home.path().join("b"));
    home
}

fn text(home: &Path, format: &str) -> String {
    let (code, out, error) = kvtrace(home, &["diff", "a", "b", "--format", format]);
    assert_eq!((code, error.as_str()), (0, ""));
    out
}

fn json(home: &Path) -> Value {
    serde_json::from_str(&text(home, "json")).unwrap()
}

fn of_term(diff: &Value, key: &str, field: &str) -> i64 {
    let terms = diff["terms"].as_array().unwrap();
    terms.iter().find(|term| term["key"] == key).unwrap()[field].as_i64().unwrap()
}

fn kv_change(diff: &Value, key: &str) -> i64 {
    of_term(diff, key, "kv_change_bytes")
}

fn assert_sums(diff: &Value) {
    let terms = diff["terms"].as_array().unwrap();
    let sum: i64 = terms.iter().map(|term| term["kv_change_bytes"].as_i64().unwrap()).sum();
    let difference = diff["difference_bytes"].as_i64().unwrap();
    assert_eq!(sum + diff["unexplained_bytes"].as_i64().unwrap(), difference);
    let pool = |side: &str| diff[side]["kv_cache_bytes"].as_i64().unwrap();
    assert_eq!(difference, pool("b") - pool("a"));
}

/// Takes the views out of a trace, as if the machine could not be read.
fn strip(directory: &Path, event: &str) {
    let path = directory.join("spark.4242.77.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let mark = format!("\"ev\":\"{event}\"");
    let kept: Vec<_> = text.lines().filter(|line| !line.contains(&mark)).collect();
    std::fs::write(&path, kept.join("\n") + "\n").unwrap();
}

fn native() -> Scenario {
    Scenario { label: "native", ..Scenario::default() }
}

fn filled() -> Scenario {
    Scenario { label: "container", page_cache: 25 * GIB, ..Scenario::default() }
}

#[test]
fn every_format() {
    let home = pair(&native(), &filled());
    for format in ["table", "markdown", "csv", "json"] {
        insta::assert_snapshot!(format!("diff_{format}"), text(home.path(), format));
    }
}

#[test]
fn page_cache_is_booked_as_page_cache() {
    for with_log in [true, false] {
        let home = pair(&Scenario { with_log, ..native() }, &Scenario { with_log, ..filled() });
        let diff = json(home.path());
        assert_sums(&diff);
        assert_eq!(kv_change(&diff, "page_cache"), -(0.9 * (19 * GIB) as f64).round() as i64);
        let share = kv_change(&diff, "page_cache") as f64 / diff["difference_bytes"].as_i64().unwrap() as f64;
        assert!((0.98..1.02).contains(&share), "{share}");
        assert_eq!((&diff["comparable"], &diff["simulated"]), (&true.into(), &false.into()));
        assert!(diff["unexplained_bytes"].as_i64().unwrap().abs() < 16, "{}", diff["unexplained_bytes"]);
    }
}

#[test]
fn each_state_is_booked_under_its_name() {
    let base = Scenario { temporary_tokens: 8224, ..native() };
    let cases: [(&str, Scenario); 5] = [
        ("anonymous_memory", Scenario { anonymous: base.anonymous + 2 * GIB, ..base.clone() }),
        ("shared_memory", Scenario { shared: base.shared + 2 * GIB, ..base.clone() }),
        ("kernel_memory", Scenario { kernel: base.kernel + 2 * GIB, ..base.clone() }),
        ("device_memory", Scenario { weights: base.weights + 2 * GIB, ..base.clone() }),
        ("transient", Scenario { transient: base.transient + 2 * GIB, ..base.clone() }),
    ];
    for (key, scenario) in cases {
        let home = pair(&base, &scenario);
        let diff = json(home.path());
        assert_sums(&diff);
        let off = kv_change(&diff, key) + (0.9 * (2 * GIB) as f64) as i64;
        assert!(off.abs() <= 32 * 57_344, "{key}: {off}");
        assert!(diff["unexplained_bytes"].as_i64().unwrap().abs() < 16, "{key}");
    }
    let home = pair(&base, &Scenario { temporary_tokens: 4096, ..base.clone() });
    let diff = json(home.path());
    assert_eq!(kv_change(&diff, "temporary_pool"), 0);
    assert_eq!(kv_change(&diff, "device_memory"), 0);
}

#[test]
fn a_container_limit_is_not_blamed() {
    let limited = Scenario { cgroup_path: "/sys/fs/cgroup/docker/c0ffee", cgroup_max: Some(8 * GIB), ..native() };
    let home = pair(&native(), &limited);
    insta::assert_snapshot!("diff_cgroup", text(home.path(), "table"));
    let diff = json(home.path());
    assert_eq!(diff["difference_bytes"], 0);
    assert_eq!(diff["cgroup_verdict"]["limit_entered"], "no");
    assert_eq!(diff["cgroups"][1]["limit_bytes"], 8 * GIB);
}

#[test]
fn a_limit_that_was_read_is_left_open() {
    let home = pair(&native(), &Scenario { cgroup_max: Some(8 * GIB), ..native() });
    let path = home.path().join("b/spark.4242.77.jsonl");
    let bytes = std::fs::read_to_string(&path).unwrap();
    let read = concat!(
        r#"{"ev":"file","n":999,"t":1000000001,"pid":4242,"tid":4242,"fn":"open","layer":"libc","depth":0,"rc":0,"#,
        r#""dur":0,"mod":"","off":"0x0","path":"/sys/fs/cgroup/memory.max","content":"8589934592\n"}"#
    );
    std::fs::write(&path, format!("{bytes}{read}\n")).unwrap();
    let diff = json(home.path());
    assert_eq!(diff["cgroup_verdict"]["limit_entered"], "cannot tell");
}

#[test]
fn another_fraction_is_a_term_and_a_warning() {
    let home = pair(&native(), &Scenario { fraction: 0.8, ..filled() });
    insta::assert_snapshot!("diff_fraction", text(home.path(), "table"));
    let diff = json(home.path());
    assert_sums(&diff);
    assert_eq!(diff["comparable"], false);
    assert_eq!(kv_change(&diff, "page_cache"), -(0.9 * (19 * GIB) as f64).round() as i64);
    assert!(kv_change(&diff, "fraction") < -(7 * GIB as i64));
    assert!(diff["unexplained_bytes"].as_i64().unwrap().abs() < 16);
}

#[test]
fn page_cache_does_not_enter_on_a_discrete_gpu() {
    let discrete = Scenario { device: "NVIDIA H100", integrated: false, total: 80 * GIB, ..native() };
    let home = pair(&discrete, &Scenario { page_cache: 25 * GIB, weights: 20 * GIB, ..discrete.clone() });
    insta::assert_snapshot!("diff_discrete", text(home.path(), "table"));
    let diff = json(home.path());
    assert_sums(&diff);
    assert!(!diff["terms"].as_array().unwrap().iter().any(|term| term["key"] == "page_cache"));
    assert_eq!(of_term(&diff, "device_memory", "b_bytes"), 20 * GIB as i64);
    assert_eq!(kv_change(&diff, "device_memory_untraced"), 0);
    assert!(diff["unexplained_bytes"].as_i64().unwrap().abs() < 16);
}

#[test]
fn nothing_is_booked_without_a_view() {
    let home = pair(&native(), &filled());
    strip(&home.path().join("b"), "view");
    insta::assert_snapshot!("diff_no_view", text(home.path(), "table"));
    let diff = json(home.path());
    assert_sums(&diff);
    assert!(!diff["terms"].as_array().unwrap().iter().any(|term| term["key"] == "page_cache"));
    let unexplained = diff["unexplained_bytes"].as_i64().unwrap() + (0.9 * (19 * GIB) as f64) as i64;
    assert!(unexplained.abs() < 16, "{unexplained}");
    assert_eq!(diff["cgroup_verdict"]["limit_entered"], "cannot tell");
    // Nor without a device that says what its memory is.
    let home = pair(&native(), &filled());
    strip(&home.path().join("a"), "device\",\"n");
    strip(&home.path().join("b"), "device");
    assert_sums(&json(home.path()));
}

#[test]
fn a_patched_answer_is_a_term_of_its_own() {
    let home = pair(&native(), &native());
    let path = home.path().join("b/spark.4242.77.jsonl");
    let bytes = std::fs::read_to_string(&path).unwrap();
    let reported = json(home.path())["b"]["free_at_b_bytes"].as_u64().unwrap();
    let query = json(home.path())["b"]["sizing_query"].as_str().unwrap().replace("4242:", "");
    let real = reported - 5 * GIB;
    let patch = format!(
        r#"{{"ev":"patch","n":998,"t":1000000001,"pid":4242,"tid":4242,"of":{query},"field":"free","real":{real},"reported":{reported}}}"#
    );
    std::fs::write(&path, format!("{bytes}{patch}\n")).unwrap();
    let diff = json(home.path());
    assert_sums(&diff);
    assert_eq!(of_term(&diff, "patched_answer", "b_bytes"), 5 * GIB as i64);
    assert_eq!(diff["comparable"], false);
}

#[test]
fn a_trace_does_not_differ_from_itself() {
    let home = pair(&native(), &native());
    let (code, out, error) = kvtrace(home.path(), &["diff", "a", "a"]);
    assert_eq!((code, error.as_str()), (0, ""));
    assert!(out.starts_with("The KV caches of A and B are the same size ("), "{out}");
}

#[test]
fn another_model_is_named_first() {
    let simulated =
        Scenario { weights: 60 * GIB, bytes_per_token: 73_728, device: "kvtrace simulated GB10", ..native() };
    let home = pair(&native(), &simulated);
    let out = text(home.path(), "table");
    let first = out.lines().next().unwrap();
    for part in ["Warning", "model weights", "bytes per token", "device ("] {
        assert!(first.contains(part), "{first}");
    }
    assert!(out.lines().nth(2).unwrap().contains("simulated GPU"), "{out}");
}

#[test]
fn strings_of_the_program_are_escaped() {
    let hostile = Scenario { device: "x\u{1b}[31m|<b>", cgroup_path: "=cmd|<b>\u{7}", label: "\u{1b}]0;", ..filled() };
    let home = pair(&native(), &hostile);
    for format in ["table", "markdown", "csv", "json"] {
        let out = text(home.path(), format);
        assert!(!out.contains('\u{1b}') && !out.contains('\u{7}'), "{out}");
        assert!(format != "markdown" || !out.contains("<b>"), "{out}");
    }
}

#[test]
fn what_is_no_answer_names_the_side() {
    let home = pair(&native(), &filled());
    let put = |name: &str, bytes: &[u8]| {
        std::fs::create_dir_all(home.path().join(name)).unwrap();
        std::fs::write(home.path().join(name).join("h.7.1.jsonl"), bytes).unwrap();
    };
    let mut queries = File::new(7, 1, "program", "h", "", "0::/\n", &[b"/bin/x"]);
    queries.query(&Scenario::default(), 5 * GIB, GIB);
    put("undecided", queries.bytes());
    put("binary", b"\x7fELF\x02\x01\x01\x00\xff\xfe");
    std::fs::create_dir(home.path().join("empty")).unwrap();
    let cases =
        [("undecided", "b", 3), ("a", "undecided", 3), ("a", "binary", 2), ("missing", "b", 2), ("a", "empty", 3)];
    for (a, b, code) in cases {
        let (exit, out, error) = kvtrace(home.path(), &["diff", a, b]);
        assert_eq!((exit, out.as_str()), (code, ""), "{error}");
        insta::assert_snapshot!(format!("diff_error_{a}_{b}"), error);
    }
}

prop_compose! {
    fn scenarios()(
        memory in (0..20 * GIB, 0..8 * GIB, 0..GIB, 0..GIB),
        weights in GIB..40 * GIB,
        temporary_tokens in 64u64..10_000,
        transient in 0..3 * GIB,
        fraction in 0.05f64..1.0,
        bytes_per_token in prop::sample::select(vec![57_344u64, 73_728, 35_136]),
        growth_before_c in prop::sample::select(vec![0, GIB, 9 * GIB]),
        flags in (any::<bool>(), any::<bool>()),
        user_tokens in prop::option::of(1000u64..900_000),
    ) -> Scenario {
        let (page_cache, anonymous, shared, kernel) = memory;
        let (integrated, with_log) = flags;
        Scenario {
            page_cache, anonymous, shared, kernel, weights, temporary_tokens, transient, fraction, bytes_per_token,
            growth_before_c, integrated, with_log, user_tokens, ..Scenario::default()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_terms_and_the_rest_sum_to_the_difference(a in scenarios(), b in scenarios(), views in any::<bool>()) {
        let home = pair(&a, &b);
        if !views {
            strip(&home.path().join("a"), "view");
        }
        let (code, out, error) = kvtrace(home.path(), &["diff", "a", "b", "--format", "json"]);
        prop_assume!(code != 3);
        prop_assert_eq!((code, error.as_str()), (0, ""));
        assert_sums(&serde_json::from_str(&out).unwrap());
    }
}
