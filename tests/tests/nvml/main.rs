//! NVML under the built preload: what a program was told is what its trace says, however it reaches the library.

use kvtrace_tests::{Bench, Trace, have, kit, run};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

/// What an event of NVML may say beyond what every call says. A key that the program did not print must not stand there.
const KEYS: [&str; 12] =
    ["fn", "rc", "free", "total", "reserved", "nvml", "mig", "id", "count", "own", "others", "size"];

/// Runs the program and compares each line that it prints with the event of the same call.
fn says_what_it_was_told(bench: &Bench, command: &mut Command) -> (Trace, Vec<Value>) {
    let output = run(command);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let printed: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let trace = bench.trace();
    let events: Vec<&Value> =
        trace.files.iter().flat_map(|file| &file.lines).filter(|line| line["layer"] == "nvml").collect();
    let names = |list: &[&Value]| list.iter().map(|line| line["fn"].clone()).collect::<Vec<_>>();
    assert_eq!(names(&events), names(&printed.iter().collect::<Vec<_>>()), "one event a call, and none of our own");
    for (event, told) in events.iter().zip(&printed) {
        for key in KEYS {
            assert_eq!(event.get(key), told.get(key), "{key}\n{event}\n{told}");
        }
        assert!(told.get("ptr").is_none_or(|ptr| *ptr == event["ptr"]), "{event}\n{told}");
        assert!(event["ev"] != "query" || event["dev"] == -1, "{event}");
    }
    (trace, printed)
}

fn simulated(bench: &Bench, linked: bool, gpu: &str) -> Command {
    let library = kit("lib/sim/libnvidia-ml.so.1");
    let flags = ["-DLINKED", library.to_str().unwrap(), "-ldl"];
    let program = bench.compile("nvml/user", "user", if linked { &flags } else { &["-ldl"] });
    let mut command = bench.traced(program);
    command.env("KVTRACE_SIM_GPU", gpu).args([library.to_str().unwrap(), "cuda"]);
    command
}

fn one(printed: &[Value], function: &str, key: &str) -> Value {
    printed.iter().filter(|line| line["fn"] == function).find_map(|line| line.get(key)).cloned().unwrap_or_default()
}

#[test]
fn a_discrete_gpu_has_figures_and_processes() {
    for linked in [false, true] {
        let bench = Bench::new();
        let (trace, printed) = says_what_it_was_told(&bench, &mut simulated(&bench, linked, "h100-80"));
        assert_eq!(one(&printed, "nvmlDeviceGetMemoryInfo", "total"), 85_017_493_504_u64);
        // What a context takes beside the 30 and 40 MiB is the simulation's affair, and the same in both processes.
        let own = one(&printed, "nvmlDeviceGetComputeRunningProcesses", "own").as_u64().unwrap();
        let others = one(&printed, "nvmlDeviceGetComputeRunningProcesses", "others").as_u64().unwrap();
        assert_eq!(others - own, 10 << 20);
        let free = one(&printed, "nvmlDeviceGetMemoryInfo", "free").as_u64().unwrap();
        assert_eq!(85_017_493_504 - free, own + others);
        let views = trace.events("view");
        let queries = trace.calls("query", "nvmlDeviceGetMemoryInfo");
        assert!(queries.iter().all(|query| views.iter().any(|view| view["of"] == query["n"])));
    }
}

/// The GB10 has no figures of its own; that it said so is in the trace, and who uses it is as well.
#[test]
fn an_integrated_gpu_says_not_supported() {
    for linked in [false, true] {
        let bench = Bench::new();
        let (trace, printed) = says_what_it_was_told(&bench, &mut simulated(&bench, linked, "gb10"));
        let queries = trace.calls("query", "nvmlDeviceGetMemoryInfo");
        assert!(!queries.is_empty());
        assert!(queries.iter().all(|query| query["rc"] == 3 && query["nvml"] == 0 && query.get("free").is_none()));
        let own = one(&printed, "nvmlDeviceGetComputeRunningProcesses", "own").as_u64().unwrap();
        assert!(own >= 30 << 20, "{own}");
    }
}

/// Another library, with version nodes and with what no simulated GPU has; here also each layout has its own figures.
#[test]
fn every_structure_is_read_as_it_is_laid_out() {
    for linked in [false, true] {
        let bench = Bench::new();
        let script = format!("-Wl,--version-script={}/programs/nvml/fake.map", env!("CARGO_MANIFEST_DIR"));
        let flags = ["-shared", "-fPIC", "-Wl,-soname,libnvidia-ml.so.1", "-Wl,-Bsymbolic", &script];
        let library = bench.compile("nvml/fake", "libnvidia-ml.so.1", &flags);
        let flags = ["-DLINKED", library.to_str().unwrap(), "-ldl", "-Wl,-rpath,$ORIGIN"];
        let program = bench.compile("nvml/user", "user", if linked { &flags } else { &["-ldl"] });
        let mut command = bench.traced(program);
        let (trace, printed) = says_what_it_was_told(&bench, command.env_remove("LD_LIBRARY_PATH").arg(&library));
        let of_mig =
            trace.calls("query", "nvmlDeviceGetMemoryInfo").into_iter().find(|query| query["mig"] == 1).unwrap();
        assert_eq!((&of_mig["nvml"], &of_mig["total"], &of_mig["free"]), (&5.into(), &20.into(), &12.into()));
        let owns = printed.iter().filter_map(|line| line["own"].as_u64());
        assert_eq!(owns.collect::<Vec<_>>(), [11, 12, 13, 14, 15, 16, 17, 18, 20, 700, 900]);
        let odd = trace.calls("call", "nvmlDeviceGetMPSComputeRunningProcesses");
        assert_eq!((&odd[5]["count"], odd[5].get("own")), (&2.into(), None), "{}", odd[5]);
    }
}

#[test]
fn a_ctypes_user_is_seen() {
    if !have("python3", "NVML through ctypes") {
        return;
    }
    for (gpu, rc) in [("h100-80", 0), ("gb10", 3)] {
        let bench = Bench::new();
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("programs/nvml/ctypes_user.py");
        let mut command = bench.traced("python3");
        let output = run(command.env("KVTRACE_SIM_GPU", gpu).arg(script).arg("libnvidia-ml.so.1"));
        let told = String::from_utf8(output.stdout).unwrap();
        let trace = bench.trace();
        let queries = trace.calls("query", "nvmlDeviceGetMemoryInfo");
        let lists = trace.calls("call", "nvmlDeviceGetComputeRunningProcesses");
        let figure = |event: &Value, key: &str| event[key].as_u64().unwrap_or(0);
        let (first, second, list) = (queries[0], queries[1], lists[0]);
        let traced = format!(
            "{} {} {} {} {} {} {} {} {}",
            first["rc"],
            figure(first, "free"),
            figure(first, "total"),
            second["rc"],
            figure(second, "free"),
            figure(second, "total"),
            figure(second, "reserved"),
            figure(list, "count"),
            figure(list, "own"),
        );
        assert_eq!(told.trim(), traced);
        assert_eq!(first["rc"], rc);
        assert!(figure(list, "own") >= 48 << 20, "{list}");
    }
}
