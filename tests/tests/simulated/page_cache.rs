use crate::{ask, kvtrace, serve};
use kvtrace_tests::{Bench, kit, run};

const MIB: f64 = 1_048_576.0;

/// Other programs of the machine move its free memory too; a run that they disturbed is repeated, each time a little later.
const ATTEMPTS: u32 = 12;
const FILL: f64 = 3072.0 * MIB;

#[test]
fn page_cache_moves_the_kv_cache_and_diff_says_so() {
    let _alone = crate::page_cache_alone();
    for attempt in 1..=ATTEMPTS {
        let outcome = once();
        println!("attempt {attempt}: {outcome:?}");
        let Outcome { filled, moved, share, diff } = outcome;
        let undisturbed = (filled - FILL).abs() < 200.0 * MIB;
        let as_ruled = (moved / filled - 0.9).abs() <= 0.02;
        if undisturbed && as_ruled && share >= 0.98 {
            assert!(diff.starts_with("The KV cache of B is "), "{diff}");
            assert!(diff.lines().next().unwrap().contains("of it is page cache"), "{diff}");
            return;
        }
        assert!(attempt < ATTEMPTS, "moved {moved} of {filled} filled, {share} booked:\n{diff}");
        later(attempt);
    }
}

fn later(attempt: u32) {
    std::thread::sleep(std::time::Duration::from_millis(300 * u64::from(attempt)));
}

#[derive(Debug)]
struct Outcome {
    filled: f64,
    moved: f64,
    share: f64,
    diff: String,
}

fn once() -> Outcome {
    // Files in a tmpfs are shared memory, not page cache.
    let bench = Bench::new_in("/var/tmp");
    let workload = kit("bin/kvtrace-workload");
    run(bench.plain(&workload).args(["make-weights", "weights", "--bytes", "64MiB"]));
    let before = serve(&bench, "before", &["--weights", "weights"]);
    run(bench.plain(&workload).args(["fill-page-cache", "backup.bin", "--bytes", "3GiB"]));
    let after = serve(&bench, "after", &["--weights", "weights"]);
    let text = run(kvtrace(&bench).args(["diff", "before", "after"])).stdout;
    run(bench.plain(&workload).args(["drop-page-cache", "backup.bin"]));

    let diff = ask(&bench, &["diff", "before", "after"]);
    let pool = |figures: &serde_json::Value| figures["pool_bytes"].as_i64().unwrap();
    assert_eq!(diff["difference_bytes"].as_i64().unwrap(), pool(&after) - pool(&before));
    let terms = diff["terms"].as_array().unwrap();
    let booked: i64 = terms.iter().map(|term| term["kv_change_bytes"].as_i64().unwrap()).sum();
    let unexplained = diff["unexplained_bytes"].as_i64().unwrap();
    assert_eq!(booked + unexplained, diff["difference_bytes"].as_i64().unwrap());
    let cache = terms.iter().find(|term| term["key"] == "page_cache").expect("a term for the page cache");
    let grown = cache["b_bytes"].as_i64().unwrap() - cache["a_bytes"].as_i64().unwrap();
    assert_eq!(diff["simulated"], true);
    Outcome {
        filled: grown as f64,
        moved: (pool(&before) - pool(&after)) as f64,
        share: cache["share"].as_f64().unwrap(),
        diff: String::from_utf8(text).unwrap(),
    }
}

/// Weights that come from the disk fill the page cache between vLLM's two snapshots. Raw free memory falls by it and
/// with it the KV cache; MemAvailable does not.
#[test]
fn weights_lower_raw_free_memory_and_not_what_is_available() {
    const SIZE: f64 = 1024.0 * MIB;
    let _alone = crate::page_cache_alone();
    let mut seen = Vec::new();
    for attempt in 0..ATTEMPTS {
        later(attempt);
        let bench = Bench::new_in("/var/tmp");
        run(bench.plain(kit("bin/kvtrace-workload")).args(["make-weights", "weights", "--bytes", "1GiB"]));
        let found = ["vllm-0.10", "vllm-0.20"].map(|runtime| cold_against_warm(&bench, runtime));
        seen.push(format!("{found:?}"));
        // A program that gave much memory back just then leaves nothing to see.
        let [Some((raw, raw_booked)), Some((available, available_booked))] = found else { continue };
        // Of what was just freed the kernel keeps some for each processor, and calls it used: the cache moves by that too.
        let near = |value: f64, wanted: f64, off: f64| (value - wanted).abs() < off * SIZE;
        let booked = near(raw_booked, SIZE, 0.05) && near(available_booked, 0.0, 0.05);
        if booked && near(raw, SIZE, 0.4) && near(available, 0.0, 0.4) {
            return;
        }
    }
    panic!("lost and booked, raw and available: {seen:#?}");
}

/// What the KV cache loses when the weights are read from the disk, and what of it `diff` calls page cache. Bytes.
fn cold_against_warm(bench: &Bench, runtime: &str) -> Option<(f64, f64)> {
    let file = bench.path("weights/model.safetensors");
    std::fs::File::open(&file).unwrap().sync_all().unwrap();
    run(bench.plain(kit("bin/kvtrace-workload")).arg("drop-page-cache").arg(&file));
    let names = ["warm", "cold"].map(|name| format!("{runtime}-{name}"));
    let options = ["--runtime", runtime, "--weights", "weights", "--fraction", "0.5"];
    let [cold, warm] = [&names[1], &names[0]].map(|name| serve(bench, name, &options)["pool_bytes"].as_f64().unwrap());
    let diff = kvtrace(bench).arg("diff").args(&names).args(["--format", "json"]).output().unwrap();
    let diff: serde_json::Value = diff.status.success().then(|| serde_json::from_slice(&diff.stdout).unwrap())?;
    let cache = diff["terms"].as_array().unwrap().iter().find(|term| term["key"] == "page_cache")?;
    Some((warm - cold, -cache["kv_change_bytes"].as_f64().unwrap()))
}
