use kvtrace_tests::{Bench, have, kit, run};
use serde_json::Value;

fn modules(events: &[&Value], layer: &str) -> Vec<String> {
    let of_layer = events.iter().filter(|event| event["layer"] == layer);
    let mut names: Vec<String> =
        of_layer.map(|event| event["mod"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()).collect();
    names.sort();
    names.dedup();
    names
}

/// The runtime inside the program resolves each driver function by `cuGetProcAddress`; nothing of it can be interposed.
#[test]
fn a_static_runtime_is_seen_through_the_driver() {
    let bench = Bench::new();
    run(bench.traced(kit("bin/kvtrace-workload")).args(["serve", "--model", "tiny", "--cudart", "static"]));
    let trace = bench.trace();
    let allocations = trace.events("alloc");
    assert_eq!(modules(&allocations, "driver"), ["kvtrace-workload"]);
    assert_eq!(modules(&allocations, "runtime"), Vec::<String>::new());
    assert_eq!(modules(&trace.calls("query", "cuMemGetInfo"), "driver"), ["kvtrace-workload"]);
}

#[test]
fn a_shared_runtime_is_seen_with_who_called_it() {
    for major in ["12", "13"] {
        let bench = Bench::new();
        run(bench.traced(kit("bin/kvtrace-workload")).args(["serve", "--model", "tiny", "--cudart", major]));
        let trace = bench.trace();
        let allocations = trace.events("alloc");
        let library = format!("libcudart.so.{major}");
        assert_eq!(modules(&allocations, "runtime"), ["kvtrace-workload"], "{major}");
        assert_eq!(modules(&allocations, "driver"), [library], "{major}");
    }
}

#[test]
fn a_ctypes_user_is_seen() {
    if !have("python3", "a ctypes user") {
        return;
    }
    for major in ["12", "13"] {
        let bench = Bench::new();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/ctypes_user.py");
        let library = kit(&format!("lib/sim/libcudart.so.{major}"));
        let output = run(bench.traced("python3").arg(script).arg(library));
        let told = String::from_utf8(output.stdout).unwrap();
        let trace = bench.trace();
        let allocations = trace.calls("alloc", "cudaMalloc");
        assert_eq!(allocations.len(), 1);
        assert_eq!(allocations[0]["size"], 64 << 20);
        // Foreign calls of ctypes leave from libffi, which is a library of its own or linked into the extension.
        let caller = modules(&allocations, "runtime");
        assert!(caller[0].contains("ffi") || caller[0].contains("ctypes"), "{caller:?}");
        assert_eq!(modules(&trace.events("alloc"), "driver"), [format!("libcudart.so.{major}")]);
        let query = trace.calls("query", "cudaMemGetInfo");
        assert_eq!(told.trim(), format!("{} {}", query[0]["free"], query[0]["total"]));
    }
}

/// Rust programs look the driver's functions up under the first name that loads, and keep them in a table.
#[test]
fn a_cudarc_user_is_seen() {
    let bench = Bench::new();
    let output = run(&mut bench.traced(env!("CARGO_BIN_EXE_cudarc-user")));
    let told = String::from_utf8(output.stdout).unwrap();
    let trace = bench.trace();
    let allocations = trace.events("alloc");
    assert_eq!(modules(&allocations, "driver"), ["cudarc-user"]);
    assert_eq!((allocations.len(), &allocations[0]["size"]), (1, &(64 << 20).into()));
    assert_eq!(trace.calls("free", "cuMemFree")[0]["ptr"], allocations[0]["ptr"]);
    let query = trace.calls("query", "cuMemGetInfo");
    assert_eq!(told.trim(), format!("{} {}", query[0]["free"], query[0]["total"]));
}

/// Two plugins with a runtime of another major version each, in one process, none of it in the global scope.
#[test]
fn local_libraries_of_two_majors_are_seen_each_with_its_own_runtime() {
    let bench = Bench::new();
    let host = bench.compile("local", "local", &["-ldl"]);
    let plugins = ["12", "13"].map(|major| {
        let runtime = kit(&format!("lib/sim/libcudart.so.{major}"));
        let plugin = format!("plugin{major}.so");
        bench.compile("plugin", &plugin, &["-shared", "-fPIC", runtime.to_str().unwrap()])
    });
    run(bench.traced(host).args(&plugins));
    let trace = bench.trace();
    let allocations = trace.events("alloc");
    assert_eq!(modules(&allocations, "runtime"), ["plugin12.so", "plugin13.so"]);
    assert_eq!(modules(&allocations, "driver"), ["libcudart.so.12", "libcudart.so.13"]);
    assert!(allocations.iter().all(|event| event["size"] == 96 << 20 && event["rc"] == 0));
}
