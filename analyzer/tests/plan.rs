//! `kvtrace plan`: what a cache holds, for the models of the published figures.

mod support;

use serde_json::Value;
use std::path::Path;
use support::{Scenario, kvtrace, write};

const QWEN_7B: &str = r#"{"model_type": "qwen2", "hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28,
    "num_key_value_heads": 4, "max_position_embeddings": 131072, "torch_dtype": "bfloat16"}"#;

fn run(home: &Path, arguments: &str) -> (i32, String, String) {
    let arguments: Vec<_> =
        ["plan", "--model", "config.json"].into_iter().chain(arguments.split_whitespace()).collect();
    kvtrace(home, &arguments)
}

fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("config.json"), QWEN_7B).unwrap();
    home
}

fn json(home: &Path, arguments: &str) -> Value {
    let (code, out, error) = run(home, &format!("{arguments} --format json"));
    assert_eq!((code, error.as_str()), (0, ""));
    serde_json::from_str(&out).unwrap()
}

#[test]
fn the_published_size_holds_the_published_tokens() {
    let home = home();
    // 44.31 GiB at 57 344 bytes are 829 685 tokens, of which blocks of 32 hold 829 664.
    let plan = json(home.path(), "--kv 44.31GiB");
    assert_eq!(plan["kv_bytes_per_token"], 57_344);
    assert_eq!((plan["tokens"].as_u64(), plan["blocks"].as_u64()), (Some(829_664), Some(25_927)));
    let requests = |plan: &Value| -> Vec<u64> {
        plan["capacity"].as_array().unwrap().iter().map(|row| row["requests"].as_u64().unwrap()).collect()
    };
    assert_eq!(requests(&plan), [405, 101, 25, 6]);
    let half = json(home.path(), "--kv 44.31GiB --kv-dtype fp8");
    assert_eq!(half["kv_bytes_per_token"], 28_672);
    let ranks = json(home.path(), "--kv 44.31GiB --tp 2 --runtime vllm");
    assert_eq!((ranks["kv_bytes_per_token"].as_u64(), ranks["tokens_per_block"].as_u64()), (Some(28_672), Some(16)));
    insta::assert_snapshot!("plan_table", run(home.path(), "--kv 44.31GiB").1);
}

#[test]
fn a_trace_gives_the_size() {
    let home = home();
    let bytes = write(&Scenario::default(), &home.path().join("trace"));
    let plan = json(home.path(), "--trace trace");
    assert_eq!(plan["kv_bytes"].as_u64(), Some(bytes));
    assert_eq!(plan["tokens"].as_u64(), Some(bytes / 57_344));
    assert_eq!(plan["kv_evidence"][0], "4242:23");
}

#[test]
fn what_cannot_be_planned_says_why() {
    let home = home();
    for (name, config, arguments) in [
        ("no_size", QWEN_7B, ""),
        ("text", "not json", "--kv 1GiB"),
        ("empty", "{}", "--kv 1GiB"),
        ("dtype", QWEN_7B, "--kv 1GiB --kv-dtype int3"),
        ("ranks", QWEN_7B, "--kv 1GiB --tp 0"),
    ] {
        std::fs::write(home.path().join("config.json"), config).unwrap();
        let (code, out, error) = run(home.path(), arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{name}");
        insta::assert_snapshot!(format!("plan_{name}"), error);
    }
}
