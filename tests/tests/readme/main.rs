//! The README is true: its commands run as written, and its table is the one that `kvtrace diff` prints.

use kvtrace_tests::{Bench, kit, run};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

const README: &str = include_str!("../../../README.md");
/// Runs every test, this one too.
const TESTS: &str = "scripts/test";

#[test]
fn its_commands_run() {
    // Files in a tmpfs are no page cache.
    let bench = Bench::new_in("/var/tmp");
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
    let bin = kit("bin");
    std::fs::create_dir(bench.path("programs")).unwrap();
    // What the README serves with is what nobody has who has no GPU. Each start finds more page cache than the last,
    // as a line through runs needs runs that differ.
    let server = format!(
        "#!/bin/sh\nset -e\nPATH={}:$PATH\nkvtrace-workload fill-page-cache cache-$$.bin --bytes 64MiB >/dev/null\n\
         exec kvtrace-workload serve --model deepseek-7b\n",
        bin.display()
    );
    let program = bench.path("programs/trtllm-serve");
    std::fs::write(&program, server).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::copy(repository.join("analyzer/tests/data/spark.csv"), bench.path("runs.csv")).unwrap();
    let config =
        r#"{"hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4}"#;
    std::fs::write(bench.path("config.json"), config).unwrap();
    symlink(repository.join("target"), bench.path("target")).unwrap();
    for side in ["native", "container"] {
        std::fs::create_dir_all(bench.path("runs").join(side)).unwrap();
        symlink(bench.path(side), bench.path("runs").join(side).join("1")).unwrap();
    }

    let commands: Vec<String> = blocks("sh").iter().flat_map(|block| block.lines().map(str::to_owned)).collect();
    assert!(commands.len() > 8 && commands.iter().any(|command| command == TESTS), "{commands:?}");
    for command in commands.iter().filter(|command| *command != TESTS) {
        let command = unprivileged(command).replace("scripts/", &format!("{}/scripts/", repository.display()));
        let path = format!("{}:{}:/usr/bin:/bin", bench.path("programs").display(), bin.display());
        let path = format!("{path}:{}", std::env::var("PATH").unwrap());
        run(bench.plain("bash").args(["-euo", "pipefail", "-c", &command]).env("PATH", path));
    }

    let shown = blocks("text").concat();
    let (command, shown) = shown.split_once('\n').unwrap();
    assert_eq!(command, "$ kvtrace diff host after-backup");
    let fresh = run(bench.plain(kit("bin/kvtrace")).args(["diff", "native", "container"])).stdout;
    assert_eq!(terms(shown), terms(std::str::from_utf8(&fresh).unwrap()));
}

/// Containers and chroots need a root file system and rights; the test `containers` gives them. Here the command that
/// stands in one is traced without it, for the lines that follow.
fn unprivileged(command: &str) -> String {
    for recipe in ["scripts/capture-docker", "scripts/capture-chroot"] {
        if let Some(options) = command.strip_prefix(recipe) {
            let (_, label) = options.split_once("--label ").unwrap();
            let (label, _) = label.split_once(' ').unwrap();
            let (_, served) = command.split_once("trtllm-serve").unwrap();
            return format!("kvtrace run -o {label} --label {label} -- trtllm-serve{served}");
        }
    }
    command.to_owned()
}

/// The contents of the fenced blocks of a language.
fn blocks(language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    README.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// The names of the main table's rows.
fn terms(text: &str) -> Vec<&str> {
    let rows = text.lines().skip_while(|line| !line.starts_with(" TERM")).take_while(|line| line.starts_with(' '));
    rows.map(|row| row.trim_start().split("  ").next().unwrap()).collect()
}
