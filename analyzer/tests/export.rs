//! `kvtrace export`: what other tools read is what `show` answers.

mod support;

use kvtrace_sizing::GIB;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, RowAccessor};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use support::{CUDART, File, Scenario, kvtrace, write};

const HOSTILE: &str = "a\"b\\c\n<script>\u{1b}[31m\u{202e}/..";

fn export(home: &Path, traces: &[&str], to: &str, output: &str) {
    let (code, out, error) = kvtrace(home, &[&["export"], traces, &["--to", to, "-o", output]].concat());
    assert_eq!((code, out.as_str(), error.as_str()), (0, "", ""));
}

fn show(home: &Path, trace: &str) -> Value {
    let (code, out, error) = kvtrace(home, &["show", trace, "--format", "json"]);
    assert_eq!((code, error.as_str()), (0, ""));
    serde_json::from_str(&out).unwrap()
}

#[test]
fn a_timeline_has_the_levels_of_every_query() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    write(&Scenario::default(), &home.join("run"));
    export(home, &["run"], "perfetto", "out.json");
    let timeline: Value = serde_json::from_slice(&std::fs::read(home.join("out.json")).unwrap()).unwrap();
    let show = show(home, "run");
    let events = timeline["traceEvents"].as_array().unwrap();
    let us = |event: &Value| event["ts"].as_f64().expect("a time");
    let of = |phase: &str| events.iter().filter(|event| event["ph"] == phase).collect::<Vec<_>>();

    // The format: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
    for event in events {
        assert!(
            event["name"].is_string() && event["pid"].is_u64() && event["tid"].is_u64() && us(event) >= 0.0,
            "{event}"
        );
        let right = match event["ph"].as_str().unwrap() {
            "M" => event["name"] == "process_name" && event["args"]["name"].is_string(),
            "C" => event["args"]["bytes"].is_u64(),
            "X" => event["dur"].as_f64().unwrap() >= 0.0,
            "i" => event["s"] == "t" && event["args"]["evidence"].is_string(),
            _ => false,
        };
        assert!(right, "{event}");
    }
    assert!(events.is_sorted_by(|a, b| us(a) <= us(b)), "in time order");
    let names: BTreeSet<u64> = of("M").iter().map(|event| event["pid"].as_u64().unwrap()).collect();
    assert!(events.iter().all(|event| names.contains(&event["pid"].as_u64().unwrap())), "each process has a name");
    let slices = of("X");
    assert_eq!(slices.len(), show["phases"].as_array().unwrap().len());
    for pair in slices.windows(2) {
        assert!(us(pair[0]) + pair[0]["dur"].as_f64().unwrap() <= us(pair[1]) + 1e-3, "slices follow each other");
    }

    let queries = show["queries"].as_array().unwrap();
    assert_eq!(of("i").len(), queries.len());
    let counters = of("C");
    // What a counter says at a time: its last value until then.
    let level = |name: &str, until: f64| {
        let mut until = counters.iter().filter(|event| event["name"] == name && us(event) <= until);
        until.next_back().map(|event| event["args"]["bytes"].as_u64().unwrap())
    };
    for query in queries {
        let instant = of("i").into_iter().find(|event| event["args"]["evidence"] == query["evidence"]).unwrap();
        let at = us(instant);
        assert_eq!(instant["args"]["free_bytes"], query["free_bytes"]);
        assert_eq!(level("device: held by traced processes", at), query["all_device_live_bytes"].as_u64(), "{query}");
        assert_eq!(level("device: free as told", at), query["free_bytes"].as_u64());
    }
    let end = f64::MAX;
    assert_eq!(level("KV cache", end), show["decisions"][0]["final_pool_bytes"]["value"].as_u64());
    let scene = &show["scenes"][0]["meminfo"];
    let last = &queries[queries.len() - 1]["machine"];
    assert_eq!(level("machine: MemFree", end), last["mem_free_bytes"].as_u64());
    let cache = scene["Cached"].as_u64().unwrap() + scene["Buffers"].as_u64().unwrap();
    assert_eq!(level("machine: page cache", end), Some(cache), "it did not change between B and C");
}

#[test]
fn a_timeline_is_that_of_one_trace() {
    let home = tempfile::tempdir().unwrap();
    for name in ["runs/a", "runs/b"] {
        write(&Scenario::default(), &home.path().join(name));
    }
    let (code, _, error) = kvtrace(home.path(), &["export", "runs", "--to", "perfetto", "-o", "x.json"]);
    assert_eq!(code, 2);
    insta::assert_snapshot!("export_two_timelines", error);
    assert!(!home.path().join("x.json").exists());
}

/// `name{labels} value` -> value, after checking what Prometheus asks of the text.
fn gauges(text: &str) -> BTreeMap<String, f64> {
    let mut announced = BTreeSet::new();
    let mut found = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let name = rest.split(' ').next().unwrap();
            assert!(name.starts_with("kvtrace_") && announced.insert(name.to_owned()), "{name} once, in one block");
            assert_eq!(lines.next(), Some(format!("# TYPE {name} gauge").as_str()));
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let name = series.split('{').next().unwrap();
        assert!(announced.contains(name), "{line}");
        assert!(found.insert(series.to_owned(), value.parse().unwrap()).is_none(), "{series} twice");
    }
    found
}

#[test]
fn gauges_are_the_figures_of_show() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    write(&Scenario::default(), &home.join("native"));
    write(&Scenario { label: HOSTILE, page_cache: 20 * GIB, ..Scenario::default() }, &home.join("container"));
    let mut file = File::new(7, 1, "program", "h", "", "0::/\n", &[b"/bin/x"]);
    file.alloc("device", CUDART, 0x10, 1 << 20);
    file.save(&home.join("none"));
    export(home, &["native", "container", "none"], "prometheus", "kvtrace.prom");
    let text = std::fs::read_to_string(home.join("kvtrace.prom")).unwrap();
    let gauges = gauges(&text);
    let value = |name: &str, run: &str| {
        let is =
            |series: &&String| series.starts_with(&format!("{name}{{")) && series.contains(&format!("run=\"{run}\""));
        let all: Vec<_> = gauges.keys().filter(is).collect();
        assert!(all.len() <= 1, "{all:?}");
        all.first().map(|series| gauges[*series])
    };
    for run in ["native", "container"] {
        let decision = &show(home, run)["decisions"][0];
        let fact = |field: &str| decision[field]["value"].as_f64();
        assert_eq!(value("kvtrace_kv_cache_bytes", run), fact("final_pool_bytes"));
        assert_eq!(value("kvtrace_kv_cache_tokens", run), fact("tokens"));
        assert_eq!(value("kvtrace_free_at_sizing_bytes", run), fact("free_b_bytes"));
        assert_eq!(value("kvtrace_device_total_bytes", run), fact("total_bytes"));
        assert_eq!(value("kvtrace_kv_cache_fraction_ratio", run), fact("fraction"));
        assert_eq!(value("kvtrace_kv_cache_unexplained_bytes", run), decision["unexplained_bytes"].as_f64());
        assert_eq!(value("kvtrace_decisions", run), Some(1.0));
    }
    assert_eq!((value("kvtrace_decisions", "none"), value("kvtrace_kv_cache_bytes", "none")), (Some(0.0), None));
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}') && text.contains("label=\"a\\\"b\\\\c"), "{text}");
    // node_exporter reads it as another user; a timeline has the command lines of a trace.
    export(home, &["native"], "perfetto", "native.json");
    std::fs::write(home.join("plain"), "").unwrap();
    let mode = |name| std::fs::metadata(home.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("kvtrace.prom"), mode("native.json")), (mode("plain"), 0o600));
    let docs = include_str!("../../docs/export.md");
    for series in gauges.keys() {
        let name = series.split('{').next().unwrap();
        assert!(docs.contains(&format!("`{name}`")), "docs/export.md has {name}");
    }
}

#[test]
fn every_event_is_a_row() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    write(&Scenario::default(), &home.join("runs/native"));
    write(&Scenario { host: HOSTILE, label: "container", ..Scenario::default() }, &home.join("runs/container"));
    // A process that was killed inside its last line.
    let torn = std::fs::read_dir(home.join("runs/native")).unwrap().map(|entry| entry.unwrap().path()).min().unwrap();
    let mut bytes = std::fs::read(&torn).unwrap();
    bytes.extend_from_slice(b"{\"ev\":\"alloc\",\"n\":99");
    std::fs::write(&torn, bytes).unwrap();
    export(home, &["runs"], "parquet", "events");
    export(home, &["runs/native"], "parquet", "events");
    for (run, host) in [("native", "spark"), ("container", "a%22b%5Cc%0A%3Cscript%3E%1B%5B31m%E2%80%AE%2F..")] {
        let lines: Vec<Value> = std::fs::read_dir(home.join("runs").join(run))
            .unwrap()
            .flat_map(|entry| {
                let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
                text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect::<Vec<Value>>()
            })
            .collect();
        let partition = home.join("events").join(format!("run=runs%2F{run}")).join(format!("host={host}"));
        let left: Vec<_> = std::fs::read_dir(&partition).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["events.parquet"]);
        let reader = SerializedFileReader::new(std::fs::File::open(partition.join("events.parquet")).unwrap()).unwrap();
        assert_eq!(reader.metadata().file_metadata().num_rows() as usize, lines.len());
        let documented = include_str!("../../docs/export.md");
        for field in reader.metadata().file_metadata().schema().get_fields() {
            let name = field.name();
            assert!(
                documented.lines().any(|line| line.starts_with("| `") && line.contains(&format!("`{name}`"))),
                "{name}"
            );
        }
        // Whatever the columns are called: each row is its line again.
        let names: BTreeMap<&str, &str> = [
            ("n", "n"),
            ("pid", "pid"),
            ("monotonic_ns", "t"),
            ("size_bytes", "size"),
            ("free_bytes", "free"),
            ("total_bytes", "total"),
            ("rc", "rc"),
            ("duration_ns", "dur"),
            ("event", "ev"),
            ("function", "fn"),
            ("module", "mod"),
            ("address", "ptr"),
            ("kind", "kind"),
            ("text", "text"),
        ]
        .into();
        let mut seen = BTreeSet::new();
        for row in reader.get_row_iter(None).unwrap() {
            let row = row.unwrap();
            let (pid, n) = (row.get_long(2).unwrap(), row.get_long(4).unwrap());
            assert!(seen.insert((pid, n)));
            let line = lines.iter().find(|line| line["pid"] == pid && line["n"] == n).unwrap();
            for (column, field) in row.get_column_iter() {
                let Some(of) = names.get(column.as_str()) else { continue };
                let wanted = line.get(of).cloned().unwrap_or(Value::Null);
                let found = match field {
                    Field::Null => Value::Null,
                    Field::Long(value) => (*value).into(),
                    Field::Str(text) => text.as_str().into(),
                    other => panic!("{column}: {other:?}"),
                };
                assert_eq!(found, wanted, "{column} of {line}");
            }
        }
    }
}

#[test]
fn what_cannot_be_exported_says_why() {
    let home = tempfile::tempdir().unwrap();
    write(&Scenario::default(), &home.path().join("run"));
    std::fs::write(home.path().join("keep.prom"), "precious").unwrap();
    let (code, _, error) = kvtrace(home.path(), &["export", "run", "none", "--to", "prometheus", "-o", "keep.prom"]);
    assert_eq!(code, 2, "{error}");
    assert_eq!(std::fs::read_to_string(home.path().join("keep.prom")).unwrap(), "precious");
    assert_eq!(kvtrace(home.path(), &["export", "none", "--to", "parquet", "-o", "events"]).0, 2);
    assert!(!home.path().join("events").exists());
    for output in ["keep.prom", "-"] {
        let (code, _, error) = kvtrace(home.path(), &["export", "run", "--to", "parquet", "-o", output]);
        assert!(code == 2 && error.contains("hint: name "), "{error}");
    }
    let (code, out, _) = kvtrace(home.path(), &["export", "run", "--to", "perfetto", "-o", "-"]);
    assert!(code == 0 && serde_json::from_str::<Value>(&out).is_ok());
}
