use crate::support::{Nvml, Scenario, kvtrace, write};
use crate::{G, GIB, assert_is, discrete, finding, settings, supported};
use serde_json::Value;
use std::path::Path;

/// With a huge page, so that the kernel's line is there on both sides.
fn clean() -> Scenario {
    Scenario { huge_pages: 2 << 20, ..crate::clean() }
}

fn pair(a: &Scenario, b: &Scenario) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    write(a, &home.path().join("a"));
    write(b, &home.path().join("b"));
    home
}

fn read(home: &Path) -> Value {
    let (code, out, error) = kvtrace(home, &["diff", "a", "b", "--format", "json"]);
    assert_eq!((code, error.as_str()), (0, ""));
    serde_json::from_str(&out).unwrap()
}

fn diff(a: &Scenario, b: &Scenario) -> Value {
    read(pair(a, b).path())
}

#[track_caller]
fn assert_near(found: &Value, expected: f64) {
    let moved = found["kv_bytes"].as_f64().unwrap();
    assert!((moved - expected).abs() <= 0.01 * expected.abs(), "{moved} {expected}: {found:#}");
}

const F: f64 = 0.9;

fn with_nvml(untraced: u64, others: u64) -> Scenario {
    let nvml = Some(Nvml { context: Some(GIB / 8), others, total: None });
    Scenario { untraced, nvml, ..clean() }
}

#[test]
fn each_cause_is_supported_and_the_others_are_not() {
    let base = clean();
    let cases: [(&str, Scenario, f64); 6] = [
        ("page_cache", Scenario { page_cache: base.page_cache + 10 * GIB, ..base.clone() }, -F * 10.0),
        ("other_process", Scenario { anonymous: base.anonymous + 8 * GIB, ..base.clone() }, -F * 4.0),
        ("kernel_reserves", Scenario { huge_pages: 4 * GIB, ..base.clone() }, -F * 4.0),
        ("own_footprint", Scenario { transient: base.transient + 4 * GIB, ..base.clone() }, -F * 4.0),
        ("total", Scenario { total: base.total - 8 * GIB, ..base.clone() }, -F * 8.0),
        ("stale_snapshot", Scenario { growth_before_c: 9 * GIB, ..base.clone() }, -F * (9.0 - 0.25)),
    ];
    for (key, scenario, expected) in cases {
        let answer = diff(&base, &scenario);
        assert_is(&answer, key, "supported");
        assert_near(finding(&answer, key), expected * G as f64);
        for other in ["page_cache", "kernel_reserves", "total", "ceiling", "cgroup_limit", "cgroup_double_counting"] {
            assert!(other == key || finding(&answer, other)["verdict"] != "supported", "{key}: {other}");
        }
    }
}

#[test]
fn a_mixture_of_two_causes_is_split() {
    // Page cache and a program on the GPU, which no line of /proc/meminfo shows.
    let answer = diff(
        &with_nvml(GIB / 8, 0),
        &Scenario { page_cache: clean().page_cache + 8 * GIB, ..with_nvml(41 * GIB / 8, 5 * GIB) },
    );
    assert_eq!(supported(&answer), ["page_cache", "other_process"]);
    assert_near(finding(&answer, "page_cache"), -F * 8.0 * G as f64);
    assert_near(finding(&answer, "other_process"), -F * 5.0 * G as f64);
    let sum: f64 =
        ["page_cache", "other_process"].map(|key| finding(&answer, key)["kv_bytes"].as_f64().unwrap()).iter().sum();
    let difference = answer["difference_bytes"].as_f64().unwrap();
    assert!((sum - difference).abs() <= 0.01 * difference.abs(), "{sum} {difference}");

    // Page cache and another fraction, which takes of what the page cache left.
    let answer = diff(&clean(), &Scenario { page_cache: clean().page_cache + 8 * GIB, fraction: 0.8, ..clean() });
    assert_eq!(supported(&answer), ["page_cache", "fraction_or_cap"]);
    assert_near(finding(&answer, "page_cache"), -F * 8.0 * G as f64);
    let rest = answer["difference_bytes"].as_f64().unwrap() + F * 8.0 * G as f64;
    assert_near(finding(&answer, "fraction_or_cap"), rest);

    // Two that nearly cancel.
    let less = Scenario { page_cache: clean().page_cache + 6 * GIB, ..clean() };
    let answer = diff(&Scenario { huge_pages: 6 * GIB, ..clean() }, &less);
    for key in ["page_cache", "kernel_reserves"] {
        assert_is(&answer, key, "supported");
        assert!(finding(&answer, key)["because"].as_str().unwrap().contains("makes up for it"));
    }
}

#[test]
fn noise_has_no_cause() {
    for step in 1..6u64 {
        let mib = 1 << 20;
        let other = Scenario {
            page_cache: clean().page_cache + step * 40 * mib,
            anonymous: clean().anonymous - step * 17 * mib,
            kernel: clean().kernel + step * 3 * mib,
            transient: clean().transient + step * 9 * mib,
            ..clean()
        };
        let answer = diff(&clean(), &other);
        assert!(answer["difference_bytes"] != 0);
        for found in answer["verdicts"].as_array().unwrap() {
            assert_eq!(found["verdict"], "cannot tell", "{found:#}");
        }
    }
}

#[test]
fn what_works_the_other_way_is_no_cause() {
    // More page cache at B, and more KV cache too.
    let a = Scenario { page_cache: GIB, huge_pages: 20 * GIB, ..clean() };
    let answer = diff(&a, &Scenario { page_cache: 6 * GIB, huge_pages: 2 << 20, ..a.clone() });
    assert_is(&answer, "page_cache", "refuted");
    assert!(finding(&answer, "page_cache")["because"].as_str().unwrap().contains("works against"));
    assert_is(&answer, "kernel_reserves", "supported");
}

#[test]
fn nobody_is_named_where_nothing_tells() {
    let answer = diff(&clean(), &Scenario { untraced: 6 * GIB, ..clean() });
    assert_is(&answer, "other_process", "cannot tell");
    assert_is(&answer, "leftover", "cannot tell");
    assert_eq!(supported(&answer), [] as [&str; 0]);
    let home = pair(&clean(), &Scenario { page_cache: 20 * GIB, ..clean() });
    let path = home.path().join("b/spark.4242.77.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let kept = text.lines().filter(|line| !line.contains("\"ev\":\"view\""));
    std::fs::write(&path, kept.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let answer = read(home.path());
    assert_is(&answer, "page_cache", "cannot tell");
    assert_eq!(supported(&answer), [] as [&str; 0]);
}

#[test]
fn other_weights_are_the_model_s_doing() {
    let answer = diff(&discrete(), &Scenario { weights: 20 * GIB, bytes_per_token: 73_728, ..discrete() });
    assert_is(&answer, "model", "supported");
    assert_near(finding(&answer, "model"), -F * 6.0 * G as f64);
    assert_is(&answer, "own_footprint", "refuted");
    let answer = diff(&discrete(), &Scenario { fraction: 0.7, ..discrete() });
    assert_is(&answer, "model", "cannot tell");
    assert_eq!(settings(finding(&answer, "fraction_or_cap")), ["kv_cache_config.free_gpu_memory_fraction 0.9"]);
}

#[test]
fn a_memory_limit_of_a_container_is_not_blamed() {
    let limited = Scenario { cgroup_max: Some(64 * GIB), page_cache: 20 * GIB, ..clean() };
    let answer = diff(&clean(), &limited);
    assert_eq!(supported(&answer), ["page_cache"]);
    assert_is(&answer, "cgroup_limit", "refuted");
    assert_is(&answer, "cgroup_double_counting", "refuted");
}

#[test]
fn as_a_user_reads_it() {
    let b = Scenario { page_cache: clean().page_cache + 8 * GIB, fraction: 0.8, ..clean() };
    let home = pair(&clean(), &b);
    let (_, out, _) = kvtrace(home.path(), &["diff", "a", "b", "--all"]);
    let sections = out.split("\n\n").filter(|part| part.starts_with("What may have") || part.starts_with("What to do"));
    insta::assert_snapshot!("verdicts_pair", sections.collect::<Vec<_>>().join("\n\n"));
}
