use crate::{alike, compile, library, shim, simulated};
use kvtrace_tests::{Bench, run};

/// Protects: a function of a library that was unloaded is not called when the library comes again elsewhere, and we
/// keep nothing loaded that the program lets go.
#[test]
fn a_runtime_may_go_and_come_again() {
    let bench = Bench::new();
    let program = compile(&bench, "reload", "reload", &["-ldl"]);
    let runtime = library(&bench, "counted", "libcudart.so.12");
    let plugin = compile(&bench, "taker", "plugin.so", &["-shared", "-fPIC", runtime.to_str().unwrap()]);
    let with = |mut command: std::process::Command| {
        command.arg(&plugin).args(["libcudart.so.12", "5"]).env("LD_LIBRARY_PATH", bench.path(""));
        command
    };
    let told = alike(&mut with(bench.plain(&program)), &mut with(bench.traced(&program)));
    assert_eq!(told, "done\n");
    assert_eq!(bench.trace().calls("alloc", "cudaMalloc").len(), 5);
}

/// Protects: the memory of who called where is never used up, so that every caller has its name, and what may never be
/// answered with a wrapper is known after any number of plugins.
#[test]
fn callers_have_their_names_after_any_number_of_plugins() {
    let bench = Bench::new();
    let driver = simulated("libcuda.so.1");
    let program = compile(&bench, "reload", "reload", &["-ldl", "-Wl,--no-as-needed", &driver]);
    let plugin = library(&bench, "tenant", "tenant.so");
    let told = alike(
        bench.plain(&program).arg(&plugin).args(["tenant.so", "600"]),
        bench.traced(&program).arg(&plugin).args(["tenant.so", "600"]),
    );
    assert_eq!(told, "done\n");
    let trace = bench.trace();
    let asked = trace.calls("query", "cuMemGetInfo");
    assert_eq!(asked.len(), 600);
    for call in asked {
        assert!(call["mod"].as_str().unwrap().ends_with("/tenant.so"), "{call}");
    }
}

/// Protects: calls of handlers and destructors at the end of a process; the loader ends a library that the program is
/// linked with after any preload.
#[test]
fn memory_is_given_back_to_the_last_instruction() {
    let bench = Bench::new();
    let driver = simulated("libcuda.so.1");
    let keeper = compile(&bench, "keeper", "libkeeper.so", &["-shared", "-fPIC", &driver]);
    let program = compile(&bench, "ending", "ending", &[keeper.to_str().unwrap(), &driver]);
    let told = alike(&mut bench.plain(&program), &mut bench.traced(&program));
    assert_eq!(told, "atexit 0\ndestructor 0\nlibrary 0\n");
    assert_eq!(bench.trace().calls("free", "cuMemFree").len(), 3);
}

/// Protects: calls before `main`, and before our own constructor has run, which the loader runs after those of the
/// libraries that we are linked with.
#[test]
fn calls_and_ends_before_main_are_as_ever() {
    let bench = Bench::new();
    let early = library(&bench, "early", "libearly.so");
    let program =
        compile(&bench, "earlier", "earlier", &["-Wl,--no-as-needed", early.to_str().unwrap(), "-Wl,-rpath,$ORIGIN"]);
    let with = |mut command: std::process::Command, exit: bool| {
        command.env("LD_LIBRARY_PATH", bench.path(""));
        if exit {
            command.env("EARLY_EXIT", "1");
        }
        command
    };
    for exit in [false, true] {
        let told = alike(&mut with(bench.plain(&program), exit), &mut with(bench.traced(&program), exit));
        assert_eq!(told, "0 1 1\n");
    }
    // In front of us it is initialised behind us, and behind us in front.
    let shim = shim();
    for order in [[early.as_path(), &shim], [&shim, &early]] {
        let output = run(crate::preload(bench.traced("true").env("EARLY_EXIT", ""), &order).env_remove("EARLY_EXIT"));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "0 1 1\n");
    }
}

/// Protects: linked with `-z nodelete`, the preload stays where programs may hold its functions, whoever opens and
/// closes it.
#[test]
fn the_preload_cannot_be_unloaded() {
    let bench = Bench::new();
    let program = compile(&bench, "closer", "closer", &["-ldl"]);
    let output = run(bench.plain(program).arg(shim()));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "still works\n");
}
