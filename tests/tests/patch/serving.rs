use crate::{Changed, GIB, changes};
use kvtrace_tests::{Bench, Trace, kit, run};
use serde_json::{Value, json};

/// 32 tokens of the model.
const BLOCK: f64 = 32.0 * 57_344.0;
/// What the server's profile takes for a moment.
const TRANSIENT: f64 = 256.0 * 1_048_576.0;
/// `free_gpu_memory_fraction` as the server holds it.
const FRACTION: f64 = 0.9_f32 as f64;

/// Serves under `kvtrace run` with rules, and gives the server's own figures and the changed answers.
fn serve(bench: &Bench, name: &str, rules: &[&str]) -> (Value, Vec<Changed>) {
    let mut command = bench.plain(kit("bin/kvtrace"));
    command.env("KVTRACE_SIM_GPU", "gb10").args(["run", "-q", "-o", name]);
    command.args(rules.iter().flat_map(|rule| ["--patch", rule])).arg("--").arg(kit("bin/kvtrace-workload"));
    let output = run(command.args(["serve", "--json", "--model", "deepseek-7b"]));
    let own = serde_json::from_str(String::from_utf8(output.stdout).unwrap().lines().last().unwrap()).unwrap();
    (own, changes(&Trace::read(&bench.path(name))).into_iter().map(|(_, changed)| changed).collect())
}

fn shown(bench: &Bench, arguments: &[&str]) -> String {
    String::from_utf8(run(bench.plain(kit("bin/kvtrace")).args(arguments)).stdout).unwrap()
}

/// The KV cache moves by the fraction of what was changed, to the block, and `show` explains what was told.
#[test]
fn the_kv_cache_follows_what_the_server_was_told() {
    let bench = Bench::new();
    for (name, rule) in
        [("less", "free=-5GiB"), ("set", "free=60GiB"), ("scaled", "free=x0.5"), ("more", "free=available")]
    {
        let (own, changes) = serve(&bench, name, &[rule]);
        let figure = |name: &str| own[name].as_u64().unwrap();
        let told = figure("free_b");
        let Some(changed) = changes.iter().find(|changed| changed.told == told) else {
            panic!("{rule}: {own} {changes:?}")
        };
        let of = |free: u64| FRACTION * (free as f64 + figure("temporary_bytes") as f64 - TRANSIENT);
        // Not more than the fraction of what is free when the pool is made, which was told by the same rule.
        let budget = of(told).min(FRACTION * figure("free_c") as f64);
        let pool = figure("pool_bytes");
        assert!((pool as f64 - budget).abs() <= BLOCK, "{rule}: {pool} against {budget}");
        // What the truth would have given differs by the fraction of the lie.
        if budget == of(told) {
            let lie = FRACTION * (told as f64 - changed.real as f64);
            assert!((pool as f64 - of(changed.real) - lie).abs() <= BLOCK, "{rule}");
        }

        let answer: Value = serde_json::from_str(&shown(&bench, &["show", name, "--format", "json"])).unwrap();
        let decision = &answer["decisions"][0];
        assert_eq!(
            (decision["free_b_bytes"]["value"].as_u64(), decision["unexplained_bytes"].as_i64()),
            (Some(told), Some(0))
        );
        assert_eq!(answer["patched"], json!([rule]));
    }
}

/// `diff` books the lie as a term of its own.
#[test]
fn diff_tells_the_lie_from_the_machine() {
    let bench = Bench::new();
    serve(&bench, "plain", &[]);
    serve(&bench, "patched", &["free=-5GiB"]);
    let diff: Value = serde_json::from_str(&shown(&bench, &["diff", "plain", "patched", "--format", "json"])).unwrap();
    let terms = diff["terms"].as_array().unwrap();
    let patched = terms.iter().find(|term| term["key"] == "patched_answer").expect("a term for it");
    let expected = -(FRACTION * (5 * GIB) as f64);
    assert!((patched["kv_change_bytes"].as_f64().unwrap() - expected).abs() <= 1.0, "{patched}");
}

#[test]
fn a_patched_run_says_so_first() {
    let bench = Bench::new();
    serve(&bench, "plain", &[]);
    serve(&bench, "patched", &["free=-5GiB"]);
    serve(&bench, "unused", &["free=-5GiB@exe=other"]);
    for arguments in [
        vec!["show", "patched"],
        vec!["show", "patched", "--format", "markdown"],
        vec!["diff", "plain", "patched"],
        vec!["diff", "patched", "plain"],
        vec!["fit", "plain", "patched"],
        vec!["check", "patched", "--kv-min", "1GiB"],
        // It might have been.
        vec!["show", "unused"],
    ] {
        let text = shown(&bench, &arguments);
        let first = text.lines().next().unwrap();
        assert!(first.contains("Patched run: ") && first.contains("free=-5GiB"), "{arguments:?}: {text}");
    }
    assert!(!shown(&bench, &["show", "plain"]).contains("Patched run"));
}

/// A runtime that takes free memory from /proc/meminfo, as vLLM does on such a GPU: from the second snapshot on it is told
/// of 5 GiB less, and takes them for its own.
#[test]
fn a_runtime_that_reads_meminfo_follows_too() {
    let bench = Bench::new();
    let serve = |name: &str, rules: &[&str]| -> Value {
        let mut command = bench.plain(kit("bin/kvtrace"));
        command.env("KVTRACE_SIM_GPU", "gb10").args(["run", "-q", "-o", name]);
        command.args(rules.iter().flat_map(|rule| ["--patch", rule])).arg("--").arg(kit("bin/kvtrace-workload"));
        let output = run(command.args(["serve", "--json", "--runtime", "vllm-0.20"]));
        serde_json::from_str(String::from_utf8(output.stdout).unwrap().lines().last().unwrap()).unwrap()
    };
    serve("plain", &[]);
    let patched = serve("patched", &["meminfo:MemAvailable=-5GiB@nth=2-"]);
    let changes = changes(&Trace::read(&bench.path("patched")));
    let own = patched["free_b"].as_u64().unwrap();
    assert!(
        changes.iter().any(|(_, changed)| changed.told == own && changed.real == own + 5 * GIB),
        "{patched} {changes:?}"
    );

    let answer: Value = serde_json::from_str(&shown(&bench, &["show", "patched", "--format", "json"])).unwrap();
    let decision = &answer["decisions"][0];
    assert_eq!(decision["final_pool_bytes"]["value"], patched["pool_bytes"]);
    assert_eq!(decision["unexplained_bytes"], 0);
    let diff: Value = serde_json::from_str(&shown(&bench, &["diff", "plain", "patched", "--format", "json"])).unwrap();
    let terms = diff["terms"].as_array().unwrap();
    let lie = terms.iter().find(|term| term["key"] == "patched_answer").expect("a term for it");
    assert_eq!(lie["kv_change_bytes"].as_i64(), Some(-5 * GIB as i64));
}
