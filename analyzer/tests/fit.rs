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
fn the_published_table_as_a_user_reads_it() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let (code, out, error) = kvtrace(&data, &["fit", "spark.csv"]);
    assert_eq!((code, error.as_str()), (0, ""));
    insta::assert_snapshot!("fit_table", out);
}

/// The published table, as a page for those who were not there.
#[test]
fn the_case_study_is_what_the_command_writes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let title = "The KV cache of a DGX Spark, natively and in a container";
    let (code, page, error) = kvtrace(&root, &["fit", "analyzer/tests/data/spark.csv", "--page", title]);
    assert_eq!((code, error.as_str()), (0, ""));
    let kept = std::fs::read_to_string(root.join("docs/case-study-dgx-spark.md")).unwrap();
    assert_eq!(kept, page, "kvtrace fit analyzer/tests/data/spark.csv --page '{title}' > docs/case-study-dgx-spark.md");
    for part in [
        "## Is there a ceiling?\n\n**No.** *Ceiling: KV stops at 44.71 GiB*",
        "## Why does container get less than native?\n\n**Because more memory was in use at the peak",
        "KV = 0.900 x (119.71 GiB - peak)",
        "models with such KV bytes per token should not",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[test]
fn a_page_says_what_its_runs_say() {
    let home = tempfile::tempdir().unwrap();
    let page = |text: &str| {
        std::fs::write(home.path().join("runs.csv"), text).unwrap();
        let (code, out, error) = kvtrace(home.path(), &["fit", "runs.csv", "--page", "Runs"]);
        assert_eq!((code, error.as_str()), (0, ""));
        out
    };
    // Both sides of a label, of which one has two GiB less than the line of all.
    let off = page("place,peak_gib,kv_gib\na,10,20\na,12,18.2\na,14,16.4\nb,20,9\nb,22,7.2\nb,24,5.4\n");
    assert!(off.contains("**The peak explains a part.**"), "{off}");
    let level: String = (0..12).map(|run| format!("{},{}\n", 10 + run, (27 - run).min(24))).collect();
    let stopped = page(&format!("peak_gib,kv_gib\n{level}"));
    assert!(stopped.contains("## Is there a ceiling?\n\n**Yes.**"), "{stopped}");
    let hostile = page("model|<b>,peak_gib,kv_gib\n\u{1b}[31m|<b>,10,20\n`x`,12,18.2\n");
    assert!(!hostile.contains('\u{1b}') && !hostile.contains("<b>"), "{hostile}");
}

#[test]
fn models_that_share_a_constant_are_doubted_and_with_one_speed_refuted() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let doubt = "different models were run under the names in model";
    assert_eq!(verdict(&json(&data, &["fit", "spark.csv"]), doubt), "cannot tell");
    // KV bytes per token, speed, and what the temporary pool of 8224 tokens adds to the constant, GiB.
    let runs = |one_model: bool| -> String {
        let models = [("small", 57_344u64, 120.0), ("large", 327_680, 11.0)];
        let rows = models.iter().flat_map(|(name, bytes, speed)| {
            (0..4).map(move |step| {
                let (bytes_run, speed) = if one_model { (57_344, 120.5) } else { (*bytes, *speed) };
                let constant = 119.7 + 8224.0 * bytes_run as f64 / GIB;
                let peak = 70.0 + 5.0 * f64::from(step) + f64::from(name.len() as u32);
                let kv = 0.9 * (constant - peak);
                serde_json::json!({"model": name, "kv_bytes_per_token": bytes, "throughput": speed,
                    "peak_gib": peak, "kv_gib": (kv * 100.0).round() / 100.0})
            })
        });
        serde_json::to_string(&rows.collect::<Vec<_>>()).unwrap()
    };
    let home = tempfile::tempdir().unwrap();
    for (one_model, expected) in [(true, "refuted"), (false, "supported")] {
        std::fs::write(home.path().join("runs.json"), runs(one_model)).unwrap();
        assert_eq!(verdict(&json(home.path(), &["fit", "runs.json"]), doubt), expected);
    }
}

/// `count` runs with peaks by `peak`, KV by `slope` and the total of a small device.
fn table(count: u32, slope: f64, peak: impl Fn(u32) -> f64) -> String {
    let mut text = String::from("peak_gib,kv_gib\n");
    for run in 0..count {
        text += &format!("{:.2},{:.2}\n", peak(run), 30.0 + slope * peak(run));
    }
    text
}

#[test]
fn each_runtime_s_rule_is_told_by_its_slope() {
    let home = tempfile::tempdir().unwrap();
    let rules = ["rule: a fraction", "rule: a share", "rule: a fixed size"];
    for (slope, expected) in [
        (-0.9, ["supported", "refuted", "refuted"]),
        // A fraction may come as near to 1 as it likes.
        (-1.0, ["cannot tell", "supported", "refuted"]),
        (0.0, ["refuted", "refuted", "supported"]),
    ] {
        let text = table(9, slope, |run| 3.0 + f64::from(run * 7 % 9));
        std::fs::write(home.path().join("runs.csv"), text).unwrap();
        let fit = json(home.path(), &["fit", "runs.csv"]);
        assert_eq!(rules.map(|rule| verdict(&fit, rule)), expected, "slope {slope}");
        assert_eq!(fit["total_bytes"].is_null(), slope == 0.0);
    }
}

#[test]
fn drift_and_jumps_in_run_order_are_seen_and_noise_is_not() {
    let home = tempfile::tempdir().unwrap();
    let of = |peak: &dyn Fn(u32) -> f64| {
        std::fs::write(home.path().join("runs.csv"), table(12, -0.9, peak)).unwrap();
        let fit = json(home.path(), &["fit", "runs.csv"]);
        (verdict(&fit, "the peak drifts").to_owned(), verdict(&fit, "the peak jumps").to_owned())
    };
    assert_eq!(of(&|run| 20.0 - f64::from(run)).0, "supported");
    assert_eq!(
        of(&|run| if run < 6 { 5.0 + 0.1 * f64::from(run % 3) } else { 9.0 + 0.1 * f64::from(run % 3) }).1,
        "supported"
    );
    assert_eq!(of(&|run| 5.0 + f64::from(run * 7 % 12)), ("cannot tell".into(), "cannot tell".into()));
}

#[test]
fn a_run_off_the_line_is_named() {
    let home = tempfile::tempdir().unwrap();
    let mut text = table(10, -0.9, |run| 5.0 + f64::from(run * 3 % 10));
    text += "7.00,20.00\n";
    std::fs::write(home.path().join("runs.csv"), text).unwrap();
    let fit = json(home.path(), &["fit", "runs.csv"]);
    let outliers: Vec<bool> = fit["runs"].as_array().unwrap().iter().map(|run| run["outlier"] == true).collect();
    assert_eq!(outliers.iter().filter(|outlier| **outlier).count(), 1);
    assert!(outliers[10]);
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
    put("list.json", b"[{\"peak_gib\": 3}]");
    put("object.json", b"{}");
    for (name, code) in [
        ("none.csv", 2),
        ("other.csv", 2),
        ("text.csv", 2),
        ("binary.csv", 2),
        ("one.csv", 3),
        ("list.json", 2),
        ("object.json", 2),
    ] {
        let (exit, out, error) = kvtrace(home.path(), &["fit", name]);
        assert_eq!((exit, out.as_str()), (code, ""), "{name}: {error}");
        insta::assert_snapshot!(format!("fit_{}", name.trim_end_matches(".csv").replace('.', "_")), error);
    }
}
