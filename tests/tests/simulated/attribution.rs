use crate::{ask, kvtrace, serve, serve_on};
use kvtrace_tests::{Bench, kit, run};
use serde_json::Value;

const MIB: i64 = 1 << 20;

fn bytes(found: &Value, key: &str) -> i64 {
    let terms = found["terms"].as_array().unwrap();
    terms.iter().find(|term| term["key"] == key).map_or(0, |term| term["bytes"].as_i64().unwrap())
}

/// The attribution of the run `name`, whose terms sum to the total.
fn attribution(bench: &Bench, name: &str) -> Value {
    let found = ask(bench, &["show", name])["attributions"][0].clone();
    let terms = found["terms"].as_array().unwrap();
    let sum: i64 = terms.iter().map(|term| term["bytes"].as_i64().unwrap()).sum();
    let unexplained = found["unexplained_bytes"].as_i64().unwrap();
    assert_eq!(sum + unexplained, found["total_bytes"].as_i64().unwrap(), "{found}");
    found
}

#[test]
fn what_each_runtime_holds_is_told_from_what_the_device_holds() {
    for (order, reserved) in [
        ("tensorrt-llm", 0),
        ("tensorrt-llm-cpp", 0),
        ("vllm-0.10", 0),
        ("vllm-0.33", 96),
        ("sglang", 0),
        ("llama.cpp", 0),
    ] {
        let bench = Bench::new();
        let options = ["--runtime", order, "--model", "deepseek-7b", "--fraction", "0.85", "--graphs", "96MiB"];
        let figures = serve_on(&bench, "h100-80", "run", &options);
        let found = attribution(&bench, "run");
        assert_eq!(bytes(&found, "kv_cache"), figures["pool_bytes"].as_i64().unwrap(), "{order}");
        assert_eq!(bytes(&found, "reserved"), reserved * MIB, "{order}");
        assert_eq!(found["unexplained_bytes"], 0, "{order}: {found}");
        // The weights of the model, within the chunks that the workload allocates them in.
        let weights = bytes(&found, "weights");
        assert!((12 * 1024 * MIB..17 * 1024 * MIB).contains(&weights), "{order}: {weights}");
        // What the simulated driver takes for a context, and nothing else.
        assert!((100 * MIB..2048 * MIB).contains(&bytes(&found, "untraced")), "{order}: {found}");
        assert_eq!(bytes(&found, "page_cache"), 0, "{order}");
    }
}

/// Pages that the kernel keeps for a file of weights are booked under its name.
#[test]
fn the_page_cache_of_the_weights_is_booked_by_file() {
    let _alone = crate::page_cache_alone();
    let bench = Bench::new_in("/var/tmp");
    run(bench.plain(kit("bin/kvtrace-workload")).args([
        "make-weights",
        "weights",
        "--bytes",
        "192MiB",
        "--shards",
        "2",
    ]));
    serve(&bench, "run", &["--weights", "weights"]);
    let found = attribution(&bench, "run");
    let cache = found["terms"].as_array().unwrap().iter().find(|term| term["key"] == "page_cache").unwrap().clone();
    let parts = cache["parts"].as_array().unwrap();
    let of_weights = parts.iter().filter(|part| part["title"].as_str().unwrap().ends_with(".safetensors"));
    let booked: i64 = of_weights.clone().map(|part| part["bytes"].as_i64().unwrap()).sum();
    assert_eq!(of_weights.count(), 2, "{cache}");
    assert!((booked - 192 * MIB).abs() <= 2 * MIB, "{booked}");
    let sum: i64 = parts.iter().map(|part| part["bytes"].as_i64().unwrap()).sum();
    assert_eq!(sum, cache["bytes"].as_i64().unwrap());
    // The simulated GPU counts what this machine has in use: nothing of it stays unexplained but the moment between.
    assert!(found["unexplained_bytes"].as_i64().unwrap().abs() < 256 * MIB, "{found}");
    let table = String::from_utf8(run(kvtrace(&bench).args(["show", "run"])).stdout).unwrap();
    assert!(table.contains("Where the 119.70 GiB of the device went"), "{table}");
}
