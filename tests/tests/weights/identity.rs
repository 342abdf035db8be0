use crate::{ask, bench, kvtrace};
use kvtrace_tests::{Bench, kit, run};
use std::path::Path;

fn weights(bench: &Bench, folder: &str, size: &str) {
    run(bench.plain(kit("bin/kvtrace-workload")).args(["make-weights", folder, "--bytes", size, "--shards", "2"]));
}

fn serve(bench: &Bench, name: &str, folder: &str) {
    let mut command = kvtrace(bench);
    command.args(["run", "-q", "-o", name, "--label", "qwen2.5-72b", "--"]).arg(kit("bin/kvtrace-workload"));
    // The weights on the device are the same: only the files tell.
    run(command.args(["serve", "--model", "tiny", "--weights", folder, "--weights-bytes", "64MiB"]));
}

fn first_line(bench: &Bench, a: &str, b: &str) -> String {
    let text = String::from_utf8(run(kvtrace(bench).args(["diff", a, b])).stdout).unwrap();
    text.lines().next().unwrap().to_owned()
}

fn edit(path: &Path, change: impl FnOnce(&mut [u8])) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn other_weights_under_one_label_are_caught() {
    let bench = bench();
    weights(&bench, "one", "64MiB");
    weights(&bench, "two", "65MiB");
    for folder in ["three", "four", "copy"] {
        run(std::process::Command::new("cp").arg("-r").arg(bench.path("one")).arg(bench.path(folder)));
    }
    let shard = "model-00001-of-00002.safetensors";
    // A name in the header, and no byte more.
    edit(&bench.path("three").join(shard), |bytes| {
        let at = bytes.windows(5).position(|part| part == b"dtype").unwrap() - 4;
        bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
    });
    std::fs::write(bench.path("one/config.json"), "{\"model_type\":\"qwen2\"}").unwrap();
    std::fs::write(bench.path("copy/config.json"), "{\"model_type\":\"qwen2\"}").unwrap();
    std::fs::write(bench.path("four/config.json"), "{\"model_type\":\"qwen3\"}").unwrap();
    for folder in ["one", "two", "three", "four", "copy"] {
        serve(&bench, &format!("run-{folder}"), folder);
    }
    serve(&bench, "run-again", "one");

    let line = first_line(&bench, "run-one", "run-two");
    assert!(
        line.starts_with("Not the same model, though both runs are labelled qwen2.5-72b: A read 67 108 864"),
        "{line}"
    );
    let line = first_line(&bench, "run-one", "run-three");
    assert!(line.contains("their headers differ"), "{line}");
    let line = first_line(&bench, "run-one", "run-four");
    assert!(line.contains("their config.json differs"), "{line}");
    for (other, verdict, comparable) in [
        ("two", "not-the-same", false),
        ("three", "not-the-same", false),
        ("copy", "same", true),
        ("again", "same", true),
    ] {
        let diff = ask(&bench, &["diff", "run-one", &format!("run-{other}")]);
        assert_eq!(diff["model"]["verdict"], verdict, "{other}");
        assert_eq!(diff["comparable"], comparable, "{other}");
        assert!(diff["model"]["evidence"].as_array().unwrap().len() >= 4, "{other}");
    }
    let because =
        |other: &str| ask(&bench, &["diff", "run-one", other])["model"]["because"].as_str().unwrap().to_owned();
    assert!(because("run-again").starts_with("A and B read the same 2 files"), "{}", because("run-again"));
    assert!(because("run-copy").contains("headers and config.json of 2 files"), "{}", because("run-copy"));
    assert!(because("run-copy").contains("not compared"), "{}", because("run-copy"));
}

#[test]
fn a_model_that_was_not_seen_is_not_known() {
    let bench = bench();
    weights(&bench, "one", "64MiB");
    serve(&bench, "a", "one");
    let mut command = kvtrace(&bench);
    command.args(["run", "-q", "-o", "b", "--"]).arg(kit("bin/kvtrace-workload"));
    run(command.args(["serve", "--model", "tiny", "--weights-bytes", "64MiB"]));
    let diff = ask(&bench, &["diff", "a", "b"]);
    assert_eq!(diff["model"]["verdict"], "not-known");
    assert_eq!(diff["model"]["because"], "B was not seen to open a file of weights");
}
