//! HIP under the built preload. There is no simulated AMD GPU: a fake libamdhip64 keeps books of what it gave out, and
//! the trace must come to the same.

/// What the trace says, added up as docs/trace-format.md tells a reader to.
mod books;

use books::Books;
use kvtrace_tests::{Bench, Trace, kit, run};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The fake, as the real one is: with version nodes, its own calls bound inside it or, with `open`, interposable.
fn fake(bench: &Bench, open: bool) -> PathBuf {
    let script = format!("-Wl,--version-script={}/programs/hip/fake.map", env!("CARGO_MANIFEST_DIR"));
    let mut flags = vec!["-shared", "-fPIC", "-Wl,-soname,libamdhip64.so.7", &script, "-ldl"];
    if !open {
        flags.push("-Wl,-Bsymbolic");
    }
    bench.compile("hip/fake", "libamdhip64.so.7", &flags)
}

fn linked(bench: &Bench, library: &Path) -> PathBuf {
    let flags = ["-DLINKED", library.to_str().unwrap(), "-ldl", "-Wl,-rpath,$ORIGIN"];
    bench.compile("hip/user", "linked", &flags)
}

/// Runs the program and holds the trace against what the fake said at its two checkpoints.
fn holds_what_the_fake_holds(bench: &Bench, command: &mut Command) -> Trace {
    let output = run(command);
    let told: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let trace = bench.trace();
    let asked = trace.calls("query", "hipMemGetInfo");
    let asked: Vec<&&Value> = asked.iter().filter(|query| query["depth"] == 0).collect();
    assert_eq!(told.len(), 2);
    assert_eq!(asked.len(), 2, "one question a checkpoint, and none of our own");
    for (told, asked) in told.iter().zip(&asked) {
        assert_eq!((&asked["free"], &asked["total"]), (&told["free"], &told["total"]));
        let books = Books::until(&trace.files[0], asked["n"].as_u64().unwrap());
        for (kind, held) in told
            .as_object()
            .unwrap()
            .iter()
            .filter(|(kind, _)| !["free", "total", "prefetched"].contains(&kind.as_str()))
        {
            assert_eq!(books.held(kind), held.as_u64().unwrap(), "{kind}");
        }
        let taken = ["device", "array", "vmm", "reserved", "graphs"].map(|kind| books.held(kind));
        let moved = told["prefetched"].as_u64().unwrap();
        assert_eq!(taken.iter().sum::<u64>() + moved, told["total"].as_u64().unwrap() - told["free"].as_u64().unwrap());
    }
    trace
}

/// The analyzer counts what the fake took at its fullest, and nothing at the end.
fn the_analyzer_agrees(bench: &Bench) {
    // No KV cache was sized, which is an answer too.
    let output = bench.plain(kit("bin/kvtrace")).args(["show", "trace", "--format", "json"]).output().unwrap();
    let show: Value = serde_json::from_slice(&output.stdout).unwrap();
    let trace = bench.trace();
    let figures = |query: &Value| query["total"].as_u64().unwrap() - query["free"].as_u64().unwrap();
    assert_eq!(show["device_peak_bytes"], figures(trace.calls("query", "hipMemGetInfo")[0]));
    assert_eq!((&show["device_live_bytes"], &show["unmatched_frees"]), (&0.into(), &0.into()));
    assert!(show["owners"].as_array().unwrap().iter().all(|owner| owner["live_bytes"] == 0), "{}", show["owners"]);
    assert_eq!((&show["integrated"], &show["problems"]), (&true.into(), &serde_json::json!([])));
}

#[test]
fn a_linked_program_holds_what_the_fake_holds() {
    let bench = Bench::new();
    let program = linked(&bench, &fake(&bench, false));
    let symbols = run(Command::new("nm").arg("-D").arg(&program)).stdout;
    let symbols = String::from_utf8(symbols).unwrap();
    assert!(symbols.contains("hipMalloc@hip_4.2") && symbols.contains("hipGetProcAddress@hip_6.1"), "{symbols}");
    let trace = holds_what_the_fake_holds(&bench, &mut bench.traced(program));
    let refused: Vec<&Value> = trace.calls("alloc", "hipMalloc").into_iter().filter(|event| event["rc"] != 0).collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(
        (&refused[0]["rc"], &refused[0]["size"], &refused[0]["ptr"]),
        (&2.into(), &(9_u64 << 30).into(), &"0x0".into())
    );
    for event in trace.events("alloc") {
        // After a failure HIP is asked nothing: its last error is the program's.
        let on = if event["kind"] == "vmm-host" || event["rc"] != 0 { -1 } else { 1 };
        assert_eq!((&event["layer"], &event["dev"]), (&"hip".into(), &on.into()), "{event}");
        assert!(event["mod"].as_str().unwrap().ends_with("/linked"), "{event}");
    }
    let properties = trace.calls("query", "hipGetDeviceProperties");
    assert_eq!(properties.iter().map(|query| query["total"].as_u64().unwrap()).collect::<Vec<_>>(), [8 << 30; 2]);
    the_analyzer_agrees(&bench);
    let devices = trace.events("device");
    assert_eq!(devices.len(), 1);
    let device = devices[0];
    assert_eq!(
        (&device["layer"], &device["dev"], &device["name"]),
        (&"hip".into(), &1.into(), &"Fake HIP device 1".into())
    );
    assert_eq!((&device["total"], &device["integrated"]), (&(8_u64 << 30).into(), &true.into()));
    assert_eq!(
        (&device["cc_major"], &device["cc_minor"], &device["driver"]),
        (&9.into(), &4.into(), &70_151_831.into())
    );
}

#[test]
fn however_it_is_looked_up() {
    for how in ["dlsym", "dlvsym", "hipGetProcAddress", "hipGetDriverEntryPoint"] {
        let bench = Bench::new();
        let library = fake(&bench, false);
        let program = bench.compile("hip/user", "user", &["-ldl"]);
        let trace = holds_what_the_fake_holds(&bench, bench.traced(program).arg(&library).arg(how));
        assert!(trace.events("alloc").iter().all(|event| event["mod"].as_str().unwrap().ends_with("/user")), "{how}");
        assert_eq!(trace.events("warning").len(), 0, "{how}");
    }
}

/// Functions of the library that call others by their public names meet the hooks a second time.
#[test]
fn calls_inside_the_library_are_not_counted_twice() {
    let bench = Bench::new();
    let program = linked(&bench, &fake(&bench, true));
    let trace = holds_what_the_fake_holds(&bench, &mut bench.traced(program));
    the_analyzer_agrees(&bench);
    let inner: Vec<&Value> =
        trace.calls("alloc", "hipHostMalloc").into_iter().filter(|event| event["depth"] == 1).collect();
    assert_eq!(inner.len(), 3, "hipHostAlloc, hipMallocHost and hipMemAllocHost are made of it");
    assert!(inner.iter().all(|event| event["mod"].as_str().unwrap().ends_with("/libamdhip64.so.7")));
}

/// A process may hold both: each call's device is asked of the API that it belongs to.
#[test]
fn cuda_in_the_same_process_keeps_its_own_devices() {
    let bench = Bench::new();
    let program = linked(&bench, &fake(&bench, false));
    let trace = holds_what_the_fake_holds(&bench, bench.traced(program).arg("cuda"));
    let cuda = trace.calls("alloc", "cuMemAlloc");
    assert_eq!((cuda.len(), &cuda[0]["dev"], &cuda[0]["layer"]), (1, &0.into(), &"driver".into()));
    let pools = trace.events("pool");
    assert!(pools.iter().all(|pool| pool["dev"] != 0), "{pools:?}");
}

/// A program that was linked with HIP and runs where there is none finds what it would without the preload.
#[test]
fn where_no_hip_is_none_is_found() {
    let bench = Bench::new();
    let program = bench.compile("hip/probe", "probe", &["-ldl"]);
    let plain = run(&mut bench.plain(&program)).stdout;
    let traced = run(&mut bench.traced(&program)).stdout;
    assert_eq!(String::from_utf8(plain).unwrap(), String::from_utf8(traced).unwrap());
    assert!(!bench.path("trace").exists());
}

/// What the user wants told of free memory is told of a GPU of AMD's too, and its total by all that tell it.
#[test]
fn answers_are_changed_as_the_rules_say() {
    let bench = Bench::new();
    let program = linked(&bench, &fake(&bench, false));
    let output = run(bench.traced(program).env("KVTRACE_PATCH", "free=-1GiB;total=6GiB"));
    let told: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let trace = bench.trace();
    let patches = trace.events("patch");
    let of = |field: &'static str, query: &Value| {
        let found = patches.iter().find(|patch| patch["of"] == query["n"] && patch["field"] == field);
        let found = found.unwrap_or_else(|| panic!("{field} of {query}"));
        (found["real"].as_u64().unwrap(), found["reported"].as_u64().unwrap())
    };
    let queries: Vec<&Value> =
        trace.calls("query", "hipMemGetInfo").into_iter().filter(|query| query["depth"] == 0).collect();
    assert_eq!((told.len(), queries.len()), (2, 2));
    for (told, query) in told.iter().zip(queries) {
        let (real, reported) = of("free", query);
        assert_eq!(reported, (real - (1 << 30)).min(6 << 30), "not more than all");
        assert_eq!(of("total", query), (8 << 30, 6 << 30));
        assert_eq!(
            (told["free"].as_u64(), told["total"].as_u64()),
            (Some(reported), Some(6 << 30)),
            "the program has it"
        );
    }
    for function in ["hipGetDeviceProperties", "hipDeviceTotalMem"] {
        assert!(trace.calls("query", function).iter().all(|query| query["total"] == 6_u64 << 30), "{function}");
    }
}
