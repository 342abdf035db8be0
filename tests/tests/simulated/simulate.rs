//! `kvtrace simulate`: everything is set up for the program, and what came out is shown.

use crate::{ask, kvtrace};
use kvtrace_tests::{Bench, kit, run};

/// `kvtrace simulate` as a user types it, without the libraries at hand.
fn simulate(bench: &Bench, options: &[&str], served: &[&str]) -> std::process::Output {
    let mut command = kvtrace(bench);
    command.env_remove("LD_LIBRARY_PATH").env_remove("KVTRACE_SIM_STATE").arg("simulate").args(options).arg("--");
    command.arg(kit("bin/kvtrace-workload")).arg("serve").args(served);
    command.output().unwrap()
}

#[test]
fn a_program_runs_on_the_gpu_that_was_asked_for_and_its_decision_is_shown() {
    for (cuda, cudart) in [("12", "12"), ("13", "13"), ("13", "static")] {
        let bench = Bench::new();
        let options = ["--gpu", "h100-80", "--set", "total=40GiB", "--cuda", cuda, "-o", "run"];
        let output = simulate(&bench, &options, &["--runtime", "vllm-0.33", "--model", "tiny", "--cudart", cudart]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{cudart}: {text} {}", String::from_utf8_lossy(&output.stderr));
        for part in [
            "KV cache ",
            "0.9 x 40.00 GiB total",
            "Run on a simulated GPU",
            "Not modelled: kernels",
            "GPU KV cache size:",
        ] {
            assert!(text.contains(part), "{cudart}: no {part:?} in {text}");
        }
        let show = ask(&bench, &["show", "run"]);
        assert_eq!(show["simulated"], true);
        assert_eq!(show["decisions"][0]["total_bytes"]["value"].as_u64(), Some(40 << 30), "{cudart}");
    }
}

#[test]
fn a_profile_of_one_s_own_is_used() {
    let bench = Bench::new();
    std::fs::write(bench.path("mine.toml"), "base = \"l4\"\nname = \"Mine\"\ntotal = \"30 GiB\"\n").unwrap();
    let output = simulate(&bench, &["--gpu", "mine.toml", "-o", "run"], &["--model", "tiny"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let show = ask(&bench, &["show", "run"]);
    let name = show["devices"][0]["name"].as_str().unwrap().to_owned();
    assert!(name.starts_with("Mine") && name.contains("simulated"), "{name}");
    assert_eq!(show["decisions"][0]["total_bytes"]["value"].as_u64(), Some(30 << 30));
}

#[test]
fn what_goes_wrong_has_its_own_exit_code() {
    let bench = Bench::new();
    let output = simulate(&bench, &["--set", "speed=3", "-o", "bad"], &[]);
    assert_eq!(output.status.code(), Some(2));
    let output = simulate(&bench, &["--gpu", "l4", "--set", "total=64MiB", "-o", "small"], &["--model", "tiny"]);
    assert_eq!(output.status.code(), Some(1), "the program's own");
    assert!(String::from_utf8_lossy(&output.stderr).contains("does not fit on the device"));
    let mut command = kvtrace(&bench);
    command.env_remove("LD_LIBRARY_PATH").args(["simulate", "-o", "none", "--", "true"]);
    assert_eq!(command.output().unwrap().status.code(), Some(3), "nothing was traced");
    run(kvtrace(&bench).args(["simulate", "--help"]));
}
