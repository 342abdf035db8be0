use crate::ask;
use kvtrace_tests::{Bench, kit};
use std::process::{Command, Output};

fn run(bench: &Bench, options: &[&str]) -> Output {
    let mut command: Command = bench.plain(kit("bin/kvtrace"));
    let _ = std::fs::remove_dir_all(bench.path("out"));
    command.args(["run", "-o", "out"]).args(options).arg("--").arg(ask(bench)).arg("driver").output().unwrap()
}

#[test]
fn the_user_is_told_before_the_program_starts() {
    let bench = Bench::new();
    let output = run(&bench, &["--patch", "free=1GiB@nth=2", "--patch", "total=100GiB"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success());
    assert!(
        error.starts_with("kvtrace: the program will not be told the truth: free=1GiB@nth=2; total=100GiB\n"),
        "{error}"
    );
    assert!(error.lines().nth(1).unwrap().contains("MemAvailable"), "{error}");
    let output = run(&bench, &["--patch", "free=1GiB", "--i-know"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("--i-know: no bound is kept"), "{error}");
    let output = run(&bench, &["--patch", "free=1GiB", "--quiet"]);
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn a_bad_rule_starts_nothing() {
    let bench = Bench::new();
    for (rule, part, hint) in [
        ("free=much", "\"much\"", "80GiB"),
        ("used=1GiB", "\"used\"", "meminfo:KEY"),
        ("free=1GiB@who=me", "\"who=me\"", "module=NAME"),
        ("free=max", "\"free=max\"", "cgroup"),
    ] {
        let output = run(&bench, &["--patch", rule]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{rule}: {error}");
        assert!(error.contains(part) && error.contains("hint: ") && error.contains(hint), "{error}");
        assert!(output.stdout.is_empty() && !bench.path("out").exists());
    }
    let output = run(&bench, &["--i-know"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn an_unknown_option_is_no_program() {
    let bench = Bench::new();
    let output = run(&bench, &["--pach", "free=1GiB"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), bench.path("out").exists()), (Some(2), false));
    assert!(error.contains("--pach is no option") && error.contains("--help"), "{error}");
}

/// Protects: rules of an enclosing environment are the user's, and a run without any has none.
#[test]
fn the_environment_holds_rules_too() {
    let bench = Bench::new();
    let mut command = bench.plain(kit("bin/kvtrace"));
    command.args(["run", "-o", "out", "-q", "--"]).arg(ask(&bench)).arg("driver");
    let output = command.env("KVTRACE_PATCH", "free=1GiB;total=64GiB").output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("driver {} {}\n", 1u64 << 30, 64u64 << 30));
}
