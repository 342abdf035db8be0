//! `kvtrace show`: golden traces, and everything that is no trace.

mod support;

use serde_json::Value;
use std::path::Path;
use support::{File, Scenario, kvtrace, write};

const GIB: u64 = 1 << 30;

fn json(home: &Path, name: &str) -> Value {
    let (code, out, error) = kvtrace(home, &["show", name, "--format", "json"]);
    assert_eq!((code, error.as_str()), (0, ""));
    serde_json::from_str(&out).unwrap()
}

fn value<'v>(show: &'v Value, field: &str) -> &'v Value {
    &show["decisions"][0][field]["value"]
}

#[test]
fn every_format() {
    let home = tempfile::tempdir().unwrap();
    write(&Scenario::default(), &home.path().join("host"));
    for format in ["table", "markdown", "csv", "json"] {
        let (code, out, error) = kvtrace(home.path(), &["show", "host", "--format", format]);
        assert_eq!((code, error.as_str()), (0, ""));
        insta::assert_snapshot!(format!("show_{format}"), out);
    }
}

#[test]
fn the_decision_is_what_the_runtime_did() {
    let home = tempfile::tempdir().unwrap();
    for with_log in [true, false] {
        let scenario = Scenario { with_log, ..Scenario::default() };
        let pool = write(&scenario, &home.path().join("run"));
        let show = json(home.path(), "run");
        assert_eq!(value(&show, "final_pool_bytes"), pool);
        assert_eq!(value(&show, "temporary_pool_bytes"), 8224 * 57_344);
        assert_eq!(show["decisions"][0]["unexplained_bytes"], 0);
        assert_eq!(show["decisions"][0]["contradictions"], serde_json::json!([]));
        let transient = value(&show, "transient_bytes").as_i64().unwrap();
        assert!((transient - 3 * GIB as i64 / 2).abs() <= 32 * 57_344, "{transient}");
        assert_eq!(value(&show, "tokens").is_u64(), with_log);
        let known = if with_log { "logged" } else { "assumed" };
        assert_eq!(show["decisions"][0]["fraction"]["confidence"], known);
    }
}

#[test]
fn the_second_cap_is_recognised() {
    let home = tempfile::tempdir().unwrap();
    write(&Scenario { growth_before_c: 9 * GIB, ..Scenario::default() }, &home.path().join("run"));
    let show = json(home.path(), "run");
    assert_eq!(show["decisions"][0]["bound"], "fraction-of-free");
    assert_eq!(show["decisions"][0]["unexplained_bytes"], 0);
    write(&Scenario { user_tokens: Some(50_000), ..Scenario::default() }, &home.path().join("user"));
    let show = json(home.path(), "user");
    assert_eq!(show["decisions"][0]["bound"], "user-tokens");
    assert_eq!(show["decisions"][0]["unexplained_bytes"], 0);
}

#[test]
fn a_simulated_device_is_named_at_once() {
    let home = tempfile::tempdir().unwrap();
    write(&Scenario { device: "kvtrace simulated GB10", ..Scenario::default() }, &home.path().join("run"));
    let (_, out, _) = kvtrace(home.path(), &["show", "run"]);
    assert!(out.lines().nth(1).unwrap().contains("simulated GPU"), "{out}");
}

#[test]
fn strings_of_the_program_are_escaped() {
    let home = tempfile::tempdir().unwrap();
    let scenario = Scenario { device: "x\u{1b}[31m|simulated", cgroup_path: "=cmd|<b>\u{7}", ..Scenario::default() };
    write(&scenario, &home.path().join("run"));
    for format in ["table", "markdown", "csv"] {
        let (_, out, _) = kvtrace(home.path(), &["show", "run", "--format", format]);
        assert!(!out.contains('\u{1b}') && !out.contains('\u{7}'), "{out}");
        assert!(format != "markdown" || !out.contains("<b>"), "{out}");
    }
}

#[test]
fn what_is_no_answer_says_why() {
    let home = tempfile::tempdir().unwrap();
    let put = |name: &str, file: &str, bytes: &[u8]| {
        std::fs::create_dir_all(home.path().join(name)).unwrap();
        std::fs::write(home.path().join(name).join(file), bytes).unwrap();
    };
    let header = || File::new(7, 1, "program", "h", "", "0::/\n", &[b"/bin/x"]);
    let header_text = String::from_utf8(header().bytes().to_vec()).unwrap();
    std::fs::create_dir(home.path().join("empty")).unwrap();
    put("file", "x.jsonl", b"");
    put("text", "notes.txt", b"hello");
    put("binary", "h.1.1.jsonl", b"\x7fELF\x02\x01\x01\x00\xff\xfe");
    put("zero", "h.1.1.jsonl", b"");
    put("newer", "h.1.1.jsonl", header_text.replace(kvtrace_trace::SCHEMA_TEXT, "2.0").as_bytes());
    put("header-only", "h.1.1.jsonl", header_text.as_bytes());
    let mut launcher = File::new(7, 1, "launcher", "h", "", "0::/\n", &[b"/bin/x"]);
    launcher.log("hello");
    put("untraced", "h.7.1.jsonl", launcher.bytes());
    let mut queries = header();
    queries.query(&Scenario::default(), 5 * GIB, GIB);
    put("no-decision", "h.7.1.jsonl", queries.bytes());
    let scenario = Scenario::default();
    let mut allocator = header();
    for (free, size) in [(90, GIB), (89, 300 << 20), (90, 2 << 20)] {
        allocator.alloc("device", b"/opt/torch/libc10_cuda.so", 0x1000, size);
        allocator.query(&scenario, free * GIB, GIB);
        allocator.free("device", b"/opt/torch/libc10_cuda.so", 0x1000);
    }
    // The queries of `support` come from TensorRT-LLM's own library.
    let text = String::from_utf8(allocator.bytes().to_vec()).unwrap().replace("tensorrt_llm", "torch_python");
    put("allocator", "h.7.1.jsonl", text.as_bytes());
    let cases = [
        ("missing", 2),
        ("file/x.jsonl", 2),
        ("text", 2),
        ("binary", 2),
        ("newer", 2),
        ("empty", 3),
        ("zero", 3),
        ("header-only", 3),
        ("untraced", 3),
        ("no-decision", 3),
        ("allocator", 3),
    ];
    for (name, code) in cases {
        let (exit, out, error) = kvtrace(home.path(), &["show", name]);
        assert_eq!(exit, code, "{name}: {error}");
        assert_eq!(error.lines().count(), 2, "{error}");
        assert!(error.starts_with("kvtrace: ") && error.contains("\nhint: "), "{error}");
        assert_eq!(out.is_empty(), !["no-decision", "allocator"].contains(&name), "{name}: {out}");
        insta::assert_snapshot!(format!("error_{}", name.replace('/', "_")), error);
    }
}

#[test]
fn torn_and_malformed_lines_are_reported_and_the_rest_is_read() {
    let home = tempfile::tempdir().unwrap();
    let run = home.path().join("run");
    let pool = write(&Scenario::default(), &run);
    let path = run.join("spark.4242.77.jsonl");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend_from_slice(b"{\"ev\":\"alloc\",\"n\":oops}\n{\"ev\":\"free\",\"n\":99,\"t\":1,\"pi");
    std::fs::write(&path, bytes).unwrap();
    let show = json(home.path(), "run");
    assert_eq!(value(&show, "final_pool_bytes"), pool);
    let problems = show["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].as_str().unwrap().contains("spark.4242.77.jsonl:"), "{problems:?}");
    assert!(problems[1].as_str().unwrap().contains("the process was killed"), "{problems:?}");
}

#[test]
fn memory_belongs_to_who_called_the_runtime() {
    let home = tempfile::tempdir().unwrap();
    let mut program = File::new(7, 1, "program", "h", "", "0::/\n", &[b"/bin/x"]);
    program.query(&Scenario::default(), 5 * GIB, GIB);
    program.alloc("device", b"/usr/lib/libcudart.so.13", 0x1000, GIB);
    program.call("alloc", "cudaMalloc", "runtime", b"/opt/libmodel.so", |line| {
        line.text("kind", b"device").i64("dev", 0).u64("size", GIB).hex("ptr", 0x1000);
    });
    program.alloc("device", b"/opt/libother.so", 0x2000, 2 * GIB);
    program.save(&home.path().join("run"));
    let (_, out, _) = kvtrace(home.path(), &["show", "run", "--format", "json"]);
    let show: Value = serde_json::from_str(&out).unwrap();
    let owner = |at: usize| (show["owners"][at]["module"].clone(), show["owners"][at]["peak_bytes"].clone());
    assert_eq!(owner(0), ("/opt/libother.so".into(), (2 * GIB).into()));
    assert_eq!(owner(1), ("/opt/libmodel.so".into(), GIB.into()));
}
