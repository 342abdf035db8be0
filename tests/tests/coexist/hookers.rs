use crate::{alike, compile, library, preload, shim, simulated};
use kvtrace_tests::{Bench, Trace};
use std::path::Path;

/// Protects: a library that patches code patches the driver's, wherever it stands; its hook is called, ours too.
#[test]
fn what_patches_the_driver_finds_the_driver() {
    let bench = Bench::new();
    let ucm = library(&bench, "ucm", "libucm.so");
    let driver = simulated("libcuda.so.1");
    let program = compile(&bench, "patched", "patched", &["-ldl", &driver]);
    let linked = compile(&bench, "patched", "linked", &["-Wl,--no-as-needed", ucm.to_str().unwrap(), &driver]);
    let shim = shim();
    let (ucm, shim) = (ucm.as_path(), shim.as_path());
    let check = |way: &str, program: &Path, argument: Option<&Path>, without: &[&Path], with: &[&Path]| {
        let trace = bench.path(&format!("trace-{way}"));
        let (mut plain, mut traced) = (bench.plain(program), bench.traced(program));
        let told = alike(
            preload(&mut plain, without).args(argument),
            preload(&mut traced, with).args(argument).env("KVTRACE_OUT", &trace),
        );
        assert_eq!(told, "patches libcuda.so.1\nhook called 1\n", "{way}");
        let trace = Trace::read(&trace);
        let taken = trace.calls("alloc", "cuMemAlloc");
        assert_eq!(taken.len(), 1, "{way}");
        assert_eq!(taken[0]["size"], 5 << 20);
    };
    check("opened", &program, Some(ucm), &[], &[shim]);
    check("linked", &linked, None, &[], &[shim]);
    check("in-front", &program, None, &[ucm], &[ucm, shim]);
    check("behind", &program, None, &[ucm], &[shim, ucm]);
}

/// Protects: another preload sees every call that it would see without us, and no more, in front of us and behind us;
/// both see the call, once.
#[test]
fn another_preload_sees_what_it_would_have_seen() {
    let bench = Bench::new();
    let flags = [simulated("libcudart.so.12"), simulated("libcuda.so.1"), "-ldl".to_owned()];
    let program = compile(&bench, "asker", "asker", &flags.each_ref().map(String::as_str));
    let shim = shim();
    for (name, wraps) in [("saver", "by RTLD_NEXT"), ("saver_open", "by a handle")] {
        let other = library(&bench, name, &format!("{name}.so"));
        let (other, shim) = (other.as_path(), shim.as_path());
        for (way, order) in [[other, shim], [shim, other]].into_iter().enumerate() {
            let trace = bench.path(&format!("trace-{name}-{way}"));
            let (mut plain, mut traced) = (bench.plain(&program), bench.traced(&program));
            let told = alike(preload(&mut plain, &[other]), preload(&mut traced, &order).env("KVTRACE_OUT", &trace));
            assert!(told.contains("linked 0: 1 0\n"), "{wraps}: {told}");
            let trace = Trace::read(&trace);
            for (layer, function, sizes) in [
                ("driver", "cuMemAlloc", [3 << 20, 7 << 20, 11 << 20]),
                ("runtime", "cudaMalloc", [3 << 20, 7 << 20, 11 << 20]),
            ] {
                let calls = trace.calls("alloc", function);
                let seen: Vec<u64> = calls.iter().map(|call| call["size"].as_u64().unwrap()).collect();
                assert_eq!(seen, sizes, "{layer} {wraps}, {order:?}");
            }
            let queries = trace.calls("query", "cuMemGetInfo");
            assert_eq!(queries.iter().filter(|query| query["depth"] == 0).count(), 2, "{wraps}, {order:?}");
        }
    }
}

/// Protects: wrappers of libc's functions, of the lookup itself too, work in front of us and behind us; bad pointers
/// and errno stay the kernel's affair.
#[test]
fn another_preload_of_libc_s_functions_works_on() {
    let bench = Bench::new();
    let program = compile(&bench, "libcuser", "libcuser", &["-ldl"]);
    let other = library(&bench, "libcwrap", "libcwrap.so");
    let shim = shim();
    let run = |before: &[&Path], after: &[&Path]| {
        // The program makes a file that must be new.
        let once = |mut command: std::process::Command, preloads: &[&Path]| {
            _ = std::fs::remove_file(bench.path("made"));
            preload(&mut command, preloads).output().unwrap()
        };
        let (plain, traced) = (once(bench.plain(&program), before), once(bench.traced(&program), after));
        assert_eq!(plain, traced, "{after:?}");
        String::from_utf8(traced.stdout).unwrap()
    };
    let alone = run(&[], &[&shim]);
    assert!(alone.contains("MemTotal: mode 640\nmissing -1 errno 2\nbad -1 errno 14\n"), "{alone}");
    for order in [[other.as_path(), &shim], [&shim, &other]] {
        let told = run(&[&other], &order);
        assert!(told.contains("open 5 fopen 1 sysconf 4 dlsym 4"), "{told}");
    }
    assert!(!bench.trace().events("file").is_empty());
}
