use crate::{GIB, asked, changes, only};
use kvtrace_tests::Bench;

/// Without the user's word no more is promised than can be had: of shared memory what is available, of other memory
/// what is free.
#[test]
fn no_more_is_promised_than_there_is() {
    let bench = Bench::new();
    let found = asked(&bench, "gb10", "free=+500GiB", &["driver"]);
    let changed = only(&found.trace, "free");
    let available = found.trace.events("view")[0]["meminfo"]["MemAvailable"].as_u64().unwrap();
    assert!(changed.told.abs_diff(available) < 64 << 20, "{changed:?} {available}");
    assert_eq!(changed.wanted, Some(changed.real + 500 * GIB));

    let found = asked(&bench, "h100-80", "free=+500GiB", &["driver"]);
    let changed = only(&found.trace, "free");
    assert_eq!((changed.told, changed.wanted), (changed.real, Some(changed.real + 500 * GIB)));
    assert_eq!(found.answers[0].1, changed.real);

    for (patch, field) in
        [("total=500GiB", "total"), ("sysinfo:total=500GiB", "total"), ("sysinfo:free=500GiB", "free")]
    {
        let way = if patch.starts_with("sys") { "sysinfo" } else { "driver" };
        let changed = only(&asked(&bench, "h100-80", patch, &[way]).trace, field);
        assert!(changed.wanted == Some(500 * GIB) && changed.told < 400 * GIB, "{patch}: {changed:?}");
    }
}

#[test]
fn who_knows_may_promise_more_but_not_more_than_all() {
    let bench = Bench::new();
    let found = asked(&bench, "gb10", "free=+500GiB;i-know", &["driver"]);
    assert_eq!(found.answers[0].1, found.answers[0].2, "all of it");
    let found = asked(&bench, "gb10", "free=300GiB;total=400GiB;i-know", &["runtime"]);
    assert_eq!(found.answers[0], ("runtime".to_owned(), 300 * GIB, 400 * GIB));
}

/// Whatever cannot be read changes nothing, and the trace says so.
#[test]
fn a_bad_setting_changes_nothing() {
    let bench = Bench::new();
    let long = format!("free=1GiB@module={}", "x".repeat(1100));
    for patch in ["free=lots", "free=1GiB;free", long.as_str()] {
        let found = asked(&bench, "gb10", patch, &["driver", "sysinfo"]);
        assert_eq!(changes(&found.trace), [], "{patch}");
        let warnings = found.trace.events("warning");
        assert_eq!(warnings.len(), 1, "{patch}");
        assert!(warnings[0]["text"].as_str().unwrap().contains("KVTRACE_PATCH"), "{warnings:?}");
    }
}

/// Without a trace nothing would tell of it.
#[test]
fn nothing_is_changed_where_nothing_is_written() {
    let bench = Bench::new();
    std::fs::write(bench.path("file"), "").unwrap();
    let mut command = crate::command(
        &bench,
        "gb10",
        "free=1GiB;sysinfo:free=1GiB;meminfo:MemFree=1GiB",
        &["driver", "sysinfo", "sysconf", "fopen"],
    );
    command.env("KVTRACE_OUT", bench.path("file"));
    let found = crate::asked_by(&bench, &mut command);
    assert_eq!(found.answers.len(), 4);
    for (way, free, _) in found.answers {
        assert_ne!(free, GIB, "{way}");
    }
    let mut command = crate::command(&bench, "gb10", "free=1GiB", &["driver"]);
    let found = crate::asked_by(&bench, command.env("KVTRACE_DISABLE", "1"));
    assert_ne!(found.answers[0].1, GIB);
}
