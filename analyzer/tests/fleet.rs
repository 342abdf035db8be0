//! `kvtrace fleet` over two thousand runs of which it is known what each lost, and to what.

mod support;

use kvtrace_sizing::GIB;
use serde_json::Value;
use std::collections::BTreeMap;
use support::{Scenario, kvtrace, write};

const HOSTS: [&str; 4] = ["spark-1", "spark-2", "spark-3", "spark-4"];
const RUNS: u64 = 500;

/// Page cache of a run, by host: the second host drifts, the third is bad; on the fourth other programs hold memory.
fn scenario(host: usize, run: u64) -> Scenario {
    let page_cache = match host {
        1 => 6 * GIB + run * (GIB / 256),
        2 => 30 * GIB,
        _ => 6 * GIB,
    };
    let anonymous = if host == 3 { 8 * GIB } else { 3 * GIB };
    Scenario { host: HOSTS[host], label: HOSTS[host], page_cache, anonymous, ..Scenario::default() }
}

#[test]
fn two_thousand_runs_lose_what_was_taken_from_them() {
    let home = tempfile::tempdir().unwrap();
    let mut sizes: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (at, host) in HOSTS.into_iter().enumerate() {
        for run in 0..RUNS {
            let folder = home.path().join("fleet").join(format!("day-{}", run % 7)).join(format!("{host}-{run}"));
            sizes.entry(host).or_default().push(write(&scenario(at, run), &folder));
        }
    }
    // Another model is another set-up: it is not held against the others.
    let other = Scenario { host: "spark-1", bytes_per_token: 131_072, fraction: 0.5, ..Scenario::default() };
    write(&other, &home.path().join("fleet/other/1"));
    std::fs::create_dir_all(home.path().join("fleet/broken")).unwrap();
    std::fs::write(home.path().join("fleet/broken/h.1.1.jsonl"), "no trace\n").unwrap();

    let begin = std::time::Instant::now();
    let (code, out, error) = kvtrace(home.path(), &["fleet", "fleet", "--format", "json"]);
    let seconds = begin.elapsed().as_secs_f64();
    assert_eq!((code, error.as_str()), (0, ""));
    assert!(seconds < 30.0, "{seconds} s");
    let fleet: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(fleet["runs"], 2001);
    assert_eq!(fleet["unread"].as_array().unwrap().len(), 1);

    let best = *sizes.values().flatten().max().unwrap();
    let groups = fleet["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 5);
    let lost = |host: &str| sizes[host].iter().map(|size| best - size).sum::<u64>();
    let of = |host: &str| groups.iter().find(|group| group["host"] == host && group["runs"] == RUNS).unwrap();
    for host in HOSTS {
        let group = of(host);
        assert_eq!(group["lost_bytes"], lost(host), "{host}");
        assert_eq!(group["best_kv_cache_bytes"], best);
        assert_eq!(group["least_kv_cache_bytes"], *sizes[host].iter().min().unwrap());
        // Terms and rest are all of it.
        let terms = group["causes"].as_array().unwrap().iter().map(|cause| cause["lost_bytes"].as_i64().unwrap());
        let rest = group["unexplained_bytes"].as_i64().unwrap();
        assert_eq!(terms.sum::<i64>() + rest, group["lost_bytes"].as_i64().unwrap(), "{host}");
    }
    assert_eq!((groups[0]["host"].as_str(), &groups[0]["causes"][0]["key"]), (Some("spark-3"), &"page_cache".into()));
    assert_eq!(of("spark-4")["causes"][0]["key"], "anonymous_memory");
    assert_eq!(of("spark-1")["lost_bytes"], 0);
    assert_eq!(fleet["lost_bytes"], HOSTS.iter().map(|host| lost(host)).sum::<u64>());

    let (_, table, _) = kvtrace(home.path(), &["fleet", "fleet"]);
    insta::assert_snapshot!("fleet", table);

    // The page has the same figures.
    let (code, _, error) = kvtrace(home.path(), &["report", "--fleet", "fleet", "-o", "fleet.html"]);
    assert_eq!((code, error.as_str()), (0, ""));
    let page = std::fs::read_to_string(home.path().join("fleet.html")).unwrap();
    assert!(page.len() < 3 << 20);
    let mut placed = 0;
    for data in page.split("<data value=\"").skip(1) {
        let (value, rest) = data.split_once('"').unwrap();
        let Some(place) = rest.strip_prefix(" data-json=\"fleet") else { continue };
        let found = fleet.pointer(place.split('"').next().unwrap()).unwrap();
        assert!((value.parse::<f64>().unwrap() - found.as_f64().unwrap()).abs() < 1e-12, "{value} {found}");
        placed += 1;
    }
    assert!(placed > 25, "{placed}");
}

#[test]
fn no_fleet_says_why() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("empty")).unwrap();
    let (code, _, error) = kvtrace(home.path(), &["fleet", "empty"]);
    assert_eq!(code, 2);
    insta::assert_snapshot!("fleet_none", error);
    write(&Scenario::default(), &home.path().join("runs/1"));
    // Not round in a circle, and no run twice.
    std::os::unix::fs::symlink(home.path().join("runs"), home.path().join("runs/1/round")).unwrap();
    let (code, out, _) = kvtrace(home.path(), &["fleet", "runs"]);
    assert!(code == 0 && out.starts_with("1 run in 1 group: each has as much"), "{out}");
    assert_eq!(kvtrace(home.path(), &["report", "--fleet", "runs", "runs"]).0, 2);
}
