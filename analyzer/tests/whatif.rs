//! `kvtrace whatif`: what a run would have got, on golden traces.

mod support;

use kvtrace_sizing::GIB;
use proptest::prelude::*;
use serde_json::Value;
use std::path::Path;
use support::{More, Scenario, kvtrace, write};

const QWEN_7B: &str = r#"{"model_type": "qwen2", "hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28,
    "num_key_value_heads": 4, "max_position_embeddings": 131072, "torch_dtype": "bfloat16"}"#;

fn home(scenario: &Scenario) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    write(scenario, &home.path().join("run"));
    std::fs::write(home.path().join("config.json"), QWEN_7B).unwrap();
    home
}

fn ask(home: &Path, arguments: &[&str]) -> (i32, String, String) {
    kvtrace(home, &[&["whatif", "run"], arguments].concat())
}

fn json(home: &Path, arguments: &[&str]) -> Value {
    let (code, out, error) = ask(home, &[arguments, &["--format", "json"]].concat());
    assert_eq!((code, error.as_str()), (0, ""), "{arguments:?}");
    serde_json::from_str(&out).unwrap()
}

/// What a run of that kind really gets.
fn given(scenario: &Scenario) -> u64 {
    let home = tempfile::tempdir().unwrap();
    write(scenario, &home.path().join("run"))
}

fn typed(answer: &Value) -> Vec<String> {
    let all = answer["settings"].as_array().unwrap().iter();
    all.map(|set| format!("{} {}", set["flag"].as_str().unwrap(), set["value"].as_str().unwrap())).collect()
}

#[test]
fn each_change_gives_what_such_a_run_gets() {
    let base = Scenario::default();
    let home = home(&base);
    let cases: [(&[&str], Scenario, &[&str]); 5] = [
        (
            &["--fraction", "0.95"],
            Scenario { fraction: 0.95, ..base.clone() },
            &["kv_cache_config.free_gpu_memory_fraction 0.95"],
        ),
        (
            &["--max-tokens", "500000"],
            Scenario { user_tokens: Some(500_000), ..base.clone() },
            &["kv_cache_config.max_tokens 500000"],
        ),
        (&["--weights", "20GiB"], Scenario { weights: 20 * GIB, ..base.clone() }, &[]),
        (
            &["--kv-dtype", "fp8", "--model", "config.json"],
            Scenario { bytes_per_token: 28_672, ..base.clone() },
            &["kv_cache_config.dtype fp8"],
        ),
        (
            &["--fraction", "0.5", "--weights", "10GiB"],
            Scenario { fraction: 0.5, weights: 10 * GIB, ..base.clone() },
            &["kv_cache_config.free_gpu_memory_fraction 0.5"],
        ),
    ];
    for (arguments, scenario, settings) in cases {
        let answer = json(home.path(), arguments);
        let (predicted, given) = (answer["predicted"]["kv_bytes"].as_u64().unwrap(), given(&scenario));
        // A block: the transient is solved from the pool to that.
        assert!(predicted.abs_diff(given) <= 2 * 32 * 57_344, "{arguments:?}: {predicted} {given}");
        assert_eq!(answer["observed"]["kv_bytes"].as_u64(), Some(self::given(&base)));
        assert_eq!(answer["rule_error_bytes"], 0);
        let per_token = if arguments[0] == "--kv-dtype" { 28_672 } else { 57_344 };
        assert_eq!(answer["predicted"]["tokens"].as_u64(), Some(predicted / per_token));
        if !settings.is_empty() {
            assert_eq!(typed(&answer), settings);
        }
    }
    // A setting that reproduces what other weights leave: a bound on tokens.
    let answer = json(home.path(), &["--weights", "20GiB"]);
    assert!(typed(&answer)[1].starts_with("kv_cache_config.max_tokens "), "{answer}");
}

#[test]
fn dropped_page_cache_and_free_memory() {
    let base = Scenario { page_cache: 20 * GIB, ..Scenario::default() };
    let home = home(&base);
    let answer = json(home.path(), &["--drop-page-cache"]);
    // The scenario's kernel would give up nine tenths.
    let gained = answer["change_bytes"].as_f64().unwrap();
    assert!((gained - 0.9 * 18.0 * GIB as f64).abs() < 4e6, "{gained}");
    assert!(answer["steps"][0].as_str().unwrap().contains("drop_caches"), "{answer}");
    let less = Scenario { page_cache: 2 * GIB, ..base.clone() };
    let free = answer["changes"].as_array().unwrap().iter().find(|change| change["what"] == "free at B").unwrap();
    let free = (free["to"].as_f64().unwrap() as u64).to_string();
    let by_free = json(home.path(), &["--free", &free]);
    assert_eq!(by_free["predicted"]["kv_bytes"], answer["predicted"]["kv_bytes"]);
    assert!(by_free["predicted"]["kv_bytes"].as_u64().unwrap().abs_diff(given(&less)) < 4 << 20);
}

#[test]
fn ranks_share_the_weights_and_the_heads() {
    let discrete = Scenario { device: "NVIDIA H100", integrated: false, total: 80 * GIB, ..Scenario::default() };
    let home = home(&discrete);
    let answer = json(home.path(), &["--tp", "2", "--model", "config.json"]);
    let expected = given(&Scenario { weights: 7 * GIB, bytes_per_token: 28_672, ..discrete });
    let predicted = answer["predicted"]["kv_bytes"].as_u64().unwrap();
    assert!(predicted.abs_diff(expected) <= 2 * 32 * 57_344, "{predicted} {expected}");
    assert_eq!(typed(&answer), ["--tp_size 2"]);
    assert!(answer["notes"].to_string().contains("one of 2 ranks"), "{answer}");
}

#[test]
fn the_model_s_configuration_may_be_in_the_trace() {
    let home = home(&Scenario::default());
    let text = QWEN_7B.replace('\n', " ").replace('"', "\\\"");
    More::to(&home.path().join("run")).raw(
        "config",
        &format!(r#""path":"/m/config.json","size":{},"digest":"0xc0ffee","text":"{text}""#, QWEN_7B.len()),
    );
    let answer = json(home.path(), &["--kv-dtype", "fp8"]);
    assert_eq!(answer["predicted"]["tokens"].as_u64(), answer["predicted"]["kv_bytes"].as_u64().map(|b| b / 28_672));
}

#[test]
fn as_a_user_reads_it() {
    let home = home(&Scenario { page_cache: 20 * GIB, ..Scenario::default() });
    let arguments = ["--drop-page-cache", "--fraction", "0.95", "--kv-dtype", "fp8", "--model", "config.json"];
    for format in ["table", "markdown", "csv"] {
        let (code, out, error) = ask(home.path(), &[&arguments[..], &["--format", format]].concat());
        assert_eq!((code, error.as_str()), (0, ""));
        insta::assert_snapshot!(format!("whatif_{format}"), out);
    }
}

#[test]
fn what_cannot_be_predicted_says_why() {
    let unified = home(&Scenario::default());
    let silent = home(&Scenario { with_log: false, ..Scenario::default() });
    let discrete = home(&Scenario { integrated: false, ..Scenario::default() });
    let other = QWEN_7B.replace("28, \"num_attention", "32, \"num_attention");
    std::fs::write(unified.path().join("other.json"), other).unwrap();
    let blind = home(&Scenario::default());
    let path = blind.path().join("run/spark.4242.77.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let kept = text.lines().filter(|line| !line.contains("\"ev\":\"view\""));
    std::fs::write(&path, kept.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let odd = home(&Scenario::default());
    let path = odd.path().join("run/spark.4242.77.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let pool = given(&Scenario::default());
    std::fs::write(&path, text.replace(&format!("\"size\":{pool}"), &format!("\"size\":{}", pool * 3 / 4))).unwrap();
    let cases: [(&str, &Path, &[&str], i32); 10] = [
        ("nothing", unified.path(), &[], 2),
        ("fraction", unified.path(), &["--fraction", "1.5"], 2),
        ("both", unified.path(), &["--free", "1GiB", "--drop-page-cache"], 2),
        ("no_config", unified.path(), &["--kv-dtype", "fp8"], 3),
        ("other_model", unified.path(), &["--kv-dtype", "fp8", "--model", "other.json"], 3),
        ("ranks_of_one", unified.path(), &["--tp", "2", "--model", "config.json"], 3),
        ("no_log", silent.path(), &["--max-tokens", "4096"], 3),
        ("discrete", discrete.path(), &["--drop-page-cache"], 3),
        ("no_view", blind.path(), &["--drop-page-cache"], 3),
        ("off_the_rule", odd.path(), &["--fraction", "0.8"], 3),
    ];
    for (name, home, arguments, code) in cases {
        let (exit, out, error) = ask(home, arguments);
        assert_eq!((exit, out.as_str()), (code, ""), "{name}: {error}");
        insta::assert_snapshot!(format!("whatif_error_{name}"), error);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    /// Asked for what it is, the rule gives what it was; and the change is what both differ by.
    #[test]
    fn nothing_changed_is_nothing_predicted(
        page_cache in 0..20 * GIB,
        weights in GIB..40 * GIB,
        transient in 0..3 * GIB,
        fraction in 0.3f64..0.99,
        other in 0.3f64..0.99,
        temporary_tokens in 64u64..10_000,
    ) {
        let scenario = Scenario { page_cache, weights, transient, fraction, temporary_tokens, ..Scenario::default() };
        let home = home(&scenario);
        let same = json(home.path(), &["--fraction", &fraction.to_string()]);
        prop_assert_eq!(&same["change_bytes"], 0);
        let moved = json(home.path(), &["--fraction", &other.to_string()]);
        let of = |key: &str| moved[key]["kv_bytes"].as_i64().unwrap();
        prop_assert_eq!(moved["change_bytes"].as_i64().unwrap(), of("predicted") - of("observed"));
        prop_assert!((other > fraction) == (of("predicted") > of("observed")) || of("predicted") == of("observed"));
    }
}
