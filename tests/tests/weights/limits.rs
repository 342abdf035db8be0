use crate::{MIB, bench, make, readings, steps, traced};
use kvtrace_tests::run;

#[test]
fn a_process_that_only_reads_weights_leaves_no_trace() {
    let bench = bench();
    make(&bench.path("a.safetensors"), MIB);
    let (trace, _) = traced(&bench, &["read", "a.safetensors", "map", "a.safetensors"]);
    assert!(trace.files.is_empty());
}

#[test]
fn what_was_opened_before_the_trace_is_told_at_its_begin() {
    let bench = bench();
    make(&bench.path("a.safetensors"), 8 * MIB);
    std::fs::write(bench.path("config.json"), "{\n  \"a b\": \"x \\\" y\"\n}\n").unwrap();
    let (trace, _) = traced(&bench, &["read", "a.safetensors", "map", "a.safetensors", "query"]);
    let lines = &trace.files[0].lines;
    let kinds: Vec<_> =
        lines.iter().map(|line| line["ev"].as_str().unwrap()).filter(|kind| *kind != "module").collect();
    assert_eq!(kinds[..7], ["process", "weights", "cached", "config", "use", "use", "use"], "{kinds:?}");
    let (header, opened) = (&lines[0], trace.events("weights")[0]);
    assert!(opened["t"].as_u64() < header["t"].as_u64(), "it was opened before");
    let first = readings(&trace, 1)[0];
    assert_eq!(first["of"], opened["n"]);
    assert!(first["cached"].as_u64().unwrap() < MIB, "as it was at the opening: {first}");
    assert_eq!(trace.events("config")[0]["text"], "{\"a b\":\"x \\\" y\"}");
}

#[test]
fn more_files_than_are_kept_are_told_once() {
    let bench = bench();
    let names: Vec<String> = (0..300).map(|at| format!("model-{at:05}.gguf")).collect();
    for name in &names {
        std::fs::write(bench.path(name), name).unwrap();
    }
    for first in [true, false] {
        let _ = std::fs::remove_dir_all(bench.path("trace"));
        let mut arguments: Vec<&str> = if first { vec!["query"] } else { Vec::new() };
        arguments.extend(names.iter().flat_map(|name| ["open", name.as_str()]));
        arguments.push("query");
        let (trace, _) = traced(&bench, &arguments);
        assert_eq!(trace.events("weights").len(), 256, "{first}");
        assert_eq!(trace.events("warning").len(), 1, "{first}");
        assert_eq!(trace.events("dropped").len(), 0, "{first}");
    }
}

#[test]
fn what_a_view_sees_of_the_files_is_whole_even_where_headers_took_the_time() {
    let bench = bench();
    let names: Vec<String> = (0..8).map(|at| format!("{at}.safetensors")).collect();
    for name in &names {
        // Read to its end, as it may hold more: about 10 ms.
        let mut header = crate::header(0).into_bytes();
        header.resize(15 << 20, b' ');
        std::fs::write(bench.path(name), [&(header.len() as u64).to_le_bytes(), header.as_slice()].concat()).unwrap();
    }
    let steps: Vec<&str> = names.iter().flat_map(|name| ["open", name.as_str()]).chain(["query"]).collect();
    let (trace, _) = traced(&bench, &steps);
    let query = &trace.events("query").last().unwrap()["n"];
    let together =
        trace.events("cached").into_iter().find(|event| event["of"] == *query && event["group"] == "weights");
    assert_eq!(together.expect("the files of weights beside the query")["files"], names.len());
}

#[test]
fn repeated_uses_are_not_told_for_ever() {
    let bench = bench();
    make(&bench.path("a.safetensors"), MIB);
    let arguments: Vec<&str> =
        ["query"].into_iter().chain((0..100).flat_map(|_| ["read", "a.safetensors", "map", "a.safetensors"])).collect();
    let (trace, _) = traced(&bench, &arguments);
    let uses = trace.events("use");
    assert!(uses.len() <= 3 * 8, "{}", uses.len());
    assert_eq!(uses.iter().filter(|event| event["how"] == "open").count(), 1, "one after the other, all alike");
}

#[test]
fn what_has_another_name_or_is_only_written_is_no_file_of_weights() {
    let bench = bench();
    let names = [
        ("notes.txt", false),
        ("data.bin", false),
        ("a.pt", false),
        ("safetensors", false),
        (".safetensors", true),
        ("x.gguf", true),
        ("pytorch_model-00001-of-00002.bin", true),
        ("consolidated.00.pth", true),
        ("mp_rank_00_model_states.pt", true),
        ("adapter_model.bin", true),
        ("x.ckpt", false),
        ("rank0.engine", true),
        ("x.plan", true),
        ("x.nemo", true),
        ("x.onnx", true),
        ("x.ggml", true),
        ("x.safetensors.part", false),
    ];
    let mut arguments = Vec::new();
    for (name, _) in names {
        std::fs::write(bench.path(name), name).unwrap();
        arguments.extend(["open", name]);
    }
    let large = std::fs::File::create(bench.path("large.bin")).unwrap();
    large.set_len(64 * MIB).unwrap();
    std::fs::write(bench.path("written.gguf"), "x").unwrap();
    std::fs::create_dir(bench.path("folder.gguf")).unwrap();
    arguments.extend(["open", "large.bin", "write", "written.gguf", "open", "folder.gguf", "query"]);
    let (trace, _) = traced(&bench, &arguments);
    let told: Vec<_> = trace.events("weights").iter().map(|event| event["path"].as_str().unwrap().to_owned()).collect();
    let wanted = names.iter().filter(|(_, is_one)| *is_one).map(|(name, _)| *name).chain(["large.bin"]);
    assert_eq!(told, wanted.map(|name| bench.path(name).display().to_string()).collect::<Vec<_>>());
}

/// Closing a descriptor of a file takes the process's POSIX locks on it.
#[test]
fn locks_stay_held() {
    let bench = bench();
    make(&bench.path("a.safetensors"), MIB);
    make(&bench.path("b.safetensors"), MIB);
    let arguments = ["lock", "a.safetensors", "open", "b.safetensors", "query", "locked", "a.safetensors"];
    assert_eq!(traced(&bench, &arguments).1, "locked\n");
    // Opening and closing it drops the lock, as it does without us; looking at it alone does not.
    let looked_at = ["open", "a.safetensors", "lock", "a.safetensors", "query", "query", "locked", "a.safetensors"];
    assert_eq!(traced(&bench, &looked_at).1, "locked\n");
    let mapped = ["map-shared", "a.safetensors", "lock", "a.safetensors", "query", "query", "locked", "a.safetensors"];
    assert_eq!(traced(&bench, &mapped).1, "locked\n");
    let plain = run(bench.plain(steps(&bench)).args(looked_at)).stdout;
    assert_eq!(plain, b"locked\n");
}

#[test]
fn views_can_be_turned_off() {
    let bench = bench();
    make(&bench.path("a.safetensors"), MIB);
    let mut command = bench.traced(steps(&bench));
    run(command.env("KVTRACE_VIEWS", "0").args(["query", "read", "a.safetensors", "query"]));
    let trace = bench.trace();
    assert_eq!((trace.events("weights").len(), trace.events("cached").len()), (1, 0));
}

/// Allocators map memory before any constructor has run, this library's too.
#[test]
fn an_allocator_may_map_memory_at_any_time() {
    let bench = bench();
    make(&bench.path("a.safetensors"), MIB);
    let allocator = bench.compile("weights/allocator", "allocator.so", &["-shared", "-fPIC", "-fno-builtin"]);
    let shim = kvtrace_tests::kit("lib/libkvtrace.so");
    for order in [[&shim, &allocator], [&allocator, &shim]] {
        let _ = std::fs::remove_dir_all(bench.path("trace"));
        let preload = order.map(|path| path.display().to_string()).join(":");
        let mut command = bench.traced(steps(&bench));
        run(command.env("LD_PRELOAD", preload).args(["query", "map", "a.safetensors", "query"]));
        let trace = bench.trace();
        assert_eq!(trace.events("weights").len(), 1);
        assert_eq!(trace.events("use").iter().filter(|event| event["how"] == "mmap").count(), 1);
    }
}
