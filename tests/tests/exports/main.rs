//! What `kvtrace export` writes, read by those for whom it is written.

use kvtrace_tests::{Bench, kit, run, skip};
use std::path::{Path, PathBuf};
use std::process::Command;

const DOCS: &str = include_str!("../../../docs/export.md");

/// Python with the readers, fetched by `scripts/readers-venv`.
fn python(tests: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/readers-venv");
    if !folder.join("complete").is_file() {
        skip(&format!("{tests}: no readers: run scripts/readers-venv"));
        return None;
    }
    Some(folder.join("bin/python"))
}

/// Two runs of the workload, `native` and `container`.
fn runs() -> Bench {
    let bench = Bench::new();
    for name in ["native", "container"] {
        let workload = kit("bin/kvtrace-workload");
        let mut command = bench.plain(kit("bin/kvtrace"));
        command.args(["run", "--quiet", "-o", name, "--label", name, "--"]).arg(workload);
        run(command.args(["serve", "--model", "deepseek-7b"]));
    }
    bench
}

fn export(bench: &Bench, to: &str, output: &str) {
    run(bench.plain(kit("bin/kvtrace")).args(["export", "native", "container", "--to", to, "-o", output]));
}

fn show(bench: &Bench, name: &str) -> serde_json::Value {
    let out = run(bench.plain(kit("bin/kvtrace")).args(["show", name, "--format", "json"])).stdout;
    serde_json::from_slice(&out).unwrap()
}

fn answer(python: &Path, bench: &Bench, script: &str) -> serde_json::Value {
    let mut command = Command::new(python);
    let out = run(command.current_dir(bench.path("")).args(["-c", script])).stdout;
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn duckdb_answers_the_query_of_the_docs() {
    let Some(python) = python("the Parquet export") else { return };
    let bench = runs();
    export(&bench, "parquet", "events");
    let query = DOCS.split("```sql\n").nth(1).unwrap().split("```").next().unwrap();
    let script = format!("import duckdb, json\nprint(json.dumps(duckdb.sql(r'''{query}''').fetchall()))");
    let rows = answer(&python, &bench, &script);
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for (row, name) in rows.iter().zip(["container", "native"]) {
        let show = show(&bench, name);
        let queries = show["queries"].as_array().unwrap();
        let last = queries.iter().rev().find_map(|query| query["free_bytes"].as_u64()).unwrap();
        let owners = show["owners"].as_array().unwrap();
        let taken: u64 = owners.iter().map(|owner| owner["total_bytes"].as_u64().unwrap()).sum();
        assert_eq!((&row[0], &row[2], &row[3]), (&name.into(), &last.into(), &taken.into()), "{row}");
    }
    // Types and partitions as documented.
    let described = answer(
        &python,
        &bench,
        "import duckdb, json\nprint(json.dumps({row[0]: row[1] for row in duckdb.sql(\"describe select * from \
         read_parquet('events/*/*/*.parquet', hive_partitioning = true)\").fetchall()}))",
    );
    assert_eq!(described["time"], "TIMESTAMP WITH TIME ZONE");
    assert_eq!(
        (&described["run"], &described["size_bytes"], &described["rest"]),
        (&"VARCHAR".into(), &"BIGINT".into(), &"VARCHAR".into())
    );
}

#[test]
fn prometheus_s_parser_reads_the_gauges() {
    let Some(python) = python("the Prometheus export") else { return };
    let bench = runs();
    export(&bench, "prometheus", "kvtrace.prom");
    let found = answer(
        &python,
        &bench,
        "import json\nfrom prometheus_client.parser import text_string_to_metric_families as families\n\
         print(json.dumps([[family.name, family.type, family.documentation, [[s.labels['label'], s.value] for s in \
         family.samples]] for family in families(open('kvtrace.prom').read())]))",
    );
    let families = found.as_array().unwrap();
    assert!(families.len() > 10 && families.iter().all(|family| family[1] == "gauge" && family[2] != ""), "{found}");
    let caches = families.iter().find(|family| family[0] == "kvtrace_kv_cache_bytes").unwrap();
    for (at, name) in ["native", "container"].into_iter().enumerate() {
        let bytes = &show(&bench, name)["decisions"][0]["final_pool_bytes"]["value"];
        assert_eq!(caches[3][at][0], name);
        assert_eq!(caches[3][at][1].as_f64(), bytes.as_f64());
    }
}
