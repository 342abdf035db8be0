use crate::{Changed, GIB, asked, changes, only};
use kvtrace_tests::Bench;

/// What becomes of a figure.
type Becomes = fn(u64) -> u64;

/// Each kind of rule: as written, and what it does.
const KINDS: [(&str, Becomes); 4] = [
    ("=3GiB", |_| 3 * GIB),
    ("=-2GiB", |real| real - 2 * GIB),
    ("=x0.25", |real| (u128::from(real) * 250_000 / 1_000_000) as u64),
    ("=+256MiB;i-know", |real| real + (256 << 20)),
];

#[test]
fn every_api_of_a_gpu_tells_what_the_rule_says() {
    // Once the outermost call is the runtime's, once the driver's, and never both. NVML tells nothing of shared memory.
    every_kind("h100-80", 85_017_493_504, &["driver", "by-address", "runtime", "nvml", "nvml-2"]);
    every_kind("gb10", 128_524_251_136, &["driver", "by-address", "runtime"]);
}

fn every_kind(gpu: &str, all: u64, ways: &[&str]) {
    let bench = Bench::new();
    for (value, expected) in KINDS {
        for way in ways {
            let found = asked(&bench, gpu, &format!("free{value}"), &[way]);
            let changed = only(&found.trace, "free");
            let (_, free, total) = found.answers[0];
            // A factor is of millionths; what is free may not be more than all of it.
            assert_eq!(changed.told, expected(changed.real).min(total), "{way} {value}: {changed:?}");
            assert_eq!(free, changed.told, "{way} {value}");
            assert_eq!(total, all);
            assert!(changed.real > 70 * GIB && changed.rule == format!("free{}", value.split(';').next().unwrap()));
        }
    }
}

#[test]
fn nvml_keeps_its_sum() {
    let bench = Bench::new();
    for way in ["nvml", "nvml-2"] {
        let found = asked(&bench, "h100-80", "nvml:total=70GiB;nvml:free=10GiB", &[way]);
        let words: Vec<u64> = found.text.split(' ').skip(1).map(|word| word.trim().parse().unwrap()).collect();
        assert_eq!(words, [10 * GIB, 70 * GIB, 60 * GIB, 0], "{way}: free, total, used with what is reserved, and rc");
        // A rule for NVML alone.
        let found = asked(&bench, "h100-80", "nvml:free=10GiB", &[way, "driver"]);
        assert_eq!(changes(&found.trace).len(), 1);
    }
}

#[test]
fn totals_are_told_by_all_that_tell_them() {
    let bench = Bench::new();
    let ways = ["driver", "runtime", "device-total", "properties", "only-total"];
    let found = asked(&bench, "gb10", "total=100GiB", &ways);
    for (way, free, total) in &found.answers {
        assert_eq!(*total, 100 * GIB, "{way}");
        assert!(*free <= *total);
    }
    assert_eq!(found.answers.len(), ways.len());
    // More cannot be free than there is: the figure that no rule names follows.
    let small = asked(&bench, "gb10", "total=2GiB", &["driver"]);
    assert_eq!(small.answers[0], ("driver".to_owned(), 2 * GIB, 2 * GIB));
    assert_eq!(
        changes(&small.trace).iter().map(|(_, changed)| changed.field.as_str()).collect::<Vec<_>>(),
        ["free", "total"]
    );
}

#[test]
fn a_null_pointer_and_a_failure_stay_what_they_are() {
    let bench = Bench::new();
    let patch = "free=5GiB;total=100GiB";
    let found = asked(&bench, "gb10", patch, &["only-free", "only-total"]);
    assert_eq!(found.answers, [("only-free".into(), 5 * GIB, 0), ("only-total".into(), 0, 100 * GIB)]);
    // A device whose state cannot be kept.
    let mut command = crate::command(&bench, "gb10", patch, &["fails"]);
    let found = crate::asked_by(&bench, command.env("KVTRACE_SIM_STATE", bench.path("none/state")));
    let failed: Vec<&str> = found.text.trim().split(' ').collect();
    assert_eq!(failed[1..3], ["7", "7"], "nothing is written after a failure");
    assert_ne!(failed[3], "0");
    assert_eq!(changes(&found.trace), []);
}

/// The oldest ABI counts in 32 bits.
#[test]
fn half_a_word_holds_what_it_can() {
    let bench = Bench::new();
    let mut command = crate::command(&bench, "h100-80", "free=1GiB", &["half"]);
    let found = crate::asked_by(&bench, command.env("KVTRACE_SIM_TOTAL", (3 * GIB).to_string()));
    assert_eq!(found.answers, [("half".to_owned(), GIB, 3 * GIB)]);
}

#[test]
fn libc_tells_what_the_rule_says() {
    let bench = Bench::new();
    for (value, expected) in KINDS {
        for way in ["sysinfo", "sysconf", "pages"] {
            let found = asked(&bench, "h100-80", &format!("sysinfo:free{value}"), &[way]);
            let Changed { real, told, .. } = only(&found.trace, "free");
            let total = found.answers[0].2;
            assert_eq!(told, expected(real).min(if way == "sysinfo" { total } else { u64::MAX }), "{way} {value}");
            // Pages are whole.
            let whole = if way == "sysinfo" { told } else { told / 4096 * 4096 };
            assert_eq!(found.answers[0].1, whole, "{way} {value}");
        }
    }
    let found = asked(&bench, "h100-80", "sysinfo:total=4GiB", &["sysinfo", "sysconf", "pages"]);
    assert!(found.answers.iter().all(|(_, _, total)| *total == 4 * GIB), "{:?}", found.answers);
}

/// A program on a GPU that shares its memory is told what the kernel has available, wherever it asks.
#[test]
fn what_is_available_is_told_where_memory_is_shared() {
    let bench = Bench::new();
    for way in ["driver", "runtime"] {
        let found = asked(&bench, "gb10", "free=available", &[way]);
        let changed = only(&found.trace, "free");
        let view = found.trace.events("view")[0]["meminfo"].clone();
        let available = view["MemAvailable"].as_u64().unwrap();
        // The view is read a moment later.
        assert!(changed.told.abs_diff(available) < 64 << 20, "{changed:?} {available}");
        assert!(changed.told > changed.real);
    }
    let found = asked(&bench, "h100-80", "free=available", &["driver"]);
    assert_eq!(changes(&found.trace), [], "memory of its own is no business of the kernel's");
    let missing = found.trace.events("missing");
    assert!(missing.iter().any(|event| event["what"] == "patch" && event["source"] == "free=available"), "{missing:?}");
}

#[test]
fn nvidias_guidance_is_a_rule_of_its_own() {
    let bench = Bench::new();
    let found = asked(&bench, "gb10", "free=available-nvidia;i-know", &["driver"]);
    let view = &found.trace.events("view")[0]["meminfo"];
    let of = |name: &str| view[name].as_u64().unwrap();
    let expected = match of("HugePages_Total") {
        0 => of("MemAvailable") + of("SwapFree"),
        _ => of("HugePages_Free") * of("Hugepagesize"),
    };
    assert!(only(&found.trace, "free").told.abs_diff(expected) < 64 << 20);
}
