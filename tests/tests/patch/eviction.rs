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

/// Reads a file of weights, then asks for a GPU's free memory, and watches the kernel's own figure meanwhile.
const READS_AND_ASKS: &str = r#"
import ctypes, sys, time
cuda = ctypes.CDLL("libcuda.so.1")
cuda.cuInit(0)
context = ctypes.c_void_p()
cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0)
cuda.cuCtxSetCurrent(context)
def free():
    return next(int(line.split()[1]) << 10 for line in open("/proc/meminfo") if line.startswith("MemFree:"))
with open(sys.argv[1], "rb", buffering=0) as file:
    while file.read(16 << 20): pass
before = free()
asked, total = ctypes.c_size_t(), ctypes.c_size_t()
cuda.cuMemGetInfo_v2(ctypes.byref(asked), ctypes.byref(total))
# The kernel keeps what was just given back by processor for a while, and calls it used.
risen = []
for _ in range(50):
    risen.append(free() - before)
    time.sleep(0.1)
print(*risen)
"#;

/// Real page cache: free memory rises by what the files held.
#[test]
fn the_page_cache_of_weights_becomes_free_memory() {
    if !kvtrace_tests::have("python3", "page cache of weights that becomes free memory") {
        return;
    }
    let mut seen = Vec::new();
    for _ in 0..ATTEMPTS {
        let bench = Bench::new_in("/var/tmp");
        let file = weights(&bench);
        let mut command = bench.traced("python3");
        command.env("KVTRACE_SIM_GPU", "gb10").env("KVTRACE_EVICT", "1").args(["-c", READS_AND_ASKS]).arg(file);
        let output = String::from_utf8(run(&mut command).stdout).unwrap();
        let event = bench.trace().events("evict")[0].clone();
        let figure = |name: &str| event[name].as_i64().unwrap();
        let given = figure("cached") - figure("left");
        assert!(given > 98 * SIZE as i64 / 100 && figure("skipped") == 0, "{event}");
        let risen: Vec<i64> = output.split_whitespace().map(|word| word.parse().unwrap()).collect();
        if risen.iter().any(|risen| (risen - given).abs() <= given / 50) {
            return;
        }
        seen.push((given, risen));
    }
    panic!("given back, and more free afterwards: {seen:?}");
}

/// The server's KV cache rises by the fraction of what it found free, to the block.
#[test]
fn the_kv_cache_follows_what_became_free() {
    /// 32 tokens of the model, at either end.
    const BLOCKS: i64 = 2 * 32 * 57_344;
    let bench = Bench::new_in("/var/tmp");
    weights(&bench);
    let plain = serve(&bench, "plain", &[]);
    let evicted = serve(&bench, "evicted", &["--evict-weights"]);
    let events = evicted.trace.events("evict");
    let sum = |name: &str| events.iter().map(|event| event[name].as_i64().unwrap()).sum::<i64>();
    assert!(sum("cached") - sum("left") > 98 * SIZE as i64 / 100, "{events:?}");
    assert!(plain.trace.events("evict").is_empty());
    let (free, pool) = (evicted.free - plain.free, evicted.pool - plain.pool);
    assert!((pool - free * 9 / 10).abs() <= BLOCKS, "{pool} of {free}");
    let shown = String::from_utf8(run(bench.plain(kit("bin/kvtrace")).args(["show", "evicted"])).stdout).unwrap();
    assert!(shown.contains("The page cache of weights was given back before questions: 1.00 GiB"), "{shown}");
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
