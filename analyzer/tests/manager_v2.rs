//! TensorRT-LLM's KV cache manager V2: pools that are mapped in chunks up to a quota.

mod support;

use kvtrace_sizing::tensorrt_llm::{Budget, v2};
use kvtrace_sizing::{GIB, MIB};
use serde_json::Value;
use std::path::Path;
use support::{CUDART, File, RUNTIME, Scenario, kvtrace};

/// Writes a run and gives the bytes that are mapped and the quota. `user` is max_tokens.
fn write(directory: &Path, with_log: bool, fraction: f64, user: Option<u64>) -> (u64, u64) {
    let s = Scenario { fraction, integrated: false, total: 80 * GIB, device: "NVIDIA H100", ..Scenario::default() };
    let transient = GIB;
    let mut program = File::new(4242, 4200, "program", s.host, s.label, "0::/x\n", &[b"/usr/bin/python3", b"serve.py"]);
    program.line(|line, stamp| {
        kvtrace_trace::record::begin(line, "device", stamp).i64("dev", 0).text("name", s.device.as_bytes());
        line.u64("total", s.total).flag("integrated", false).u64("cc_major", 9).u64("cc_minor", 0).u64("driver", 13000);
    });
    program.query(&s, s.total, 0);
    program.alloc("device", CUDART, 0x1000, s.weights);
    program.query(&s, s.total - s.weights, 0);
    // The probes of handle types, and the pool that the estimate runs with.
    program.alloc("vmm", RUNTIME, 0x500, 2 * MIB);
    program.free("vmm", RUNTIME, 0x500);
    let (chunk, chunks) = (32 * MIB, 20u64);
    for at in 0..chunks {
        program.alloc("vmm", RUNTIME, 0x10_000 + at, chunk);
    }
    let temporary = chunk * chunks;
    program.query(&s, s.total - s.weights - temporary, 0); // A
    program.alloc("device", CUDART, 0x3000, transient);
    program.free("device", CUDART, 0x3000);
    let free_b = s.total - s.weights - temporary;
    program.query(&s, free_b, 0);
    for at in 0..chunks {
        program.free("vmm", RUNTIME, 0x10_000 + at);
    }
    program.query(&s, s.total - s.weights, 0); // C
    let budget = Budget {
        free_after_profile: free_b,
        temporary_pool: temporary,
        transient: transient as i64,
        fraction: s.fraction,
    };
    let given = v2::V2 {
        budget: budget.bytes(),
        max_tokens: user,
        bytes_per_token: s.bytes_per_token,
        max_utilization: v2::DEFAULT_MAX_UTILIZATION,
    };
    let size = given.size().unwrap();
    for at in 0..size.chunks {
        program.alloc("vmm", RUNTIME, 0x100_000 + at, size.chunk);
    }
    program.save(directory);
    let gib = |bytes: u64| bytes as f64 / GIB as f64;
    if with_log {
        let mut launcher = File::new(4200, 1, "launcher", s.host, s.label, "0::/x\n", &[b"/usr/bin/kvtrace", b"run"]);
        launcher.log(&format!(
            "[TRT-LLM] [I] Peak memory during memory usage profiling (torch + non-torch): {:.2} GiB, available KV cache memory when calculating max tokens: {:.2} GiB, fraction is set {}, kv size per token is {}. device total memory {:.2} GiB, temporary kv cache memory during profiling {:.2} GiB",
            gib(budget.peak(s.total) as u64),
            gib(budget.bytes()),
            s.fraction,
            s.bytes_per_token,
            gib(s.total),
            gib(temporary),
        ));
        if let Some(user) = user {
            let from = gib(size.from_tokens.unwrap());
            launcher.log(&format!(
                "[TRT-LLM] [I] max_tokens {user} is provided. Allowed quota from max_tokens is {from}GiB. New quota is {}GiB",
                gib(size.quota)
            ));
        }
        launcher.log(&format!("[TRT-LLM] [I] KV cache manager v2 device quota set to {}GiB", gib(size.quota)));
        launcher.log("[TRT-LLM] [I] KV cache manager v2 host cache quota set to 12.5GiB");
        launcher.save(directory);
    }
    (size.terms.pool, size.quota)
}

fn show(home: &Path) -> Value {
    let (code, out, error) = kvtrace(home, &["show", "run", "--format", "json"]);
    assert_eq!((code, error.as_str()), (0, ""));
    serde_json::from_str(&out).unwrap()
}

#[test]
fn the_quota_and_its_chunks_are_recovered() {
    for (with_log, user) in [(true, None), (false, None), (true, Some(200_000))] {
        let home = tempfile::tempdir().unwrap();
        let (pool, quota) = write(&home.path().join("run"), with_log, 0.9, user);
        let answer = show(home.path());
        let decision = &answer["decisions"][0];
        assert_eq!(decision["runtime"], "TensorRT-LLM PyTorch V2");
        assert_eq!(decision["final_pool_bytes"]["value"].as_u64(), Some(pool));
        assert_eq!(decision["temporary_pool_bytes"]["value"].as_u64(), Some(640 * MIB));
        assert_eq!(decision["unexplained_bytes"], 0, "{decision:#}");
        assert_eq!(decision["bound"], if user.is_some() { "user-tokens" } else { "fraction-of-peak" });
        let figure = |key: &str| decision[key].as_i64().unwrap();
        let left = figure("budget_bytes") + figure("cap_bytes") + figure("rounding_bytes");
        assert_eq!(left, pool as i64);
        if with_log {
            // The quota is printed with every digit.
            assert!((figure("budget_bytes") + figure("cap_bytes") - quota as i64).abs() <= 2, "{decision:#}");
            assert_eq!(decision["host_tier_bytes"]["value"].as_u64(), Some(25 * GIB / 2));
            assert_eq!(decision["tokens"]["value"].as_u64(), Some(pool / 57_344));
        }
        let found = &answer["attributions"][0];
        let terms = found["terms"].as_array().unwrap();
        let sum: i64 = terms.iter().map(|term| term["bytes"].as_i64().unwrap()).sum();
        assert_eq!(sum + found["unexplained_bytes"].as_i64().unwrap(), found["total_bytes"].as_i64().unwrap());
        assert_eq!(found["unexplained_bytes"], 0);
        let weights = terms.iter().find(|term| term["key"] == "weights").unwrap();
        assert_eq!(weights["bytes"].as_u64(), Some(14 * GIB));
    }
}

#[test]
fn what_it_would_get_otherwise_is_in_whole_chunks() {
    let home = tempfile::tempdir().unwrap();
    write(&home.path().join("run"), true, 0.9, None);
    let (expected, _) = write(&home.path().join("other"), true, 0.7, None);
    let (code, out, error) = kvtrace(home.path(), &["whatif", "run", "--fraction", "0.7", "--format", "json"]);
    assert_eq!((code, error.as_str()), (0, ""));
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(answer["rule_error_bytes"], 0);
    let predicted = answer["predicted"]["kv_bytes"].as_u64().unwrap();
    assert!(predicted.abs_diff(expected) <= 32 * MIB && predicted.is_multiple_of(32 * MIB), "{predicted} {expected}");
    let (expected, _) = write(&home.path().join("bound"), true, 0.9, Some(200_000));
    let (_, out, _) = kvtrace(home.path(), &["whatif", "run", "--max-tokens", "200000", "--format", "json"]);
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(answer["predicted"]["kv_bytes"].as_u64(), Some(expected));
}

/// Equal chunks of a program that is none of this kind, and a pool that came without an estimate.
#[test]
fn chunks_alone_are_no_manager() {
    let home = tempfile::tempdir().unwrap();
    write(&home.path().join("run"), false, 0.9, None);
    let path = home.path().join("run/spark.4242.77.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    // torch's own chunks, in a process that has loaded the runtime.
    for module in ["other/libother.so", "tensorrt_llm/../torch/lib/libc10_cuda.so"] {
        std::fs::write(&path, text.replace("trtllm/libtensorrt_llm.so", module)).unwrap();
        let (_, out, _) = kvtrace(home.path(), &["show", "run", "--format", "json"]);
        let answer: Value = serde_json::from_str(&out).unwrap();
        let decisions = answer["decisions"].as_array().unwrap();
        assert!(decisions.iter().all(|decision| decision["runtime"] != "TensorRT-LLM PyTorch V2"), "{decisions:#?}");
    }
}
