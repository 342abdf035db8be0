use kvtrace_tests::{Bench, kit, run};
use serde_json::Value;
use std::process::Command;

const H100: u64 = 85_017_493_504;
const L4: u64 = 22_558 << 20;

fn program(bench: &Bench) -> std::path::PathBuf {
    let [runtime, nvml] = ["lib/sim/libcudart.so.13", "lib/sim/libnvidia-ml.so.1"].map(kit);
    bench.compile("devices", "devices", &[runtime.to_str().unwrap(), nvml.to_str().unwrap()])
}

fn lines(command: &mut Command) -> (Vec<Value>, String) {
    let output = run(command);
    let lines = String::from_utf8(output.stdout).unwrap();
    let complaints = String::from_utf8(output.stderr).unwrap();
    (lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), complaints)
}

#[test]
fn each_device_has_its_own_memory_for_driver_runtime_and_nvml() {
    let bench = Bench::new();
    let mut command = bench.traced(program(&bench));
    let (lines, complaints) = lines(command.env("KVTRACE_SIM_DEVICES", "h100-80,l4"));
    assert_eq!(complaints, "");
    assert_eq!((&lines[0]["cuda"], &lines[0]["nvml"]), (&2.into(), &2.into()));
    for (index, total) in [H100, L4].into_iter().enumerate() {
        let (cuda, nvml) = (&lines[1 + index], &lines[3 + index]);
        assert_eq!((&cuda["device"], &cuda["total"], &nvml["total"]), (&index.into(), &total.into(), &total.into()));
        assert_eq!((cuda["took"].as_u64(), cuda["left"].as_i64()), (Some((256 << 20) * (index as u64 + 1)), Some(0)));
        assert_eq!(cuda["bus"], format!("0000:{:02x}:00.0", index + 1));
    }
    assert_ne!(lines[3]["uuid"], lines[4]["uuid"]);
    assert!(lines[4]["name"].as_str().unwrap().contains("simulated"));
    // A context on each: what it takes was measured on the one and not on the other.
    assert_eq!((lines[3]["used"].as_u64(), lines[4]["used"].as_u64()), (Some(552_389_837), Some(0)));

    // The trace says of each allocation and of each query whose it is.
    let trace = bench.trace();
    let of = |kind: &str, function: &str| -> Vec<Value> {
        trace.calls(kind, function).iter().map(|call| call["dev"].clone()).collect()
    };
    assert_eq!(of("alloc", "cuMemAlloc"), [0, 1]);
    assert_eq!(of("query", "cuMemGetInfo"), [0, 0, 0, 1, 1, 1]);
}

#[test]
fn the_process_sees_the_devices_that_are_visible_and_nvml_sees_all() {
    let bench = Bench::new();
    let program = program(&bench);
    for (list, totals) in [("1", &[L4][..]), ("1,0", &[L4, H100]), ("0,7,1", &[H100])] {
        let mut command = bench.plain(&program);
        command.env("KVTRACE_SIM_DEVICES", "h100-80,l4").env("CUDA_VISIBLE_DEVICES", list);
        let (lines, _) = lines(&mut command);
        assert_eq!((&lines[0]["cuda"], &lines[0]["nvml"]), (&totals.len().into(), &2.into()), "{list}");
        for (line, total) in lines[1..].iter().zip(totals) {
            assert_eq!(line["total"], *total, "{list}");
        }
    }
    let none = bench.plain(&program).env("CUDA_VISIBLE_DEVICES", "").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&none.stderr), "cudaGetDeviceCount: 100\n");
}

#[test]
fn a_profile_of_a_file_is_used_and_bad_lines_are_complained_about() {
    let bench = Bench::new();
    let path = bench.path("mine.toml");
    std::fs::write(&path, "base = \"l4\"\nname = \"Mine\"\ntotal = \"3 GiB\"\nsms = 7\n").unwrap();
    let mut command = bench.plain(program(&bench));
    let (lines, complaints) = lines(command.env("KVTRACE_SIM_GPU", &path));
    assert_eq!((&lines[1]["total"], &lines[2]["name"]), (&(3u64 << 30).into(), &"Mine (simulated by kvtrace)".into()));
    let complaint = format!("simulated GPU: {}: line 4: there is no \"sms\"", path.display());
    assert!(complaints.starts_with(&complaint), "{complaints}");
}

/// The lists are what the real libraries export; a name that is missing is a program that does not start.
#[test]
fn every_name_of_every_list_is_exported() {
    let lists = [
        ("cublas", "libcublas.so.12"),
        ("cublas", "libcublas.so.13"),
        ("cublaslt", "libcublasLt.so.12"),
        ("cublaslt", "libcublasLt.so.13"),
        ("cudnn", "libcudnn.so.9"),
        ("nccl", "libnccl.so.2"),
        ("cufft", "libcufft.so.11"),
        ("cufft", "libcufft.so.12"),
        ("curand", "libcurand.so.10"),
        ("cusolver", "libcusolver.so.11"),
        ("cusolver", "libcusolver.so.12"),
        ("cusparse", "libcusparse.so.12"),
        ("cusparselt", "libcusparseLt.so.0"),
    ];
    let preload = std::fs::read_to_string(kit("lib/sim/preload")).unwrap();
    for (list, library) in lists {
        let list = format!("{}/../crates/cuda-sim-{list}/names.txt", env!("CARGO_MANIFEST_DIR"));
        let list = std::fs::read_to_string(list).unwrap();
        let names = list.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(' ').next());
        let names: Vec<&str> = names.collect();
        assert!(names.len() > 20, "{library}");
        // SAFETY: C strings; the libraries have no constructor that does anything.
        let missing: Vec<&&str> = unsafe {
            let path = std::ffi::CString::new(kit(&format!("lib/sim/{library}")).to_str().unwrap()).unwrap();
            let handle = libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
            assert!(!handle.is_null(), "{library}");
            let mark = libc::dlsym(handle, c"kvtrace_sim_quiet".as_ptr());
            let mark = std::ffi::CStr::from_ptr(mark.cast()).to_str().unwrap();
            assert_eq!(mark, format!("computes nothing: {library}"), "as the layout names it");
            let missing = |name: &&&str| {
                let name = std::ffi::CString::new(**name).unwrap();
                libc::dlsym(handle, name.as_ptr()).is_null()
            };
            names.iter().filter(missing).collect()
        };
        assert_eq!(missing, [&""; 0], "{library}");
        assert!(preload.lines().any(|line| line.ends_with(&format!(" {library}"))), "{library}: {preload}");
    }
}
