//! Causes that the workload makes for real are recognised, and what a verdict says to set does what it says.

use crate::{ask, kvtrace, serve, serve_on};
use kvtrace_tests::{Bench, kit, run};
use serde_json::Value;

const MIB: f64 = 1_048_576.0;
/// Other programs of the machine move its free memory too; a run that they disturbed is repeated.
const ATTEMPTS: u32 = 5;

fn finding(answer: &Value, key: &str) -> Value {
    let all = answer["verdicts"].as_array().unwrap();
    all.iter().find(|found| found["key"] == key).unwrap_or_else(|| panic!("{key}: {all:?}")).clone()
}

fn setting(found: &Value, flag: &str) -> String {
    let remedies = found["remedies"].as_array().unwrap().iter();
    let mut all = remedies.flat_map(|remedy| remedy["settings"].as_array().unwrap().iter());
    let set = all.find(|set| set["flag"] == flag).unwrap_or_else(|| panic!("{flag}: {found}"));
    set["value"].as_str().unwrap().to_owned()
}

fn pool(figures: &Value) -> f64 {
    figures["pool_bytes"].as_f64().unwrap()
}

#[test]
fn page_cache_is_blamed_and_the_fraction_that_it_names_gives_the_cache_back() {
    let _alone = crate::page_cache_alone();
    let bench = Bench::new_in("/var/tmp");
    run(bench.plain(kit("bin/kvtrace-workload")).args(["fill-page-cache", "backup.bin", "--bytes", "3GiB"]));
    for attempt in 1..=ATTEMPTS {
        let name = format!("before-{attempt}");
        let before = serve(&bench, &name, &["--fraction", "0.5"]);
        let found = finding(&ask(&bench, &["show", &name]), "page_cache");
        assert_eq!(found["verdict"], "supported", "{found}");
        let lost = -found["kv_bytes"].as_f64().unwrap();
        assert!(lost > 0.5 * 2048.0 * MIB, "{found}");
        let fraction = setting(&found, "kv_cache_config.free_gpu_memory_fraction");
        let after = serve(&bench, &format!("after-{attempt}"), &["--fraction", &fraction]);
        let given = pool(&after) - pool(&before);
        // The fraction has four decimals: 12 MiB of this device.
        if (given - lost).abs() < 100.0 * MIB {
            return;
        }
        assert!(attempt < ATTEMPTS, "lost {lost}, given back {given}");
    }
}

#[test]
fn another_fraction_is_named_with_what_the_default_would_give() {
    for (order, runtime_default) in [("vllm-0.33", "0.92"), ("tensorrt-llm", "0.9")] {
        let bench = Bench::new();
        let options = |fraction| ["--runtime", order, "--model", "deepseek-7b", "--fraction", fraction];
        let before = serve_on(&bench, "h100-80", "before", &options("0.6"));
        let found = finding(&ask(&bench, &["show", "before"]), "fraction_or_cap");
        assert_eq!(found["verdict"], "supported", "{order}: {found}");
        let flag = if order == "tensorrt-llm" {
            "kv_cache_config.free_gpu_memory_fraction"
        } else {
            "--gpu-memory-utilization"
        };
        assert_eq!(setting(&found, flag), runtime_default, "{order}");
        let after = serve_on(&bench, "h100-80", "after", &options(runtime_default));
        let given = pool(&after) - pool(&before);
        assert!((given + found["kv_bytes"].as_f64().unwrap()).abs() < 4.0 * MIB, "{order}: {given} {found}");
        let diff = finding(&ask(&bench, &["diff", "before", "after"]), "fraction_or_cap");
        assert_eq!(diff["verdict"], "supported", "{order}: {diff}");
        assert!((diff["kv_bytes"].as_f64().unwrap() - given).abs() < 4.0 * MIB, "{order}: {diff}");
    }
}

#[test]
fn a_cap_of_the_user_is_no_ceiling() {
    let bench = Bench::new();
    serve_on(&bench, "h100-80", "run", &["--model", "deepseek-7b", "--max-tokens", "100000"]);
    let show = ask(&bench, &["show", "run"]);
    assert_eq!(finding(&show, "fraction_or_cap")["verdict"], "supported");
    assert_eq!(finding(&show, "ceiling")["verdict"], "refuted");
}

#[test]
fn a_context_is_named_with_the_longest_that_fits() {
    let bench = Bench::new();
    serve_on(&bench, "h100-80", "run", &["--runtime", "llama.cpp", "--model", "deepseek-7b"]);
    let found = finding(&ask(&bench, &["show", "run"]), "fraction_or_cap");
    assert_eq!(found["verdict"], "supported", "{found}");
    let longest: u64 = setting(&found, "-c").parse().unwrap();
    // 79 GiB less the weights and a context, at 56 KiB a token.
    assert!((1_000_000..1_250_000).contains(&longest), "{longest}");
}

#[test]
fn weights_in_both_forms() {
    let _alone = crate::page_cache_alone();
    let bench = Bench::new_in("/var/tmp");
    run(bench.plain(kit("bin/kvtrace-workload")).args(["make-weights", "weights", "--bytes", "1536MiB"]));
    serve(&bench, "run", &["--weights", "weights"]);
    let found = finding(&ask(&bench, &["show", "run"]), "double_residency");
    assert_eq!(found["verdict"], "supported", "{found}");
    assert!((-found["kv_bytes"].as_f64().unwrap() - 0.9 * 1536.0 * MIB).abs() < 8.0 * MIB, "{found}");
    serve(&bench, "small", &["--model", "tiny"]);
    assert_ne!(finding(&ask(&bench, &["show", "small"]), "double_residency")["verdict"], "supported");
}

/// The workload does not ask NVML, so nothing says who the neighbour is. What it holds is told all the same.
#[test]
fn a_neighbour_that_nobody_names_is_left_open() {
    let bench = Bench::new();
    let mut neighbour = bench.plain(kit("bin/kvtrace-workload"));
    neighbour.env("KVTRACE_SIM_GPU", "h100-80").stdout(std::process::Stdio::piped());
    neighbour.args(["serve", "--model", "deepseek-7b", "--max-tokens", "100000", "--hold", "20", "--json"]);
    let mut neighbour = neighbour.spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(neighbour.stdout.take().unwrap()));
    let up = lines.any(|line| line.unwrap().contains("paged KV cache (1000"));
    assert!(up, "the neighbour did not come up");
    serve_on(&bench, "h100-80", "run", &["--model", "deepseek-7b"]);
    neighbour.kill().unwrap();
    neighbour.wait().unwrap();
    let found = finding(&ask(&bench, &["show", "run"]), "other_process");
    assert_eq!(found["verdict"], "cannot tell", "{found}");
    let numbers = found["numbers"].as_array().unwrap();
    let held = numbers.iter().find(|number| number["name"] == "held by nobody traced").unwrap();
    // Weights of 14 GiB and a cache of 5.3 GiB.
    assert!(held["bytes"].as_f64().unwrap() > 18.0 * 1024.0 * MIB, "{found}");
}

#[test]
fn a_device_that_is_too_small_refuses_for_its_own_reasons() {
    let bench = Bench::new();
    let workload = kit("bin/kvtrace-workload");
    let mut command = kvtrace(&bench);
    command.env("KVTRACE_SIM_GPU", "h100-80").env("KVTRACE_SIM_TOTAL", "10737418240");
    let output = command.args(["run", "-q", "-o", "run", "--"]).arg(workload).args(["serve", "--model", "deepseek-7b"]);
    assert!(!output.output().unwrap().status.success());
    let output = kvtrace(&bench).args(["show", "run", "--format", "json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let show: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = finding(&show, "driver_refuses");
    assert_eq!(found["verdict"], "refuted", "{found}");
    assert!(found["because"].as_str().unwrap().contains("of its own memory"), "{found}");
}
