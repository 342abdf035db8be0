//! Each runtime's order of calls on the simulated GPU: the decision is recovered, with the log as a witness and without.

use crate::{ask, kvtrace, serve_on};
use kvtrace_tests::{Bench, kit, run};
use serde_json::Value;

const MIB: i64 = 1 << 20;

fn bytes(decision: &Value, key: &str) -> i64 {
    decision[key]["value"].as_i64().unwrap_or_else(|| panic!("{key} in {decision}"))
}

/// The decision of the run `name`, which is one of `runtime`.
fn decision(bench: &Bench, name: &str, runtime: &str) -> Value {
    let show = ask(bench, &["show", name]);
    assert_eq!(show["decisions"].as_array().unwrap().len(), 1, "{runtime}: {show}");
    let decision = show["decisions"][0].clone();
    assert_eq!(decision["runtime"], runtime);
    decision
}

fn assert_recovered(decision: &Value, figures: &Value, fraction: Option<f64>) {
    for (ours, theirs) in [("final_pool_bytes", "pool_bytes"), ("total_bytes", "total"), ("free_b_bytes", "free_b")] {
        assert_eq!(bytes(decision, ours), figures[theirs].as_i64().unwrap(), "{ours}: {decision} {figures}");
    }
    if figures["free_a"].is_number() {
        assert_eq!(bytes(decision, "free_a_bytes"), figures["free_a"].as_i64().unwrap(), "{decision}");
    }
    if let Some(fraction) = fraction {
        assert!((decision["fraction"]["value"].as_f64().unwrap() - fraction).abs() < 1e-6, "{decision}");
    }
    assert_eq!(decision["rule"]["reserved_bytes"].as_i64().unwrap(), figures["reserved"].as_i64().unwrap_or(0));
    let budget = decision["budget_bytes"].as_i64().unwrap();
    assert!((budget - figures["budget"].as_i64().unwrap()).abs() <= 2, "{decision} {figures}");
    assert_eq!(decision["unexplained_bytes"], 0, "{decision}");
    assert_eq!(decision["contradictions"], serde_json::json!([]), "{decision}");
}

#[test]
fn every_runtime_is_recognised_and_its_figures_recovered() {
    for (order, runtime, fraction) in [
        ("vllm-0.10", "vLLM", Some(0.85)),
        ("vllm-0.20", "vLLM", Some(0.85)),
        ("vllm-0.33", "vLLM", Some(0.85)),
        ("sglang", "SGLang", Some(0.85)),
        ("tensorrt-llm-cpp", "TensorRT-LLM C++", Some(0.85)),
        ("llama.cpp", "llama.cpp", None),
    ] {
        let bench = Bench::new();
        let options = ["--runtime", order, "--model", "deepseek-7b", "--fraction", "0.85"];
        let figures = serve_on(&bench, "h100-80", "run", &options);
        let decision = decision(&bench, "run", runtime);
        assert_recovered(&decision, &figures, fraction);
        assert_eq!(bytes(&decision, "tokens"), figures["tokens"].as_i64().unwrap(), "{order}");
        assert_eq!(bytes(&decision, "bytes_per_token"), 57_344, "{order}");
    }
}

/// The preload alone: no line of the log. A share with two decimals is told from its neighbours.
#[test]
fn without_the_log_the_share_is_solved() {
    for (order, runtime) in [
        ("vllm-0.10", "vLLM"),
        ("vllm-0.20", "vLLM"),
        ("vllm-0.33", "vLLM"),
        ("sglang", "SGLang"),
        ("tensorrt-llm-cpp", "TensorRT-LLM C++"),
    ] {
        let bench = Bench::new();
        let mut command = bench.traced(kit("bin/kvtrace-workload"));
        command.args(["serve", "--runtime", order, "--model", "deepseek-7b", "--fraction", "0.85", "--json"]);
        let output = run(command.env("KVTRACE_SIM_GPU", "h100-80"));
        let text = String::from_utf8(output.stdout).unwrap();
        let figures: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        let decision = decision(&bench, "trace", runtime);
        assert_recovered(&decision, &figures, Some(0.85));
        assert_eq!(decision["fraction"]["confidence"], "solved", "{order}");
    }
}

/// What one runtime does is taken for no other's where nothing names it.
#[test]
fn an_order_of_calls_without_a_name_is_nobody_s() {
    let bench = Bench::new();
    let nameless = bench.path("server");
    std::fs::copy(kit("bin/kvtrace-workload"), &nameless).unwrap();
    let mut command = bench.traced(&nameless);
    // Of all orders the only one that nothing in the calls tells from any program that allocates.
    run(command.args(["serve", "--runtime", "llama.cpp", "--model", "tiny"]).env("KVTRACE_SIM_GPU", "h100-80"));
    let output = kvtrace(&bench).args(["show", "trace", "--format", "json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
}

/// vLLM loses a byte for each byte that something else takes between its snapshots, and none for what was there before.
#[test]
fn memory_taken_between_the_snapshots_costs_vllm_its_own_size() {
    let bench = Bench::new();
    let options = |transient| ["--runtime", "vllm-0.33", "--model", "deepseek-7b", "--transient", transient];
    serve_on(&bench, "h100-80", "small", &options("256MiB"));
    serve_on(&bench, "h100-80", "large", &options("1280MiB"));
    let diff = ask(&bench, &["diff", "small", "large"]);
    let terms = diff["terms"].as_array().unwrap();
    let sum: i64 = terms.iter().map(|term| term["kv_change_bytes"].as_i64().unwrap()).sum();
    let difference = diff["difference_bytes"].as_i64().unwrap();
    assert_eq!(sum + diff["unexplained_bytes"].as_i64().unwrap(), difference);
    let transient = terms.iter().find(|term| term["key"] == "transient").unwrap();
    assert_eq!(transient["kv_change_bytes"].as_i64().unwrap(), -1024 * MIB);
    assert!((difference + 1024 * MIB).abs() < 2 * MIB, "{difference}");
    assert_eq!(diff["unexplained_bytes"], 0, "{diff}");
}
