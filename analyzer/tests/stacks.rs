//! Traces of real serving stacks on the simulated GPU: the decision is recovered from their events alone, equal to what they
//! logged, and with the log as a witness.

mod support;

use serde_json::Value;
use std::path::{Path, PathBuf};
use support::{File, kvtrace};

const GIB: f64 = (1u64 << 30) as f64;
/// Half of the last printed digit, and a little for the float's own rounding.
const PRINTED: f64 = 0.0051;

/// What a stack logged.
struct Logged {
    stack: &'static str,
    runtime: &'static str,
    total: f64,
    /// Free memory at start, or before the weights; and behind the profile, or the weights.
    free: [f64; 2],
    kv: f64,
    fraction: f64,
    tokens: u64,
}

const STACKS: [Logged; 4] = [
    Logged {
        stack: "vllm-0.33.0-h100-80",
        runtime: "vLLM",
        total: 79.18,
        free: [78.57, 63.55],
        kv: 54.15,
        fraction: 0.9,
        tokens: 1_013_840,
    },
    Logged {
        stack: "vllm-0.33.0-gb10",
        runtime: "vLLM",
        total: 119.70,
        free: [117.09, 102.49],
        kv: 92.07,
        fraction: 0.9,
        tokens: 1_724_000,
    },
    // Half of the layers hold a window only. Between two questions it frees and takes blocks as another runtime would.
    Logged {
        stack: "vllm-0.33.0-b200-gpt-oss",
        runtime: "vLLM",
        total: 178.35,
        free: [178.32, 112.44],
        kv: 93.38,
        fraction: 0.9,
        tokens: 1_358_681,
    },
    // K and V of 25.71 GiB each, which torch rounds up to whole segments for each layer; the share is the default that the
    // runtime computes.
    Logged {
        stack: "sglang-0.5.23-h100-80",
        runtime: "SGLang",
        total: 79.18,
        free: [78.15, 63.85],
        kv: 51.46,
        fraction: 0.841,
        tokens: 962_919,
    },
];

fn folder(stack: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/stacks").join(stack)
}

fn decision(home: &Path, trace: &Path) -> Value {
    let (code, out, error) = kvtrace(home, &["show", trace.to_str().unwrap(), "--format", "json"]);
    assert_eq!((code, error.as_str()), (0, ""), "{}", trace.display());
    let show: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(show["decisions"].as_array().unwrap().len(), 1);
    assert_eq!(show["simulated"], true);
    show["decisions"][0].clone()
}

fn assert_recovered(logged: &Logged, found: &Value) {
    let near = |key: &str, expected: f64| {
        let value = found[key]["value"].as_f64().unwrap() / GIB;
        assert!((value - expected).abs() <= PRINTED, "{}: {key} {value} {expected}", logged.stack);
    };
    assert_eq!(found["runtime"], logged.runtime);
    near("total_bytes", logged.total);
    near("free_a_bytes", logged.free[0]);
    near("free_b_bytes", logged.free[1]);
    near("final_pool_bytes", logged.kv);
    let fraction = found["fraction"]["value"].as_f64().unwrap();
    assert!((fraction - logged.fraction).abs() < 1e-6, "{}: {fraction}", logged.stack);
    assert_eq!(found["unexplained_bytes"], 0, "{}: {found}", logged.stack);
    assert_eq!(found["contradictions"], serde_json::json!([]), "{}", logged.stack);
}

#[test]
fn events_alone_are_enough() {
    let home = tempfile::tempdir().unwrap();
    for logged in &STACKS {
        assert_recovered(logged, &decision(home.path(), &folder(logged.stack)));
    }
}

#[test]
fn the_log_agrees_and_tells_the_tokens() {
    for logged in &STACKS {
        let home = tempfile::tempdir().unwrap();
        let trace = home.path().join("trace");
        std::fs::create_dir(&trace).unwrap();
        for entry in std::fs::read_dir(folder(logged.stack)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "jsonl") {
                std::fs::copy(&path, trace.join(path.file_name().unwrap())).unwrap();
            }
        }
        let mut launcher = File::new(1, 0, "launcher", "host", "", "0::/x\n", &[b"kvtrace", b"run"]);
        for line in std::fs::read_to_string(folder(logged.stack).join("log")).unwrap().lines() {
            launcher.log(line);
        }
        launcher.save(&trace);
        let found = decision(home.path(), &trace);
        assert_recovered(logged, &found);
        assert_eq!(found["tokens"]["value"].as_u64(), Some(logged.tokens), "{}", logged.stack);
        let known = &found["fraction"]["confidence"];
        assert_eq!(known, if logged.runtime == "vLLM" { "logged" } else { "solved" }, "{}", logged.stack);
    }
}

/// vLLM names what the peak of the forward took and what stayed; the events say the same.
#[test]
fn activations_are_told_from_what_stays() {
    let home = tempfile::tempdir().unwrap();
    for (stack, used, transient) in [("vllm-0.33.0-h100-80", 15.02, 2.1), ("vllm-0.33.0-gb10", 14.60, 1.06)] {
        let found = decision(home.path(), &folder(stack));
        let gib = |key: &str| found[key]["value"].as_f64().unwrap() / GIB;
        assert!((gib("free_a_bytes") - gib("free_b_bytes") - used).abs() <= PRINTED, "{stack}");
        // What cutting into blocks and torch's segments leave over is with them.
        assert!((gib("transient_bytes") - transient).abs() <= 2.0 * PRINTED, "{stack}: {}", gib("transient_bytes"));
    }
}

/// Real stacks leave nothing of the device unexplained: what they did not allocate is their context.
#[test]
fn every_byte_of_the_device_is_booked() {
    let home = tempfile::tempdir().unwrap();
    for (logged, context) in STACKS.iter().zip([0.52, 0.90, 0.0, 1.03]) {
        let folder = folder(logged.stack);
        let (_, out, _) = kvtrace(home.path(), &["show", folder.to_str().unwrap(), "--format", "json"]);
        let found = serde_json::from_str::<Value>(&out).unwrap()["attributions"][0].clone();
        let terms = found["terms"].as_array().unwrap();
        let sum: i64 = terms.iter().map(|term| term["bytes"].as_i64().unwrap()).sum();
        assert_eq!(sum, found["total_bytes"].as_i64().unwrap(), "{}", logged.stack);
        assert_eq!(found["unexplained_bytes"], 0, "{}", logged.stack);
        let untraced = terms.iter().find(|term| term["key"] == "untraced");
        let untraced = untraced.map_or(0.0, |term| term["bytes"].as_f64().unwrap()) / GIB;
        assert!((untraced - context).abs() <= PRINTED, "{}: {untraced}", logged.stack);
    }
}
