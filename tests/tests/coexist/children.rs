use crate::{alike, compile, shim};
use kvtrace_tests::{Bench, have, skip};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

fn both(bench: &Bench, program: &str, arguments: &[&str]) -> String {
    alike(bench.plain(program).args(arguments), bench.traced(program).args(arguments))
}

/// Protects: what shells, env and interpreters start inherits the preload, works, and hears nothing of it.
#[test]
fn helpers_of_a_traced_program_work_as_ever() {
    let bench = Bench::new();
    let script =
        "echo a | cat; env | grep -c KVTRACE_OUT_OF; (exit 3); echo $?; ls /no/such; exec 5>&-; kill -0 $$ && echo on";
    both(&bench, "sh", &["-c", script]);
    both(&bench, "env", &["-u", "KVTRACE_OUT", "sh", "-c", "echo ${KVTRACE_OUT-unset}"]);
    both(&bench, "env", &["-i", "/bin/sh", "-c", "echo ${LD_PRELOAD-unset}"]);
    assert!(!bench.path("trace").exists());
}

/// Protects: we handle no signal, start no thread, change no limit, and open nothing where programs expect their own.
#[test]
fn a_process_has_the_state_that_it_would_have() {
    let bench = Bench::new();
    let program = compile(&bench, "state", "state", &[]);
    alike(&mut bench.plain(&program), &mut bench.traced(&program));
    assert_eq!(bench.trace().files.len(), 1);
}

/// Protects: runtimes that ask for the machine's memory at start, map much and handle faults themselves.
#[test]
fn virtual_machines_run_as_ever() {
    let bench = Bench::new();
    if have("node", "node under the preload") {
        let script = "const t = new (require('worker_threads').Worker)('1', {eval: true}); t.on('exit', c => console.log(c, os.totalmem() > 0))";
        both(&bench, "node", &["-e", script]);
    }
    if have("java", "java under the preload") && have("javac", "java under the preload") {
        let source = "public class Faults { static int depth; static void dive() { depth++; dive(); }
            public static void main(String[] a) throws Exception {
                try { dive(); } catch (StackOverflowError e) { System.out.println(\"overflow\"); }
                try { a = null; System.out.println(a.length); } catch (NullPointerException e) { System.out.println(\"null\"); }
                Thread[] t = new Thread[64];
                for (int i = 0; i < t.length; i++) { t[i] = new Thread(() -> { byte[][] b = new byte[64][]; for (int j = 0; j < 999; j++) b[j % 64] = new byte[9999]; }); t[i].start(); }
                for (Thread one : t) one.join();
                Process p = new ProcessBuilder(\"cat\").start();
                p.getOutputStream().close();
                System.out.println(p.waitFor());
            } }";
        std::fs::write(bench.path("Faults.java"), source).unwrap();
        both(&bench, "javac", &["Faults.java"]);
        assert_eq!(both(&bench, "java", &["-Xmx64m", "-XX:+UseSerialGC", "Faults"]), "overflow\nnull\n0\n");
        assert_eq!(both(&bench, "java", &["-Xmx64m", "Faults"]), "overflow\nnull\n0\n");
    }
}

/// Protects: programs that have no loader do not see the preload, and a musl process loads it and does its own work.
#[test]
fn static_and_musl_programs_run_as_ever() {
    let bench = Bench::new();
    let fixed = compile(&bench, "greeting", "static", &["-static"]);
    assert_eq!(alike(&mut bench.plain(&fixed), &mut bench.traced(&fixed)), "MemTotal 4\n");
    assert!(!bench.path("trace").exists(), "a static program has no preload");
    if !have("musl-gcc", "the preload in a musl process") {
        return;
    }
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/coexist/greeting.c");
    let musl = bench.path("musl");
    kvtrace_tests::run(Command::new("musl-gcc").args(["-O1", "-o"]).arg(&musl).arg(source));
    assert_eq!(alike(&mut bench.plain(&musl), &mut bench.traced(&musl)), "MemTotal 4\n");
}

/// Protects: a program that runs with other rights than its caller's is the loader's affair: no preload, no message.
#[test]
fn a_setuid_program_runs_as_ever() {
    const NOBODY: u32 = 65534;
    // SAFETY: takes no pointer.
    if unsafe { libc::geteuid() } != 0 {
        skip("a setuid program under the preload: needs root");
        return;
    }
    let bench = Bench::new_in("/var/tmp");
    let open = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    open(&bench.path(""), 0o777);
    let program = compile(&bench, "privileged", "privileged", &[]);
    let library = bench.path("libkvtrace.so");
    std::fs::copy(shim(), &library).unwrap();
    open(&library, 0o755);
    for mode in [0o755, 0o4755] {
        open(&program, mode);
        let mut traced = bench.traced(&program);
        traced.uid(NOBODY).gid(NOBODY).env("LD_PRELOAD", &library);
        // Both have the variable; the loader drops it where the rights change.
        let told = alike(bench.plain(&program).uid(NOBODY).gid(NOBODY).env("LD_PRELOAD", ""), &mut traced);
        let files = std::fs::read_dir(bench.path("trace")).map_or(0, Iterator::count);
        match mode {
            0o755 => assert_eq!((told.as_str(), files), ("real 65534 effective 65534 preload set\n", 1)),
            _ => assert_eq!((told.as_str(), files), ("real 65534 effective 0 preload unset\n", 1)),
        }
    }
}
