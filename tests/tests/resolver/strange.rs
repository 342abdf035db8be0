use crate::{Question, ask};
use kvtrace_tests::{Bench, run};
use std::path::PathBuf;

/// The driver, in a folder of its own.
fn driver(bench: &Bench) -> PathBuf {
    let folder = bench.path("strange");
    std::fs::create_dir(&folder).unwrap();
    // Its functions are told apart by address: none may be folded into another, none bound outside.
    let flags = ["-shared", "-fPIC", "-O0", "-Wl,-Bsymbolic", "-Wl,-soname,libcuda.so.1"];
    bench.compile("strange_driver", "strange/libcuda.so.1", &flags);
    folder
}

/// Name, version, flags, and the wrapper that answers; none where the driver's own answer stands.
const EXPECTED: [(&str, i32, u32, Option<&str>); 22] = [
    // Not exported: the version says which ABI it is.
    ("cuMemAlloc", 2000, 0, Some("cuMemAlloc")),
    ("cuMemAlloc", 3000, 0, Some("cuMemAlloc")),
    ("cuMemAlloc", 3020, 0, Some("cuMemAlloc_v2")),
    ("cuMemAlloc", 13050, 0, Some("cuMemAlloc_v2")),
    ("cuMemCreate", 12000, 0, Some("cuMemCreate")),
    // But above the newest version that the table was checked for it may be any.
    ("cuMemAlloc", 14000, 0, None),
    ("cuMemCreate", 14000, 0, None),
    // An export is what it is, whatever version.
    ("cuMemFree", 13050, 0, Some("cuMemFree_v2")),
    ("cuMemFree", 14000, 0, None),
    ("cuMemAllocManaged", 14000, 0, Some("cuMemAllocManaged")),
    // Newer than asked for: somebody is mistaken.
    ("cuMemGetInfo", 2000, 0, None),
    ("cuMemGetInfo", 3020, 0, Some("cuMemGetInfo_v2")),
    // The driver is older than the program.
    ("cuMemAdvise", 8000, 0, Some("cuMemAdvise")),
    ("cuMemAdvise", 12020, 0, Some("cuMemAdvise")),
    // The form for per-thread streams, and where the driver has none.
    ("cuMemAllocAsync", 12000, 0, Some("cuMemAllocAsync")),
    ("cuMemAllocAsync", 12000, 2, Some("cuMemAllocAsync_ptsz")),
    ("cuMemFreeAsync", 12000, 2, Some("cuMemFreeAsync")),
    ("cuMemAllocFromPoolAsync", 12000, 1, Some("cuMemAllocFromPoolAsync")),
    ("cuMemAllocFromPoolAsync", 12000, 2, Some("cuMemAllocFromPoolAsync_ptsz")),
    ("cuMemAllocFromPoolAsync", 14000, 2, None),
    // No function of the driver's.
    ("cuMemHostAlloc", 12000, 0, None),
    ("cuInit", 14000, 0, Some("cuInit")),
];

#[test]
fn what_is_not_certain_passes_untouched_and_is_told_once() {
    let bench = Bench::new();
    let folder = driver(&bench);
    let mut names: Vec<_> = EXPECTED.iter().map(|(name, ..)| *name).collect();
    names.dedup();
    let mut versions: Vec<_> = EXPECTED.iter().map(|(_, version, ..)| *version).collect();
    versions.sort_unstable();
    versions.dedup();
    let plain = ask(&bench, Some(&folder), &names, &versions, false);
    let traced = ask(&bench, Some(&folder), &names, &versions, true);
    for (name, version, flags, wrapper) in EXPECTED {
        for way in ["first", "second", "no-status", "own-first", "own-second", "per-thread"] {
            // That function means per-thread streams by no flags.
            if way == "per-thread" && flags == 0 && name == "cuMemAllocAsync" {
                continue;
            }
            let question = Question { way: way.to_owned(), name: name.to_owned(), version, flags };
            let (plain, traced) = (&plain[&question], &traced[&question]);
            assert_eq!(plain.rc, 0, "{question:?}");
            match wrapper {
                Some(wrapper) => {
                    assert!(traced.is_wrapper(), "{question:?}: {traced:?}");
                    assert_eq!(traced.symbol, wrapper, "{question:?}");
                }
                None => assert_eq!(traced, plain, "{question:?}"),
            }
        }
    }
    let trace = bench.trace();
    let mut told: Vec<&str> = trace.events("warning").iter().map(|event| event["text"].as_str().unwrap()).collect();
    told.sort_unstable();
    let suffix = ": the driver's answer is no form of it that this version knows: not traced";
    let names: Vec<_> = told.iter().map(|text| text.strip_suffix(suffix).unwrap()).collect();
    assert_eq!(
        names,
        [
            "cuMemAlloc of CUDA 14000",
            "cuMemAllocAsync of CUDA 14000",
            "cuMemAllocFromPoolAsync of CUDA 14000",
            "cuMemCreate of CUDA 14000",
            "cuMemFree of CUDA 14000",
            "cuMemGetInfo of CUDA 2000",
            "cuMemHostAlloc of CUDA 3000"
        ]
    );
}

/// The wrapper hands the call on to what the driver handed out.
#[test]
fn what_the_driver_does_not_export_is_what_runs() {
    let bench = Bench::new();
    let folder = driver(&bench);
    let program = bench.compile("lookup_alloc", "lookup_alloc", &["-ldl"]);
    let output = run(bench.traced(program).env("LD_LIBRARY_PATH", folder));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "20 2000 3000\n");
    let trace = bench.trace();
    let seen: Vec<_> =
        trace.events("alloc").iter().map(|event| (event["ptr"].clone(), event["size"].clone())).collect();
    assert_eq!(seen, [("0x20".into(), 256.into()), ("0x2000".into(), 4096.into()), ("0x3000".into(), 8192.into())]);
}
