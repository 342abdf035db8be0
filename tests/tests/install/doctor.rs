use crate::{answer, doctor, finding, outcome};
use kvtrace_tests::{Bench, have, kit, run};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Leaves a file behind if it is ever started.
const CANARY: &str = "#include <stdio.h>\n\
    __attribute__((constructor)) static void ran(void) { fclose(fopen(\"ran\", \"w\")); }\n\
    int main(void) { return 0; }\n";

fn compile(bench: &Bench, compiler: &str, name: &str, source: &str, flags: &[&str]) -> PathBuf {
    let (file, program) = (bench.path(&format!("{name}.c")), bench.path(name));
    std::fs::write(&file, source).unwrap();
    run(Command::new(compiler).arg("-o").arg(&program).arg(&file).args(flags));
    program
}

fn script(bench: &Bench, name: &str, text: &str) -> PathBuf {
    let path = bench.path(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

/// Exit code, state of a finding and its words.
fn about(bench: &Bench, program: &Path, check: &str) -> (Option<i32>, String, String) {
    let (code, report) = answer(doctor(bench).arg("--").arg(program));
    assert_eq!(report["traceable"], code == Some(0), "{report:#}");
    let found = finding(&report, check);
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    (code, text(&found["state"]), text(&found["found"]))
}

#[test]
fn the_program_is_never_started() {
    let bench = Bench::new();
    let program = compile(&bench, "cc", "canary", CANARY, &[]);
    let (code, state, found) = about(&bench, &program, "target.program");
    assert_eq!((code, state.as_str()), (Some(0), "ok"), "{found}");
    script(&bench, "start", &format!("#!{}\n", program.display()));
    let (code, state, _) = about(&bench, &bench.path("start"), "target.script");
    assert_eq!((code, state.as_str()), (Some(0), "ok"));
    assert!(!bench.path("ran").exists());
    run(bench.plain(&program).arg("once"));
    assert!(bench.path("ran").exists(), "the canary sings");
}

#[test]
fn what_cannot_load_a_preload_is_a_problem() {
    let bench = Bench::new();
    let fixed = compile(&bench, "cc", "fixed", CANARY, &["-static"]);
    let pie = compile(&bench, "cc", "pie", CANARY, &["-static-pie", "-s"]);
    let go = format!("{CANARY}__attribute__((section(\".go.buildinfo\"))) char info[32] = \"Go\";\n");
    let go = compile(&bench, "cc", "go", &go, &["-static"]);
    let plain = compile(&bench, "cc", "plain", CANARY, &[]);
    let mut bytes = std::fs::read(&plain).unwrap();
    let (other, other_name) = if cfg!(target_arch = "x86_64") { (183, "64-bit ARM") } else { (62, "64-bit x86-64") };
    bytes[18] = other;
    let arm = bench.path("other-machine");
    std::fs::write(&arm, &bytes).unwrap();
    std::fs::set_permissions(&arm, PermissionsExt::from_mode(0o755)).unwrap();
    for (program, words) in
        [(&fixed, "statically linked"), (&pie, "statically linked"), (&go, "Go program"), (&arm, other_name)]
    {
        let (code, state, found) = about(&bench, program, "target.program");
        assert_eq!((code, state.as_str()), (Some(1), "problem"), "{found}");
        assert!(found.contains(words), "{found}");
    }
    std::fs::set_permissions(&plain, PermissionsExt::from_mode(0o4755)).unwrap();
    let (code, state, _) = about(&bench, &plain, "target.privileges");
    assert_eq!((code, state.as_str()), (Some(1), "problem"));
    let (code, _, found) = about(&bench, Path::new("no-such-program"), "target.program");
    assert_eq!((code, found.as_str()), (Some(1), "no-such-program: no such program"));
    if have("musl-gcc", "doctor and a program of another libc") {
        let musl = compile(&bench, "musl-gcc", "musl", CANARY, &[]);
        let (code, _, found) = about(&bench, &musl, "target.program");
        assert_eq!(code, Some(1), "{found}");
        assert!(found.contains("musl"), "{found}");
    }
    assert!(!bench.path("ran").exists());
}

#[test]
fn a_libc_too_old_for_the_preload_is_a_problem() {
    let bench = Bench::new();
    // A loader with a libc beside it that is what its version says.
    std::fs::write(bench.path("versions"), "GLIBC_2.2.5 { global: old; };\nGLIBC_2.12 { global: newer; local: *; };\n")
        .unwrap();
    std::fs::write(bench.path("ld.so"), "").unwrap();
    std::fs::write(bench.path("libc.c"), "int old, newer;\n").unwrap();
    let mut command = Command::new("cc");
    command.current_dir(bench.path("")).args(["-shared", "-nostdlib", "-Wl,--version-script=versions"]);
    run(command.args(["-o", "libc.so.6", "libc.c"]));
    let loader = format!("-Wl,--dynamic-linker={}", bench.path("ld.so").display());
    let program = compile(&bench, "cc", "aged", CANARY, &[&loader]);
    let (code, state, found) = about(&bench, &program, "target.libc");
    assert_eq!((code, state.as_str()), (Some(1), "problem"), "{found}");
    assert_eq!(found, "glibc 2.12; the preload needs 2.17");
}

#[test]
fn scripts_lead_to_what_runs_them() {
    let bench = Bench::new();
    let shell = script(&bench, "serve", "#!/bin/sh\ntouch ran\n");
    let (code, state, found) = about(&bench, &shell, "target.script");
    assert_eq!((code, state.as_str()), (Some(0), "note"), "{found}");
    let env = script(&bench, "tool", "#!/usr/bin/env -S A=1 cat -n\n");
    let (code, _, found) = about(&bench, &env, "target.script");
    assert!(code == Some(0) && found.contains("/cat"), "{found}");
    let lost = script(&bench, "lost", "#!/no/such/interpreter\n");
    let (code, state, _) = about(&bench, &lost, "target.script");
    assert_eq!((code, state.as_str()), (Some(1), "problem"));
    let round = bench.path("round");
    script(&bench, "round", &format!("#!{}\n", round.display()));
    let (code, report) = answer(doctor(&bench).arg("--").arg(&round));
    assert_eq!(code, Some(0), "{report:#}");
    assert!(!bench.path("ran").exists());
}

#[test]
fn the_environment_and_the_trace_directory_count() {
    let bench = Bench::new();
    let (code, report) = answer(doctor(&bench).env("KVTRACE_DISABLE", "1"));
    assert_eq!((code, &finding(&report, "environment.disabled")["state"]), (Some(1), &"problem".into()));
    std::fs::write(bench.path("file"), "").unwrap();
    let (code, report) = answer(doctor(&bench).args(["-o", "file"]));
    assert_eq!((code, &finding(&report, "output.directory")["state"]), (Some(1), &"problem".into()));
    std::fs::write(bench.path("old.so"), "not a library").unwrap();
    let (code, report) = answer(doctor(&bench).args(["--shim", "old.so"]));
    assert_eq!((code, &finding(&report, "preload.file")["state"]), (Some(1), &"problem".into()));
    let mut limited = bench.plain("sh");
    limited.args(["-c", "ulimit -l 64; ulimit -v 8000000; exec \"$0\" doctor --json"]).arg(kit("bin/kvtrace"));
    let (code, report) = answer(&mut limited);
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(finding(&report, "limits.memlock")["figures"]["limit_bytes"], 65536);
    assert_eq!(finding(&report, "limits.address_space")["figures"]["limit_bytes"], 8_000_000_u64 << 10);
    let (code, _, complaint) = outcome(bench.plain(kit("bin/kvtrace")).args(["doctor", "--no-such-option"]));
    assert_eq!(code, Some(2), "{complaint}");
}

#[test]
fn a_bug_report_has_stable_keys_and_no_secrets() {
    let bench = Bench::new();
    let mut command = doctor(&bench);
    command.env("VLLM_API_KEY", "hush-1").env("HF_TOKEN", "hush-2").env("KVTRACE_LABEL", "hush-3");
    let (code, report) = answer(command.args(["--", "cat", "--api-key", "hush-4", "--hf-token=hush-5"]));
    assert_eq!(code, Some(0), "{report:#}");
    assert!(!report.to_string().contains("hush"), "{report:#}");
    assert_eq!(report["command"], serde_json::json!(["cat", "--api-key", "[redacted]", "[redacted]"]));
    let keys: Vec<&String> = report.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["command", "doctor_schema", "findings", "kvtrace", "traceable"]);
    for found in report["findings"].as_array().unwrap() {
        let known = ["check", "state", "found", "why", "do", "figures"];
        assert!(found.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())), "{found}");
        assert!(["ok", "note", "problem", "unknown"].contains(&found["state"].as_str().unwrap()), "{found}");
        let explained = found["why"].as_str().is_some_and(|why| why.ends_with('.'));
        assert!(found["state"] == "ok" || explained, "{found}");
    }
    let always = [
        ["preload.file", "preload.loads", "output.directory", "driver.kernel"],
        ["gpu.driver", "memory.page_cache", "memory.hugepages", "memory.watermarks"],
        ["leftovers.holders", "cgroup.limit", "limits.memlock", "container.signs"],
    ];
    for check in always.as_flattened() {
        finding(&report, check);
    }
}
