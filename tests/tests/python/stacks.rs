//! Real interpreters.

use crate::compare;
use crate::versions::{self, programs};
use kvtrace_tests::{Bench, run, skip};
use std::process::Command;

/// Classes, generators, coroutines, odd names, deep recursions, tracers, signals, children: see `shapes.py`.
#[test]
fn every_kind_of_function_is_told_as_python_tells_it() {
    for python in versions::all() {
        for flags in [&[][..], &["-O", "-X", "frozen_modules=on", "-W", "ignore"]] {
            let bench = Bench::new();
            run(&mut python.traced(&bench, flags, "shapes.py"));
            let what = format!("{} {flags:?}", python.version);
            // Three forked children ask twice each.
            let count = compare::all(&bench, &what);
            assert!(count > 50, "{what}: {count} stacks");
        }
    }
}

#[test]
fn each_of_many_threads_has_its_own_stack() {
    for python in versions::all() {
        let bench = Bench::new();
        run(&mut python.traced(&bench, &[], "threads.py"));
        assert_eq!(compare::all(&bench, &python.version), 7 * 60, "{}", python.version);
    }
}

#[test]
fn an_interpreter_inside_the_interpreter_has_its_own_stack() {
    for python in versions::all() {
        let bench = Bench::new();
        let output = run(&mut python.traced(&bench, &[], "interpreters.py"));
        if output.stdout.starts_with(b"absent") {
            skip(&format!("stacks of subinterpreters: CPython {} has no module for them", python.version));
            continue;
        }
        assert!(compare::all(&bench, &python.version) >= 3, "{}", python.version);
    }
}

/// The line that an engineer looks for, whether the GIL is given up around the call or not, on any thread.
#[test]
fn the_question_that_sizes_a_kv_cache_has_its_line() {
    let source = std::fs::read_to_string(programs().join("tensorrt_llm/_torch/pyexecutor/_util.py")).unwrap();
    let line = source.lines().position(|line| line.contains("ask(A, B)")).unwrap() + 1;
    for python in versions::all() {
        let bench = Bench::new();
        run(&mut python.traced(&bench, &["-W", "ignore"], "shapes.py"));
        let trace = bench.trace();
        let stacks = trace.events("stack");
        let innermost: Vec<String> = stacks.iter().map(|stack| stack["frames"][0].to_string()).collect();
        let name = if python.minor() == 10 { "" } else { "KvCacheCreator." };
        let wanted = format!(r#"pyexecutor/_util.py","func":"{name}configure_kv_cache_capacity","line":{line}}}"#);
        let found = innermost.iter().filter(|frame| frame.ends_with(&wanted)).count();
        assert_eq!(found, 4, "{}: {wanted} in {innermost:#?}", python.version);
    }
}

#[test]
fn a_switch_turns_stacks_off() {
    let Some(python) = versions::all().first() else { return };
    for (value, has_stacks, warning) in [
        ("0", false, None),
        ("1", true, None),
        ("maybe", true, Some("KVTRACE_PYTHON is neither 0 nor 1: stacks are on")),
    ] {
        let bench = Bench::new();
        run(python.traced(&bench, &[], "interpreters.py").env("KVTRACE_PYTHON", value));
        let trace = bench.trace();
        assert_eq!(!trace.events("stack").is_empty(), has_stacks, "{value}");
        let warnings: Vec<_> = trace.events("warning").iter().map(|event| event["text"].as_str().unwrap()).collect();
        assert_eq!(warnings, warning.into_iter().collect::<Vec<_>>(), "{value}");
    }
}

#[test]
fn threads_that_ask_while_the_interpreter_ends_do_no_harm() {
    for python in versions::all() {
        let bench = Bench::new();
        run(&mut python.traced(&bench, &[], "ending.py"));
        let trace = bench.trace();
        let stacks = trace.events("stack");
        assert!(stacks.len() > 10, "{}: {} stacks", python.version, stacks.len());
        for stack in stacks {
            let frame = &stack["frames"][0];
            let wanted = ["forever", "__del__", "Last.__del__"];
            assert!(wanted.contains(&frame["func"].as_str().unwrap()), "{}: {stack}", python.version);
        }
    }
}

/// Where the kernel or a container's filter refuses the one way to read memory without a fault, there is another; and
/// where both are refused, there are no stacks and the program runs as ever.
#[test]
fn refused_system_calls_cost_at_most_the_stack() {
    let Some(python) = versions::all().first() else { return };
    let (vm_readv, pread) = (libc::SYS_process_vm_readv.to_string(), libc::SYS_pread64.to_string());
    for (refused, stacks) in [(&[vm_readv.as_str()][..], 1), (&[&vm_readv, &pread], 0)] {
        let bench = Bench::new();
        run(python.traced(&bench, &[], "refused.py").args(refused));
        let trace = bench.trace();
        assert_eq!(trace.events("stack").len(), stacks, "without {refused:?}");
        assert_eq!(trace.calls("query", "cudaMemGetInfo").len(), 1);
        if stacks > 0 {
            assert_eq!(compare::all(&bench, "refused"), stacks);
        }
    }
}

/// A program may load Python after it has asked for the first time, and go on when Python has ended.
#[test]
fn an_embedded_python_is_found_when_it_comes() {
    let mut tested = false;
    for python in versions::all() {
        let ask = "import sysconfig as s; print(s.get_config_var('LIBDIR') + '/' + s.get_config_var('LDLIBRARY'))";
        let output = run(Command::new(&python.path).args(["-c", ask]));
        let library = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        if !library.ends_with(".so") || !std::path::Path::new(&library).exists() {
            continue;
        }
        let bench = Bench::new();
        let program = bench.compile("python/embed", "embed", &["-ldl"]);
        let home = python.path.parent().unwrap().parent().unwrap();
        run(bench.traced(program).arg(&library).env("PYTHONHOME", home));
        let trace = bench.trace();
        assert_eq!(trace.calls("query", "sysconf").len(), 6, "{}", python.version);
        let stacks = trace.events("stack");
        assert_eq!(stacks.len(), 1, "{}: {stacks:#?}", python.version);
        let frames = serde_json::json!([
            {"file": "<string>", "line": 3, "func": "embedded"}, {"file": "<string>", "line": 4, "func": "<module>"}
        ]);
        assert_eq!(stacks[0]["frames"], frames, "{}", python.version);
        tested = true;
    }
    if !tested {
        skip("stacks of an embedded CPython: none has a shared library");
    }
}

/// A handler may interrupt the interpreter between any two instructions, where its frames are half made. What is said
/// of the stack then may be little, but each function has the line that it can have.
#[test]
fn a_question_from_a_signal_handler_does_no_harm() {
    for python in versions::all() {
        let bench = Bench::new();
        let library = bench.compile("python/ticker", "ticker.so", &["-shared", "-fPIC"]);
        run(python.traced(&bench, &[], "ticked.py").arg(library));
        let functions: serde_json::Value =
            serde_json::from_slice(&std::fs::read(bench.path("functions")).unwrap()).unwrap();
        let trace = bench.trace();
        let (asked, stacks) = (trace.calls("query", "sysconf").len(), trace.events("stack"));
        assert!(asked > 100 && stacks.len() * 10 > asked * 8, "{}: {} of {asked}", python.version, stacks.len());
        for stack in stacks {
            let frames = stack["frames"].as_array().unwrap();
            for frame in frames.iter().filter(|frame| frame["file"].as_str().unwrap().ends_with("ticked.py")) {
                let line = frame["line"].as_u64().unwrap();
                let fits = |function: &serde_json::Value| {
                    function[0] == frame["func"]
                        && (function[1].as_u64().unwrap()..=function[2].as_u64().unwrap()).contains(&line)
                };
                assert!(line == 0 || functions.as_array().unwrap().iter().any(fits), "{}: {stack}", python.version);
            }
        }
    }
}
