//! `kvtrace fit`: what the published figures and traces say.

mod support;

use serde_json::Value;
use std::path::Path;
use support::{Scenario, kvtrace, write};

const GIB: f64 = (1u64 << 30) as f64;

fn json(directory: &Path, arguments: &[&str]) -> Value {
    let (code, out, error) = kvtrace(directory, &[arguments, &["--format", "json"]].concat());
    assert_eq!((code, error.as_str()), (0, ""));
    serde_json::from_str(&out).unwrap()
}

fn verdict<'v>(fit: &'v Value, name: &str) -> &'v str {
    let list = fit["hypotheses"].as_array().unwrap();
    let found = list.iter().find(|hypothesis| hypothesis["name"].as_str().unwrap().starts_with(name));
    found.unwrap_or_else(|| panic!("{name} in {list:?}"))["verdict"].as_str().unwrap()
}

#[test]
fn the_published_table_is_one_line_without_a_ceiling() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let fit = json(&data, &["fit", "spark.csv"]);
    let (slope, fraction) = (fit["slope"].as_f64().unwrap(), fit["fraction"].as_f64().unwrap());
    assert_eq!((format!("{slope:.3}"), format!("{fraction:.3}")), ("-0.900".into(), "0.900".into()));
    assert_eq!(format!("{:.1}", fit["total_bytes"].as_u64().unwrap() as f64 / GIB), "119.7");
    assert!((fit["max_residual_bytes"].as_u64().unwrap() as f64) < 0.02 * GIB);
    assert_eq!(verdict(&fit, "one line"), "supported");
    assert_eq!(verdict(&fit, "ceiling"), "refuted");
    assert_eq!(verdict(&fit, "a constant overhead of container over native"), "refuted");
    assert_eq!(verdict(&fit, "the rule or its constants depend on model"), "refuted");
    assert_eq!(verdict(&fit, "the rule or its constants depend on environment"), "refuted");
}

#[test]
fn a_real_ceiling_is_seen() {
    let home = tempfile::tempdir().unwrap();
    let mut text = String::from("peak_gib,kv_gib\n");
    for peak in [40.0, 50.0, 60.0, 80.0, 85.0, 90.0, 95.0, 100.0, 105.0] {
        text += &format!("{peak},{:.2}\n", (0.9f64 * (119.7 - peak)).min(44.0));
    }
    std::fs::write(home.path().join("runs.csv"), text).unwrap();
    let fit = json(home.path(), &["fit", "runs.csv"]);
    assert_eq!(verdict(&fit, "ceiling"), "supported");
    assert_ne!(verdict(&fit, "one line"), "supported");
}

#[test]
fn two_runs_prove_nothing() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("runs.csv"), "peak_gib,kv_gib\n70,44\n80,35\n").unwrap();
    let fit = json(home.path(), &["fit", "runs.csv"]);
    assert_eq!((verdict(&fit, "one line"), verdict(&fit, "ceiling")), ("cannot tell", "cannot tell"));
}

#[test]
fn traces_fit_as_well() {
    let home = tempfile::tempdir().unwrap();
    let mut names = vec!["fit".to_owned()];
    for step in 0..5 {
        let page_cache = (4 + 9 * step) << 30;
        write(&Scenario { page_cache, ..Scenario::default() }, &home.path().join(format!("run{step}")));
        names.push(format!("run{step}"));
    }
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let fit = json(home.path(), &names);
    assert_eq!(format!("{:.3}", fit["slope"].as_f64().unwrap()), "-0.900");
    let constant = (support::TOTAL + 8224 * 57_344) as f64 / GIB;
    assert!((fit["total_bytes"].as_u64().unwrap() as f64 / GIB - constant).abs() < 0.02);
    assert_eq!((verdict(&fit, "one line"), verdict(&fit, "ceiling")), ("supported", "refuted"));
}

#[test]
fn bad_input_is_one_line_and_a_hint() {
    let home = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &[u8]| std::fs::write(home.path().join(name), text).unwrap();
    put("other.csv", b"a,b\n1,2\n");
    put("text.csv", b"peak_gib,kv_gib\nlots,2\n");
    put("binary.csv", b"peak_gib,kv_gib\n\xff\xfe,2\n");
    put("one.csv", b"peak_gib,kv_gib\n1,2\n");
    for (name, code) in [("none.csv", 2), ("other.csv", 2), ("text.csv", 2), ("binary.csv", 2), ("one.csv", 3)] {
        let (exit, out, error) = kvtrace(home.path(), &["fit", name]);
        assert_eq!((exit, out.as_str()), (code, ""), "{name}: {error}");
        insta::assert_snapshot!(format!("fit_{}", name.trim_end_matches(".csv")), error);
    }
}
