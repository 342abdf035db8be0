use crate::{ask, bench, kvtrace, resident};
use kvtrace_tests::{kit, run};
use serde_json::Value;

const SIZE: f64 = (2u64 << 30) as f64;

fn near(bytes: &Value, wanted: f64) {
    let bytes = bytes.as_f64().unwrap();
    assert!((bytes - wanted).abs() <= SIZE / 100.0, "{bytes} against {wanted}");
}

/// Cold and then warm: read by the run itself, and read before it.
#[test]
fn the_owner_of_two_gib_of_page_cache_is_named_to_within_one_percent() {
    let bench = bench();
    let workload = kit("bin/kvtrace-workload");
    run(bench.plain(&workload).args(["make-weights", "weights", "--bytes", "2GiB", "--shards", "3"]));
    let mut files: Vec<_> =
        std::fs::read_dir(bench.path("weights")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    for warm in [false, true] {
        if !warm {
            run(bench.plain(&workload).args(["drop-page-cache", "weights"]));
        }
        let before: u64 = files.iter().map(|path| resident(path)).sum();
        let name = if warm { "warm" } else { "cold" };
        let mut command = kvtrace(&bench);
        command.args(["run", "-q", "-o", name, "--"]).arg(&workload);
        run(command.args(["serve", "--model", "tiny", "--weights", "weights"]));
        let after: u64 = files.iter().map(|path| resident(path)).sum();

        let show = ask(&bench, &["show", name]);
        let cache = &show["page_caches"][0];
        assert_eq!(cache["notes"], serde_json::json!([]), "{name}");
        near(&cache["weights_bytes"], after as f64);
        near(&cache["weights_bytes"], SIZE);
        let at_open: f64 = cache["files"]
            .as_array()
            .unwrap()
            .iter()
            .map(|file| file["at_open"]["cached_bytes"].as_f64().unwrap())
            .sum();
        assert!((at_open - before as f64).abs() <= SIZE / 100.0, "{name}: {at_open} of {before} were there before");
        let part = |field: &str| cache[field].as_u64().unwrap();
        let libraries = cache["libraries"]["cached_bytes"].as_u64().unwrap();
        assert!(libraries > 1 << 20 && libraries < 1 << 30, "{libraries}");
        let parts = part("weights_bytes") + libraries + part("shared_bytes") + part("buffers_bytes");
        assert_eq!(parts + part("other_bytes"), part("total_bytes"), "{name}");
        assert_eq!(show["model"]["weight_bytes"], 2u64 << 30);
        let text = run(kvtrace(&bench).args(["show", name])).stdout;
        let text = String::from_utf8(text).unwrap();
        let said = text.lines().find(|line| line.contains("page cache at")).expect("a sentence about it");
        assert!(said.contains("are these 3 safetensors files, opened by process "), "{said}");
        assert!(said.contains(" of it before they were opened"), "{said}");
    }
}
