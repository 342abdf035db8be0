//! `kvtrace check`: bounds kept and not kept, on golden traces.

mod support;

use kvtrace_sizing::GIB;
use serde_json::Value;
use std::path::Path;
use support::{Scenario, kvtrace, write};

fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    write(&Scenario { label: "native", ..Scenario::default() }, &home.path().join("good"));
    let filled = Scenario { label: "container", page_cache: 25 * GIB, ..Scenario::default() };
    write(&filled, &home.path().join("trace"));
    home
}

fn run(home: &Path, bounds: &str) -> (i32, String, String) {
    let arguments: Vec<_> = ["check", "trace"].into_iter().chain(bounds.split_whitespace()).collect();
    kvtrace(home, &arguments)
}

#[test]
fn each_bound_is_kept_up_to_its_value_and_not_beyond() {
    let home = home();
    let json = |bounds: &str| -> Value {
        let (code, out, error) = run(home.path(), &format!("{bounds} --format json"));
        assert_eq!(error, "");
        let json: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(json["passed"], code == 0, "{bounds}");
        json
    };
    let kv = json("--kv-min 1")["bounds"][0]["found_value"].as_u64().unwrap();
    let tokens = json("--tokens-min 1")["bounds"][0]["found_value"].as_u64().unwrap();
    let loss = json("--baseline good --loss-max 99%")["bounds"][0]["found_value"].as_u64().unwrap();
    let cache = json("--baseline good --term-max page_cache=1TiB")["bounds"][0]["found_value"].as_u64().unwrap();
    for (kept, broken) in [
        (format!("--kv-min {kv}"), format!("--kv-min {}", kv + 1)),
        (format!("--kv-max {kv}"), format!("--kv-max {}", kv - 1)),
        (format!("--tokens-min {tokens}"), format!("--tokens-min {}", tokens + 1)),
        (format!("--baseline good --loss-max {loss}"), format!("--baseline good --loss-max {}", loss - 1)),
        (
            format!("--baseline good --term-max page_cache={cache}"),
            format!("--baseline good --term-max page_cache={}", cache - 1),
        ),
        ("--baseline good --loss-max 25%".into(), "--baseline good --loss-max 15%".into()),
        ("--unexplained-max 1MiB".into(), format!("--kv-min 1 --kv-max {}", kv - 1)),
    ] {
        assert_eq!(json(&kept)["passed"], true, "{kept}");
        assert_eq!(json(&broken)["passed"], false, "{broken}");
    }
    assert_eq!(json("--baseline good --comparable")["passed"], true);
    let other = Scenario { fraction: 0.8, label: "other", ..Scenario::default() };
    write(&other, &home.path().join("good"));
    assert_eq!(json("--baseline good --comparable")["passed"], false);
}

#[test]
fn as_a_user_reads_it() {
    let home = home();
    let bounds = "--kv-min 40GiB --unexplained-max 64MiB --baseline good --loss-max 5% --term-max page_cache=2GiB";
    let (code, out, error) = run(home.path(), bounds);
    assert_eq!((code, error.as_str()), (1, ""));
    insta::assert_snapshot!("check_table", out);
}

#[test]
fn what_is_no_bound_is_refused() {
    let home = home();
    for (name, bounds) in [
        ("none", ""),
        ("term", "--baseline good --term-max cache=1GiB"),
        ("size", "--kv-min lots"),
        ("share", "--baseline good --loss-max 101%"),
        ("alone", "--loss-max 5%"),
    ] {
        let (code, out, error) = run(home.path(), bounds);
        assert_eq!((code, out.as_str()), (2, ""), "{bounds}");
        insta::assert_snapshot!(format!("check_{name}"), error);
    }
}
