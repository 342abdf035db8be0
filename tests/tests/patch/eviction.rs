use crate::MIB;
use kvtrace_tests::{Bench, Trace, kit, run};
use serde_json::Value;

const SIZE: u64 = 1024 * MIB;
/// Other programs move the machine's free memory too; a run that they disturbed is repeated.
const ATTEMPTS: u32 = 6;

struct Served {
    free: i64,
    pool: i64,
    trace: Trace,
}

fn serve(bench: &Bench, name: &str, options: &[&str]) -> Served {
    let mut command = bench.plain(kit("bin/kvtrace"));
    command.env("KVTRACE_SIM_GPU", "gb10").args(["run", "-q", "-o", name]).args(options).arg("--");
    let output = run(command.arg(kit("bin/kvtrace-workload")).args(["serve", "--json", "--weights", "weights"]));
    let own: Value = serde_json::from_str(String::from_utf8(output.stdout).unwrap().lines().last().unwrap()).unwrap();
    let figure = |name: &str| own[name].as_i64().unwrap();
    Served { free: figure("free_b"), pool: figure("pool_bytes"), trace: Trace::read(&bench.path(name)) }
}

fn weights(bench: &Bench) -> std::path::PathBuf {
    run(bench.plain(kit("bin/kvtrace-workload")).args(["make-weights", "weights", "--bytes", "1GiB"]));
    let path = bench.path("weights/model.safetensors");
    std::fs::File::open(&path).unwrap().sync_all().unwrap();
    path
}

/// Real page cache: free memory rises by what the files held, and the KV cache by the fraction of that.
#[test]
fn the_page_cache_of_weights_becomes_free_memory() {
    let mut seen = Vec::new();
    for attempt in 0..ATTEMPTS {
        let bench = Bench::new_in("/var/tmp");
        weights(&bench);
        let plain = serve(&bench, "plain", &[]);
        let evicted = serve(&bench, "evicted", &["--evict-weights"]);
        let events = evicted.trace.events("evict");
        let sum = |name: &str| events.iter().map(|event| event[name].as_i64().unwrap()).sum::<i64>();
        let given = sum("cached") - sum("left");
        assert!(given > 98 * SIZE as i64 / 100 && sum("skipped") == 0, "{events:?}");
        assert!(plain.trace.events("evict").is_empty());
        let (free, pool) = (evicted.free - plain.free, evicted.pool - plain.pool);
        seen.push((given, free, pool));
        let near = |value: i64, wanted: i64| (value - wanted).abs() <= given / 50;
        if near(free, given) && near(pool, given * 9 / 10) {
            let shown =
                String::from_utf8(run(bench.plain(kit("bin/kvtrace")).args(["show", "evicted"])).stdout).unwrap();
            assert!(shown.contains("The page cache of weights was given back before questions: 1.00 GiB"), "{shown}");
            return;
        }
        std::thread::sleep(std::time::Duration::from_secs(u64::from(attempt)));
    }
    panic!("given back, more free, larger cache: {seen:?}");
}

/// Whatever is to be written back, is mapped, or was never opened by the program stays.
#[test]
fn nothing_else_is_given_back() {
    let bench = Bench::new_in("/var/tmp");
    let ours = weights(&bench);
    let other = bench.path("other.safetensors");
    std::fs::copy(&ours, &other).unwrap();
    // Pages of ours to be written back.
    let touched = std::fs::OpenOptions::new().write(true).open(&ours).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&touched, b"x", SIZE / 2).unwrap();
    let served = serve(&bench, "dirty", &["--evict-weights"]);
    let events = served.trace.events("evict");
    // Of a kernel that writes back meanwhile nothing can be said.
    if events.iter().all(|event| event["skipped"] == 1) {
        assert!(crate::resident(&ours) > 98 * SIZE / 100);
    }
    assert!(crate::resident(&other) > 98 * SIZE / 100, "nobody in the run opened it");
    touched.sync_all().unwrap();
    let text = std::fs::read(&other).unwrap();
    let mapped = crate::Mapped::of(&ours);
    serve(&bench, "mapped", &["--evict-weights"]);
    assert!(mapped.resident() > 98 * SIZE / 100, "mapped pages stay");
    drop(mapped);
    let mut now = std::fs::read(&ours).unwrap();
    now[(SIZE / 2) as usize] = text[(SIZE / 2) as usize];
    assert!(now == text, "not a byte is lost");
}
