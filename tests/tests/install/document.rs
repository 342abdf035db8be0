//! docs/install.md is true: its settings are those that `kvtrace env` prints, and its recipes trace in real containers.

use crate::{answer, doctor, wheel};
use kvtrace_tests::docker::{Daemon, can_run};
use kvtrace_tests::{Bench, Trace, kit, run};
use std::path::Path;
use std::process::Command;

#[path = "../containers/root.rs"]
mod root;

const DOCUMENT: &str = include_str!("../../../docs/install.md");
const IMAGE: &str = "kvtrace-test:1";
/// What serves, where [`root`] put it.
const SERVE: [&str; 8] = [
    "env",
    "LD_LIBRARY_PATH=/kit/sim",
    "KVTRACE_SIM_STATE=/tmp/gpu.state",
    "/kit/kvtrace-workload",
    "serve",
    "--model=tiny",
    "--weights",
    "/weights",
];

/// The contents of the fenced blocks of a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    DOCUMENT.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn its_commands_are_ones_and_its_settings_are_printed() {
    let bench = Bench::new();
    let path = format!("{}:{}", kit("bin").display(), std::env::var("PATH").unwrap());
    let commands = blocks("sh").concat();
    // The others build, install or unpack: `scripts/test` and the tests of the packages do that.
    let here: Vec<&str> = commands.lines().filter(|line| line.contains("kvtrace env") || line.contains("--")).collect();
    assert_eq!(here.len(), 2, "{commands}");
    for command in here {
        run(bench.plain("sh").args(["-ec", command]).env("PATH", &path));
    }
    let listed = DOCUMENT.split('`').find(|text| text.starts_with("kvtrace env --format kubernetes")).unwrap();
    let printed = String::from_utf8(run(bench.plain("sh").args(["-c", listed]).env("PATH", &path)).stdout).unwrap();
    let pod: Vec<&str> = blocks("yaml")[0].lines().map(str::trim_start).collect();
    let pod = pod.join("\n");
    let printed: Vec<&str> = printed.lines().map(str::trim_start).collect();
    assert!(pod.contains(&printed.join("\n")), "{printed:?}");
    let version = format!("kvtrace-{}-x86_64-linux", env!("CARGO_PKG_VERSION"));
    let named = DOCUMENT.matches("kvtrace-0").count();
    assert!(named > 3 && DOCUMENT.matches(&version).count() == named, "{version}");

    let (_, report) = answer(doctor(&bench).args(["--", "sh"]));
    for found in report["findings"].as_array().unwrap() {
        let group = found["check"].as_str().unwrap().split('.').next().unwrap();
        let named = [".*", ".signs", ".directory"].iter().any(|rest| DOCUMENT.contains(&format!("`{group}{rest}`")));
        assert!(named, "{found}");
    }
}

#[test]
fn its_recipes_trace_in_containers() {
    let Some(tarball) = wheel::package(".tar.gz") else { return };
    if !can_run() {
        return;
    }
    // Files in a tmpfs are shared memory, not page cache.
    let bench = Bench::new_in("/var/tmp");
    run(bench.plain(kit("bin/kvtrace-workload")).args(["make-weights", "weights", "--bytes", "64MiB"]));
    root::make(&bench.path("root"));
    // The recipes bring their own.
    std::fs::remove_file(bench.path("root/kit/libkvtrace.so")).unwrap();
    let Some(daemon) = Daemon::start(&bench) else { return };
    let archive = bench.path("root.tar");
    run(Command::new("tar").arg("-C").arg(bench.path("root")).arg("-cf").arg(&archive).arg("."));
    run(daemon.client("docker").arg("import").arg(&archive).arg(IMAGE));

    let [server, init] = blocks("dockerfile")[..] else { panic!("{DOCUMENT}") };
    assert_eq!(server.lines().count(), 3);
    let build = |text: &str, tag: &str| {
        let folder = bench.path(tag);
        std::fs::create_dir(&folder).unwrap();
        std::fs::copy(&tarball, folder.join(tarball.file_name().unwrap())).unwrap();
        let (_, rest) = text.split_once('\n').unwrap();
        std::fs::write(folder.join("Dockerfile"), format!("FROM {IMAGE}\n{rest}")).unwrap();
        // The builder that needs no image of its own.
        run(daemon.client("docker").env("DOCKER_BUILDKIT", "0").args(["build", "-q", "-t", tag]).arg(folder));
    };
    let start = |options: &[&str], image: &str, command: &[&str]| {
        let mut docker = daemon.client("docker");
        docker.args(["run", "--rm", "--pull", "never", "--network", "none", "-v"]);
        docker.arg(format!("{}:/weights:ro", bench.path("weights").display()));
        run(docker.args(options).arg(image).args(command));
    };
    build(server, "traced");
    std::fs::create_dir(bench.path("trace")).unwrap();
    start(&["-v", &format!("{}:/trace", bench.path("trace").display())], "traced", &SERVE);
    traced(&bench, &bench.path("trace"));

    build(init, "init");
    let pod = blocks("yaml")[0];
    let field = |name: &str| pod.lines().find_map(|line| line.trim_start().strip_prefix(name)).unwrap();
    let copy: Vec<String> = serde_json::from_str(field("command: ")).unwrap();
    std::fs::create_dir(bench.path("volume")).unwrap();
    let volume = format!("{}:{}", bench.path("volume").display(), field("mountPath: "));
    let copy: Vec<&str> = ["busybox"].into_iter().chain(copy.iter().map(String::as_str)).collect();
    start(&["-v", &volume], "init", &copy);
    let values: Vec<String> = ["LD_PRELOAD", "KVTRACE_OUT"]
        .map(|name| {
            let value = pod.split(&format!("- name: {name}\n")).nth(1).unwrap().lines().next().unwrap();
            let value: String = serde_json::from_str(value.trim_start().strip_prefix("value: ").unwrap()).unwrap();
            format!("{name}={value}")
        })
        .to_vec();
    start(&["-v", &volume, "-e", &values[0], "-e", &values[1]], IMAGE, &SERVE);
    traced(&bench, &bench.path("volume/trace"));
}

/// The workload left a trace with a decision, and it alone left one.
fn traced(bench: &Bench, trace: &Path) {
    let show = run(bench.plain(kit("bin/kvtrace")).arg("show").arg(trace).args(["--format", "json"]));
    let show: serde_json::Value = serde_json::from_slice(&show.stdout).unwrap();
    assert!(show["decisions"].as_array().is_some_and(|decisions| !decisions.is_empty()), "{show:#}");
    assert_eq!(Trace::read(trace).files.len(), 1);
}
