use kvtrace_tests::{Bench, have, kit, run};
use std::process::Command;

#[test]
fn programs_that_ask_for_no_memory_leave_no_file() {
    let bench = Bench::new();
    run(&mut bench.traced("true"));
    run(bench.traced("ls").arg("/"));
    run(bench.traced("sh").args(["-c", "echo hi | cat >/dev/null; wc -l </etc/passwd >/dev/null"]));
    assert!(!bench.path("trace").exists());
}

#[test]
fn disabled_it_leaves_no_file() {
    let bench = Bench::new();
    run(bench.traced("cat").arg("/proc/meminfo").env("KVTRACE_DISABLE", "1"));
    assert!(!bench.path("trace").exists());
}

#[test]
fn a_bad_value_is_one_warning_and_no_harm() {
    let bench = Bench::new();
    run(bench.traced("cat").arg("/proc/meminfo").env("KVTRACE_LOG", "loud"));
    let trace = bench.trace();
    let warnings = trace.events("warning");
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0]["text"], "KVTRACE_LOG is none of off, error, info: off");
}

#[test]
fn a_trace_directory_that_cannot_be_made_changes_nothing() {
    let bench = Bench::new();
    let output = run(bench.traced("cat").arg("/proc/sys/kernel/ostype").env("KVTRACE_OUT", "/proc/no/such"));
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (b"Linux\n".as_slice(), b"".as_slice()));
    run(bench.traced("cat").arg("/proc/meminfo").env("KVTRACE_OUT", "/proc/no/such"));
}

#[test]
fn output_and_exit_code_are_the_program_s_own() {
    let bench = Bench::new();
    let script = "cat /proc/self/comm; free >/dev/null; ls -l /proc/self/fd | wc -l; echo err >&2; exit 7";
    let plain = bench.plain("sh").args(["-c", script]).output().unwrap();
    let traced = bench.traced("sh").args(["-c", script]).output().unwrap();
    assert_eq!((plain.status.code(), plain.stdout, plain.stderr), (traced.status.code(), traced.stdout, traced.stderr));
    assert_eq!(traced.status.code(), Some(7));
}

#[test]
fn every_reader_of_meminfo_is_seen_with_its_own_name() {
    let bench = Bench::new();
    let stdio = bench.compile("stdio", "stdio", &[]);
    run(&mut bench.traced(stdio));
    run(bench.traced("grep").args(["MemFree", "/proc/meminfo"]));
    run(bench.traced("bash").args(["-c", "read line </proc/meminfo"]));
    let python = have("python3", "CPython reading /proc/meminfo");
    if python {
        run(bench.traced("python3").args(["-c", "open('/proc/meminfo').read()"]));
    }
    if have("free", "procps reading /proc/meminfo") {
        run(&mut bench.traced("free"));
    }
    let trace = bench.trace();
    let mut callers: Vec<String> = trace
        .events("file")
        .iter()
        .map(|event| event["mod"].as_str().unwrap().rsplit('/').next().unwrap().to_owned())
        .collect();
    callers.sort();
    callers.dedup();
    for wanted in ["bash", "grep", "stdio"] {
        assert!(callers.iter().any(|caller| caller == wanted), "{wanted} not in {callers:?}");
    }
    assert_eq!(callers.iter().any(|caller| caller.contains("python")), python, "{callers:?}");
    for view in trace.events("view") {
        let free = view["meminfo"]["MemFree"].as_u64().unwrap();
        assert!(free > 0 && free < view["meminfo"]["MemTotal"].as_u64().unwrap());
    }
}

#[test]
fn what_libc_answers_is_what_the_trace_says() {
    let bench = Bench::new();
    let program = bench.compile("figures", "figures", &[]);
    let output = run(&mut bench.traced(program));
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let trace = bench.trace();
    let one = |function: &str| {
        let calls = trace.calls("query", function);
        assert!(!calls.is_empty(), "{function}");
        calls[0].clone()
    };
    assert_eq!(one("sysinfo")["free"], printed["sysinfo_free"]);
    assert_eq!(one("sysinfo")["total"], printed["sysinfo_total"]);
    assert_eq!(one("get_avphys_pages")["free"], printed["avphys"]);
    assert_eq!(one("get_phys_pages")["total"], printed["phys"]);
    assert_eq!(trace.calls("query", "sysconf")[0]["free"], printed["sysconf_free"]);
    assert_eq!(trace.calls("query", "sysconf").len(), 2, "other names of sysconf are no memory query");
    assert_eq!(printed["errno"], 0);
}

#[test]
fn forks_and_execs_make_a_tree() {
    let bench = Bench::new();
    let program = bench.compile("family", "family", &[]);
    run(&mut bench.traced(program));
    let trace = bench.trace();
    let headers = trace.events("process");
    assert_eq!(headers.len(), 3, "the parent, its fork, and the program that the parent became");
    let parent = headers
        .iter()
        .find(|header| header["forked_from"] == 0 && header["exe"].as_str().unwrap().ends_with("family"))
        .unwrap();
    let child = headers.iter().find(|header| header["forked_from"] == parent["pid"]).unwrap();
    assert_eq!(trace.events("fork")[0]["child"], child["pid"]);
    let image = headers.iter().find(|header| header["exe"].as_str().unwrap().ends_with("cat")).unwrap();
    assert_eq!(image["pid"], parent["pid"], "exec keeps the pid");
    assert_eq!(trace.events("exec").len(), 1, "a vfork child's exec is not the parent's");
}

#[test]
fn a_descriptor_that_the_program_stole_is_left_alone() {
    let bench = Bench::new();
    let program = bench.compile("thief", "thief", &[]);
    let file = bench.path("precious");
    run(bench.traced(program).arg(&file));
    assert_eq!(std::fs::read(&file).unwrap(), b"");
    assert_eq!(bench.trace().calls("query", "sysinfo").len(), 2);
}

#[test]
fn dlsym_keeps_its_callers_identity() {
    let bench = Bench::new();
    let other = bench.compile("interposer", "libinterposer.so", &["-shared", "-fPIC"]);
    let program = bench.compile("next", "next", &["-ldl"]);
    for preload in [
        format!("{}:{}", kit("lib/libkvtrace.so").display(), other.display()),
        format!("{}:{}", other.display(), kit("lib/libkvtrace.so").display()),
    ] {
        let output = run(bench.traced(&program).env("LD_PRELOAD", &preload));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "interposed 2\nno_such_symbol: undefined\n", "{preload}");
    }
}

#[test]
fn a_static_program_and_an_old_loader_are_not_our_business() {
    let bench = Bench::new();
    let program = bench.compile("stdio", "static", &["-static"]);
    run(&mut bench.traced(program));
    assert!(!bench.path("trace").exists());
    assert!(Command::new("readelf").arg("-h").arg(kit("lib/libkvtrace.so")).output().unwrap().status.success());
}
