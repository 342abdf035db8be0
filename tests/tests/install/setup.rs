use crate::outcome;
use kvtrace_tests::{Bench, have, kit, run};

fn kvtrace(bench: &Bench, arguments: &[&str]) -> String {
    let output = run(bench.plain(kit("bin/kvtrace")).args(arguments));
    String::from_utf8(output.stdout).unwrap()
}

/// A trace directory that a shell would take apart if it were not quoted.
const OUT: &str = "it's a \"trace\" of $HOME";

/// Evaluates the settings in a shell and runs the workload there.
fn traces(shell: &str, evaluate: &str) {
    let bench = Bench::new_in("/var/tmp");
    run(bench.plain(kit("bin/kvtrace-workload")).args(["make-weights", "weights", "--bytes", "16MiB"]));
    let path = format!("{}:{}", kit("bin").display(), std::env::var("PATH").unwrap());
    let script = format!("{evaluate}; {evaluate}; kvtrace-workload serve --model tiny --weights weights");
    run(bench.plain(shell).args(["-c", &script]).env("PATH", path).env("OUT", OUT));
    let show = kvtrace(&bench, &["show", OUT, "--format", "json"]);
    let show: serde_json::Value = serde_json::from_str(&show).unwrap();
    assert!(show["decisions"].as_array().is_some_and(|decisions| !decisions.is_empty()), "{show:#}");
    let trace = kvtrace_tests::Trace::read(&bench.path(OUT));
    let of_the_workload: Vec<_> = trace
        .events("process")
        .into_iter()
        .filter(|process| process["exe"].as_str().is_some_and(|exe| exe.ends_with("kvtrace-workload")))
        .collect();
    assert_eq!((of_the_workload.len(), &of_the_workload[0]["label"]), (1, &"a 'b'".into()), "{trace:?}");
}

#[test]
fn settings_evaluated_in_a_shell_trace_a_program() {
    traces("sh", r#"eval "$(kvtrace env -o "$OUT" --label "a 'b'")""#);
    traces("bash", r#"eval "$(kvtrace env -o "$OUT" --label "a 'b'")""#);
    if have("fish", "kvtrace env in fish") {
        traces("fish", r#"kvtrace env --format fish -o "$OUT" --label "a 'b'" | source"#);
    }
}

#[test]
fn ours_comes_first_and_once_in_the_list() {
    let bench = Bench::new();
    let shim = kit("lib/libkvtrace.so").display().to_string();
    let mut command = bench.plain(kit("bin/kvtrace"));
    let (code, out, complaint) = outcome(command.arg("env").env("LD_PRELOAD", format!("{shim} libm.so.6")));
    assert_eq!(code, Some(0), "{complaint}");
    let first = out.lines().next().unwrap();
    assert_eq!(first, format!("export LD_PRELOAD='{shim}:libm.so.6'"));
}

#[test]
fn containers_get_settings_of_their_own() {
    let bench = Bench::new();
    let docker = kvtrace(&bench, &["env", "--format", "dockerfile", "--prefix", "/opt/kvtrace", "--label", "a $b"]);
    let expected = "ENV LD_PRELOAD=\"/opt/kvtrace/lib/libkvtrace.so\"\nENV KVTRACE_OUT=\"/tmp/kvtrace-out\"\n\
                    ENV KVTRACE_LABEL=\"a \\$b\"\n";
    assert_eq!(docker, expected);
    let pod = kvtrace(&bench, &["env", "--format", "kubernetes", "--prefix", "/opt/kvtrace", "-o", "/trace"]);
    let expected = "- name: LD_PRELOAD\n  value: \"/opt/kvtrace/lib/libkvtrace.so\"\n\
                    - name: KVTRACE_OUT\n  value: \"/trace\"\n";
    assert_eq!(pod, expected);
    let (code, out, complaint) = outcome(bench.plain(kit("bin/kvtrace")).args(["env", "--prefix", "/a b"]));
    assert_eq!((code, out.as_str()), (Some(2), ""), "{complaint}");
    assert!(complaint.contains("space"), "{complaint}");
}

#[test]
fn the_preload_is_where_it_is_said_to_be() {
    let bench = Bench::new();
    assert_eq!(kvtrace(&bench, &["shim-path"]), format!("{}\n", kit("lib/libkvtrace.so").display()));
    let (code, _, complaint) = outcome(bench.plain(kit("bin/kvtrace")).args(["shim-path", "--shim", "/etc/passwd"]));
    assert_eq!(code, Some(2));
    assert!(complaint.contains("not kvtrace's preload"), "{complaint}");
}

#[test]
fn every_command_has_completions_and_a_manual_page() {
    let bench = Bench::new();
    let help = kvtrace(&bench, &["--help"]);
    let list = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names = list.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    let commands: Vec<&str> = names.filter_map(|line| line.split(' ').next()).filter(|name| *name != "help").collect();
    assert!(commands.len() > 8 && commands.contains(&"doctor") && !commands.contains(&"probe-gpu"), "{help}");

    kvtrace(&bench, &["man", "pages"]);
    for command in &commands {
        let page = std::fs::read_to_string(bench.path(&format!("pages/kvtrace-{command}.1"))).unwrap();
        assert!(page.contains(".TH") && page.contains(".SH"), "{page}");
    }
    assert!(!bench.path("pages/kvtrace-probe-gpu.1").exists());
    let (code, _, _) = outcome(bench.plain(kit("bin/kvtrace")).args(["man", "pages/kvtrace.1"]));
    assert_eq!(code, Some(2), "a file is no directory");

    for shell in ["bash", "zsh", "fish"] {
        let text = kvtrace(&bench, &["completions", shell]);
        assert!(commands.iter().all(|command| text.contains(command)), "{shell}");
    }
    let complete = "source <(kvtrace completions bash); COMP_WORDS=(kvtrace doc); COMP_CWORD=1; \
                    _kvtrace kvtrace doc kvtrace; echo ${COMPREPLY[@]}";
    let path = format!("{}:{}", kit("bin").display(), std::env::var("PATH").unwrap());
    let output = run(bench.plain("bash").args(["-c", complete]).env("PATH", path));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "doctor");
}
