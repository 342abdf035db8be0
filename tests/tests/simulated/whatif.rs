//! What is predicted from one run is what the next one does.

use crate::{ask, kvtrace, serve, serve_on};
use kvtrace_tests::{Bench, kit, run};
use serde_json::Value;

const MIB: f64 = 1_048_576.0;
/// What torch rounds the tensors of 32 layers up by, and a block.
const ROUNDING: f64 = 150.0 * MIB;

fn predicted(answer: &Value) -> f64 {
    answer["predicted"]["kv_bytes"].as_f64().unwrap()
}

fn pool(figures: &Value) -> f64 {
    figures["pool_bytes"].as_f64().unwrap()
}

#[test]
fn another_fraction_other_weights_and_a_cap() {
    for order in ["tensorrt-llm", "tensorrt-llm-cpp", "vllm-0.10", "vllm-0.20", "vllm-0.33", "sglang"] {
        let bench = Bench::new();
        let base = ["--runtime", order, "--model", "deepseek-7b", "--weights-bytes", "14GiB", "--fraction", "0.85"];
        serve_on(&bench, "h100-80", "run", &base);
        let compare = |name: &str, changed: &[&str], whatif: &[&str]| {
            let options: Vec<&str> = [&base[..4], changed].concat();
            let figures = serve_on(&bench, "h100-80", name, &options);
            let answer = ask(&bench, &[&["whatif", "run"], whatif].concat());
            let off = predicted(&answer) - pool(&figures);
            // TensorRT-LLM's pool is one allocation of whole blocks, and predicted to the byte.
            let most = if order.starts_with("tensorrt-llm") { 0.0 } else { ROUNDING };
            assert!(off.abs() <= most, "{order} {name}: {off} of {figures} {answer}");
            if let Some(tokens) = answer["predicted"]["tokens"].as_f64() {
                assert!((tokens / figures["tokens"].as_f64().unwrap() - 1.0).abs() < 0.003, "{order} {name}: {answer}");
            }
        };
        let weights = ["--weights-bytes", "14GiB", "--fraction", "0.7"];
        compare("fraction", &weights, &["--fraction", "0.7"]);
        let both = ["--weights-bytes", "20GiB", "--fraction", "0.7"];
        // The engine has its buffers of 256 MiB by then, too.
        let loaded = if order == "tensorrt-llm-cpp" { "20736MiB" } else { "20GiB" };
        compare("weights", &both, &["--fraction", "0.7", "--weights", loaded]);
        if !order.starts_with("vllm") {
            let cap = ["--weights-bytes", "14GiB", "--fraction", "0.85", "--max-tokens", "300000"];
            compare("cap", &cap, &["--max-tokens", "300000"]);
        }
    }
}

/// The page cache that another run met, as a figure.
#[test]
fn other_free_memory_on_a_unified_gpu() {
    let _alone = crate::page_cache_alone();
    let bench = Bench::new_in("/var/tmp");
    serve(&bench, "before", &[]);
    run(bench.plain(kit("bin/kvtrace-workload")).args(["fill-page-cache", "backup.bin", "--bytes", "1GiB"]));
    let after = serve(&bench, "after", &[]);
    let free = after["free_b"].as_u64().unwrap().to_string();
    let answer = ask(&bench, &["whatif", "before", "--free", &free]);
    // The runs' transients are logged to 10 MiB.
    assert!((predicted(&answer) - pool(&after)).abs() <= 12.0 * MIB, "{answer} {after}");
    let dropped = ask(&bench, &["whatif", "after", "--drop-page-cache"]);
    let gained = dropped["change_bytes"].as_f64().unwrap();
    assert!(gained >= 0.9 * 900.0 * MIB, "{dropped}");
    assert!(dropped["steps"].to_string().contains("drop_caches"), "{dropped}");
}

#[test]
fn a_context_of_llama_cpp() {
    let bench = Bench::new();
    let options = |tokens| ["--runtime", "llama.cpp", "--model", "deepseek-7b", "--max-tokens", tokens];
    serve_on(&bench, "h100-80", "run", &options("8192"));
    let figures = serve_on(&bench, "h100-80", "long", &options("100000"));
    let answer = ask(&bench, &["whatif", "run", "--max-tokens", "100000"]);
    assert_eq!(predicted(&answer), pool(&figures), "{answer}");
    assert_eq!(answer["settings"][0]["flag"], "-c");
}

#[test]
fn what_the_runtime_would_refuse_is_refused() {
    let bench = Bench::new();
    serve_on(&bench, "h100-80", "run", &["--runtime", "vllm-0.33", "--model", "deepseek-7b"]);
    let output = kvtrace(&bench).args(["whatif", "run", "--fraction", "1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("vLLM would not start so: the runtime refuses to start"), "{error}");
}
