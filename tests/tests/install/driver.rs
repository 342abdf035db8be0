use crate::{answer, doctor, finding};
use kvtrace_tests::{Bench, kit, run};
use std::path::Path;
use std::process::Command;

/// `doctor` beside a driver that `source` is.
fn beside(bench: &Bench, source: &str) -> Command {
    std::fs::write(bench.path("driver.c"), source).unwrap();
    let mut compiler = Command::new("cc");
    compiler.current_dir(bench.path("")).args(["-shared", "-fPIC", "-o", "libcuda.so.1", "driver.c"]);
    run(&mut compiler);
    let mut command = doctor(bench);
    command.env("LD_LIBRARY_PATH", bench.path(""));
    command
}

#[test]
fn the_simulated_gpu_is_told_as_one_and_leaves_no_trace() {
    let bench = Bench::new();
    let mut command = bench.traced(kit("bin/kvtrace"));
    command.args(["doctor", "--json"]);
    let (code, report) = answer(&mut command);
    assert_eq!(code, Some(0), "{report:#}");
    let memory = finding(&report, "gpu.memory");
    let figures = &memory["figures"];
    assert_eq!((&figures["simulated"], &figures["integrated"]), (&true.into(), &true.into()), "{memory}");
    assert_eq!(
        (&figures["compute_capability"], &figures["total_bytes"]),
        (&"12.1".into(), &128_524_251_136_u64.into())
    );
    assert!(figures["free_bytes"].as_u64().is_some_and(|free| free > 0), "{memory}");
    let library = finding(&report, "gpu.driver")["figures"]["library"].as_str().unwrap().to_owned();
    assert!(Path::new(&library).ends_with("sim/libcuda.so.1"), "{library}");
    // Its own questions are nobody's trace.
    assert!(!bench.path("trace").exists());

    let (_, report) = answer(command.env("KVTRACE_SIM_GPU", "h100-80"));
    assert_eq!(finding(&report, "gpu.memory")["figures"]["integrated"], false);
    assert_eq!(finding(&report, "memory.page_cache")["state"], "ok");
}

#[test]
fn no_driver_and_bad_drivers_are_told_and_not_suffered() {
    let bench = Bench::new();
    let (code, report) = answer(&mut doctor(&bench));
    if Path::new("/proc/driver/nvidia").exists() {
        kvtrace_tests::skip("doctor without a driver: this machine has one");
    } else {
        assert_eq!((code, &finding(&report, "gpu.driver")["state"]), (Some(0), &"note".into()), "{report:#}");
    }
    let found = |source: &str| {
        let (code, report) = answer(&mut beside(&bench, source));
        assert_eq!(code, Some(0), "{report:#}");
        let driver = finding(&report, "gpu.driver");
        (driver["state"].as_str().unwrap().to_owned(), driver["found"].as_str().unwrap().to_owned())
    };
    let (state, words) = found("#include <stdlib.h>\nint cuDriverGetVersion(int *v) { abort(); }\n");
    assert!(state == "unknown" && words.contains("signal: 6"), "{words}");
    // A number that no header of today has.
    let version = "int cuDriverGetVersion(int *v) { *v = 99990; return 0; }\n";
    let (state, words) = found(&format!("{version}int cuInit(unsigned f) {{ return 54321; }}\n"));
    assert!(state == "note" && words.contains("CUDA 99.99") && words.contains("cuInit failed with 54321"), "{words}");
    // It lacks a function.
    let (state, words) = found(version);
    assert!(state == "note" && words.contains("cuInit failed with -1"), "{words}");
    // It talks.
    let talks = "#include <stdio.h>\nint cuInit(unsigned f) { puts(\"hello\"); return 100; }\n";
    let (state, words) = found(&format!("{version}{talks}"));
    assert!(state == "note" && words.contains("failed with 100"), "{words}");
}

#[test]
fn a_driver_that_hangs_is_not_waited_for() {
    let bench = Bench::new();
    let source = "#include <unistd.h>\nint cuDriverGetVersion(int *v) { for (;;) pause(); }\n";
    let (code, report) = answer(&mut beside(&bench, source));
    assert_eq!(code, Some(0), "{report:#}");
    let driver = finding(&report, "gpu.driver");
    assert!(driver["state"] == "unknown" && driver["found"].as_str().unwrap().contains("did not answer"), "{driver}");
}
