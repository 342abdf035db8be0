use crate::{asker, is_root, missing};
use kvtrace_tests::{Bench, Trace, have, kit, run, skip};
use serde_json::Value;

const H100_UUID: &str = "GPU-6b767472-6163-652d-7369-6d2d68313030";

#[test]
fn a_device_says_who_it_is() {
    let bench = Bench::new();
    run(bench.traced(asker(&bench)).arg("gpu").env("KVTRACE_SIM_GPU", "h100-80"));
    let trace = bench.trace();
    let [device] = trace.events("device").try_into().unwrap();
    assert_eq!(device["uuid"], H100_UUID);
    assert_eq!(device["pci"], "0000:01:00.0");
    assert!(device.get("numa_node").is_none(), "{device}");
    assert!(trace.events("node").is_empty() && missing(&trace, "node").is_none());
}

/// As on a GH200. The node is this machine's first, which is memory of the host: the kernel's figures are real.
#[test]
fn a_gpu_that_is_a_numa_node_has_the_kernel_s_figures_of_it() {
    if !std::path::Path::new("/sys/devices/system/node/node0/meminfo").exists() {
        return skip("a GPU that is a NUMA node: the kernel has no node 0");
    }
    let bench = Bench::new();
    run(bench.traced(asker(&bench)).arg("gpu").env("KVTRACE_SIM_NUMA_NODE", "0"));
    let trace = bench.trace();
    assert_eq!(trace.events("device")[0]["numa_node"], 0);
    let nodes = trace.events("node");
    assert_eq!(nodes.len(), trace.events("view").len());
    let text = std::fs::read_to_string("/sys/devices/system/node/node0/meminfo").unwrap();
    for node in nodes {
        assert_eq!(node["node"], 0);
        for name in ["MemTotal", "HugePages_Total"] {
            let line = text.lines().find(|line| line.contains(&format!(" {name}:"))).unwrap();
            let mut words = line.split_whitespace().skip(3);
            let value: u64 = words.next().unwrap().parse().unwrap();
            assert_eq!(node["meminfo"][name], value * if words.next() == Some("kB") { 1024 } else { 1 });
        }
        assert!(node["meminfo"].as_object().unwrap().len() >= text.lines().count() - 1, "{node}");
    }
    // A node that is not there.
    let bench = Bench::new();
    run(bench.traced(asker(&bench)).arg("gpu").env("KVTRACE_SIM_NUMA_NODE", "61"));
    let trace = bench.trace();
    assert!(trace.events("node").is_empty());
    assert_eq!(missing(&trace, "node").unwrap()["reason"], "ENOENT");
}

/// By name, with build id, before any of them called; what is loaded later, beside the next query.
#[test]
fn libraries_of_cuda_are_named() {
    let bench = Bench::new();
    run(bench.traced(asker(&bench)).arg("gpu"));
    let trace = bench.trace();
    let file = &trace.files[0];
    let at = |wanted: &dyn Fn(&Value) -> bool| file.lines.iter().position(wanted).unwrap();
    let module = |name: &'static str| {
        move |line: &Value| line["ev"] == "module" && line["path"].as_str().is_some_and(|path| path.ends_with(name))
    };
    let views: Vec<usize> = (0..file.lines.len()).filter(|at| file.lines[*at]["ev"] == "view").collect();
    let [first, second] = views.try_into().unwrap();
    let (driver, runtime) = (at(&module("libcuda.so.1")), at(&module("libcudart.so.13")));
    assert!(driver < first && first < runtime && runtime < second, "{driver} {first} {runtime} {second}");
    for at in [driver, runtime] {
        assert!(file.lines[at]["build_id"].as_str().is_some_and(|id| id.len() == 40), "{}", file.lines[at]);
    }
    let paths = trace.events("module").into_iter().map(|module| module["path"].as_str().unwrap()).collect::<Vec<_>>();
    let distinct: std::collections::BTreeSet<_> = paths.iter().collect();
    assert_eq!(paths.len(), distinct.len(), "each once: {paths:?}");
}

/// A link is followed, as that of a driver's library is to the one with its version.
#[test]
fn a_library_s_link_is_followed() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("links")).unwrap();
    for library in ["libcuda.so.1", "libcudart.so.13"] {
        std::os::unix::fs::symlink(kit("lib/sim").join(library), bench.path("links").join(library)).unwrap();
    }
    run(bench.traced(asker(&bench)).arg("gpu").env("LD_LIBRARY_PATH", bench.path("links")));
    let trace = bench.trace();
    let modules = trace.events("module");
    let path = bench.path("links/libcuda.so.1");
    let driver = modules.iter().find(|module| module["path"] == path.to_str().unwrap()).unwrap();
    assert_eq!(driver["file"], kit("lib/sim/libcuda.so.1").to_str().unwrap());
}

/// The program of the suite of NVML, holding memory here and in a child.
fn user(bench: &Bench, gpu: &str, within: &[&str]) -> Trace {
    let library = kit("lib/sim/libnvidia-ml.so.1");
    let program = bench.compile("nvml/user", "user", &["-ldl"]);
    let mut command = bench.traced(within.first().copied().unwrap_or(program.to_str().unwrap()));
    command.args(within.iter().skip(1));
    if !within.is_empty() {
        command.arg(&program);
    }
    run(command.env("KVTRACE_SIM_GPU", gpu).args([library.to_str().unwrap(), "cuda"]));
    bench.trace()
}

#[test]
fn who_uses_a_gpu_is_told_as_the_program_was_told() {
    for gpu in ["h100-80", "gb10"] {
        let bench = Bench::new();
        let trace = user(&bench, gpu, &[]);
        let asked = trace.calls("call", "nvmlDeviceGetComputeRunningProcesses");
        let told = asked.iter().find(|call| call["own"].is_u64()).unwrap();
        let usages = trace.events("usage");
        assert!(!usages.is_empty(), "{gpu}");
        for usage in usages {
            assert_eq!((&usage["nvml"], &usage["count"]), (&0.into(), &2.into()), "{usage}");
            assert_eq!((&usage["own"], &usage["others"]), (&told["own"], &told["others"]), "{usage}");
            assert_eq!(usage["same_pids"], true);
            assert!(usage["uuid"].as_str().unwrap().starts_with("GPU-6b767472"), "{usage}");
            // One memory with the CPU has no figures of its own.
            assert_eq!((usage["free"].is_u64(), usage["total"].is_u64()), (gpu != "gb10", gpu != "gb10"), "{usage}");
        }
        let lost = missing(&trace, "usage.memory");
        assert_eq!(lost.map(|lost| lost["reason"].as_str().unwrap()), (gpu == "gb10").then_some("answer 3"));
    }
}

/// In a PID namespace of its own a process is still told that NVML means it, if it finds itself in the list.
#[test]
fn in_a_namespace_of_pids_the_list_decides() {
    let what = "NVML in a PID namespace";
    if !is_root() {
        return skip(&format!("{what}: not root"));
    }
    if !have("unshare", what) {
        return;
    }
    let bench = Bench::new();
    let trace = user(&bench, "h100-80", &["unshare", "--pid", "--fork", "--mount-proc"]);
    let usages = trace.events("usage");
    assert!(!usages.is_empty() && usages.iter().all(|usage| usage["own"].is_u64() && usage["same_pids"] == true));
    assert_ne!(crate::fact(&trace, "ns.pid"), Some("pid:[4026531836]"));
}

/// NVML is never begun by us.
#[test]
fn a_program_without_nvml_is_told_so() {
    let bench = Bench::new();
    run(bench.traced(asker(&bench)).arg("gpu"));
    let trace = bench.trace();
    assert!(trace.events("usage").is_empty());
    assert!(missing(&trace, "usage").unwrap()["reason"].as_str().unwrap().contains("NVML is not in use"));
    assert!(trace.events("module").iter().all(|module| !module["path"].as_str().unwrap().contains("nvidia-ml")));
}

/// NVML counts how often it is initialised: handles stay good until the last one lets go.
#[test]
fn handles_last_as_long_as_nvml_is_held() {
    let bench = Bench::new();
    let text = r#"
import ctypes
nvml, cuda = ctypes.CDLL("libnvidia-ml.so.1"), ctypes.CDLL("libcudart.so.12")
handle, free, total = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_size_t()
ask = lambda: cuda.cudaMemGetInfo(ctypes.byref(free), ctypes.byref(total))
assert nvml.nvmlInit_v2() == 0 and nvml.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(handle)) == 0
assert nvml.nvmlInit_v2() == 0
ask()
assert nvml.nvmlShutdown() == 0
ask()
assert nvml.nvmlShutdown() == 0
ask()
"#;
    let program = bench.path("counts.py");
    std::fs::write(&program, text).unwrap();
    run(bench.traced("/usr/bin/python3").arg(&program));
    let trace = bench.trace();
    let asked: Vec<u64> =
        trace.calls("query", "cudaMemGetInfo").iter().map(|query| query["n"].as_u64().unwrap()).collect();
    let told = |of: u64| trace.events("usage").iter().any(|usage| usage["of"] == of);
    assert_eq!(asked.iter().map(|of| told(*of)).collect::<Vec<_>>(), [true, true, false]);
}
