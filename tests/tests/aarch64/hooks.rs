use crate::{Arm, alike};
use kvtrace_tests::{Bench, elf, hooks, kit, run};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Of this machine's preload, `hooks` shows that every row is exported and every export a row.
#[test]
fn it_exports_what_the_preload_of_this_machine_does() {
    let Some(arm) = Arm::new() else { return };
    let exports = |path: &Path| -> BTreeSet<(String, String, bool)> {
        elf::exports(path).into_iter().map(|export| (export.name, export.version, export.default)).collect()
    };
    let (ours, theirs) = (exports(&kit("lib/libkvtrace.so")), exports(Path::new(&arm.kit("lib/libkvtrace.so"))));
    assert_eq!(theirs, ours);
    assert!(ours.len() > 500, "{}", ours.len());
}

/// Every row of the table, told by the library itself to a program that opens it: the same as here.
#[test]
fn its_table_is_the_one_of_this_machine() {
    let Some(arm) = Arm::new() else { return };
    let program = arm.compile("aarch64/rows", "rows", &["-ldl"]);
    let told = String::from_utf8(run(arm.plain(program).arg(arm.kit("lib/libkvtrace.so"))).stdout).unwrap();
    let ours: Vec<String> = hooks::table()
        .into_iter()
        .map(|row| {
            let hooks::Row { symbol, name, layer, effect, arguments, major, versions, per_thread } = row;
            let numbers = format!("{major} {} {} {}", versions.0, versions.1, u32::from(per_thread));
            format!("{symbol}|{name}|{layer}|{effect}|{arguments}|{numbers}")
        })
        .collect();
    assert_eq!(told.lines().collect::<Vec<_>>(), ours);
}

#[test]
fn it_needs_libc_alone_and_has_no_panic() {
    let Some(arm) = Arm::new() else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/check-shim");
    run(Command::new(script).arg(arm.kit("lib/libkvtrace.so")));
}

/// With pages of this machine's size, and with those of most Arm servers.
#[test]
fn what_libc_answers_is_what_the_trace_says() {
    for page in [None, Some(65536)] {
        let Some(mut arm) = Arm::new() else { return };
        arm.page = page;
        let program = arm.compile("figures", "figures", &[]);
        let output = run(&mut arm.traced(program));
        let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
        let trace = arm.trace();
        let one = |function: &str| trace.calls("query", function)[0].clone();
        assert_eq!(one("sysinfo")["free"], printed["sysinfo_free"]);
        assert_eq!(one("sysinfo")["total"], printed["sysinfo_total"]);
        assert_eq!(one("get_avphys_pages")["free"], printed["avphys"]);
        assert_eq!(one("get_phys_pages")["total"], printed["phys"]);
        assert_eq!(trace.calls("query", "sysconf")[0]["free"], printed["sysconf_free"]);
        assert_eq!(trace.calls("query", "sysconf").len(), 2, "other names of sysconf are no memory query");
        assert_eq!(printed["errno"], 0);
        assert_eq!(trace.events("process")[0]["page"], page.unwrap_or(4096));
        assert_eq!(trace.events("view").len(), 5, "each question of its own has a view");
    }
}

/// `open` is variadic, some pointers are bad on purpose, and errno is the program's.
#[test]
fn files_and_limits_are_noted_and_nothing_changes() {
    let Some(arm) = Arm::new() else { return };
    let program = arm.compile("coexist/libcuser", "libcuser", &["-ldl"]);
    // It makes a file that must be new.
    let (plain, traced) = (arm.bench.path("plain"), arm.bench.path("traced"));
    for folder in [&plain, &traced] {
        std::fs::create_dir(folder).unwrap();
    }
    let told = alike(arm.plain(&program).current_dir(plain), arm.traced(&program).current_dir(traced));
    assert!(told.contains("MemTotal: mode 640\nmissing -1 errno 2\nbad -1 errno 14\n"), "{told}");
    assert_eq!(arm.trace().calls("file", "open").len(), 1);

    let program = arm.compile("limits", "limits", &[]);
    let told = alike(&mut arm.plain(&program), arm.traced(&program).env("KVTRACE_OUT", arm.bench.path("limited")));
    let noted = kvtrace_tests::Trace::read(&arm.bench.path("limited")).calls("call", "getrlimit").len();
    assert_eq!(noted, told.lines().count());
}

/// Functions that are only looked at get all their arguments, and the program that one of them starts its own.
#[test]
fn arguments_survive_the_look_at_them() {
    let Some(arm) = Arm::new() else { return };
    let program = arm.compile("aarch64/registers", "registers", &["-ldl"]);
    let told = run(arm.traced(program).args(["/bin/sh", "-c", "env; echo $0 $1", "one", "two"])).stdout;
    let told = String::from_utf8(told).unwrap();
    assert!(told.contains("ONLY=this\n") && told.ends_with("one two\n") && !told.contains("KVTRACE_OUT"), "{told}");
    let trace = arm.trace();
    assert_eq!(trace.calls("file", "open").len(), 2, "by freopen and openat; the trace names them after the plainest");
    assert_eq!(trace.events("exec")[0]["path"], "/bin/sh");
    assert_eq!(trace.calls("call", "getrlimit").len(), 2);
}

/// The caller of each event is the instruction behind a call of the program's.
#[test]
fn return_addresses_are_the_program_s() {
    let Some(arm) = Arm::new() else { return };
    let program = arm.compile("figures", "figures", &[]);
    run(&mut arm.traced(&program));
    let code = std::fs::read(&program).unwrap();
    let trace = arm.trace();
    let queries = trace.events("query");
    let mut seen = BTreeSet::new();
    for query in &queries {
        assert_eq!(query["mod"].as_str().unwrap(), program.to_str().unwrap());
        let offset = usize::from_str_radix(query["off"].as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
        let before = u32::from_le_bytes(code[offset - 4..offset].try_into().unwrap());
        assert_eq!(before >> 26, 0b10_0101, "not a bl at {offset:#x}: {before:#x}");
        seen.insert(offset);
    }
    assert_eq!((queries.len(), seen.len()), (5, 5));
}

/// Structures by value travel in other places than on x86-64; what the library gets and what the trace says is alike.
#[test]
fn structures_by_value_arrive_whole() {
    let Some(arm) = Arm::new() else { return };
    let versions = concat!("-Wl,--version-script=", env!("CARGO_MANIFEST_DIR"), "/programs/aarch64/runtime.map");
    let flags = ["-shared", "-fPIC", "-Wl,-soname,libcudart.so.13", versions];
    let library = arm.compile("aarch64/runtime", "libcudart.so.13", &flags);
    let program = arm.compile("aarch64/by_value", "by_value", &[library.to_str().unwrap()]);
    let folder = library.parent().unwrap();
    let mut plain = arm.plain(&program);
    let mut traced = arm.traced(&program);
    let told = alike(plain.env("LD_LIBRARY_PATH", folder), traced.env("LD_LIBRARY_PATH", folder));
    assert!(told.contains("3d 300 20 3\n"), "{told}");
    assert!(told.contains("ipc 64 1\n"), "{told}");
    assert!(told.contains("prefetch 0x7000 4096 1 -7 2 0x55\n"), "{told}");
    assert!(told.contains("batch 0x1 0x2 3 0x4 0x5 6 700000007 0x8\n"), "{told}");

    let here = Bench::new();
    let library = here.compile("aarch64/runtime", "libcudart.so.13", &flags);
    let program = here.compile("aarch64/by_value", "by_value", &[library.to_str().unwrap()]);
    run(here.traced(program).env("LD_LIBRARY_PATH", library.parent().unwrap()));
    let calls = |trace: kvtrace_tests::Trace| -> Vec<Vec<Value>> {
        let lines = trace.files.iter().flat_map(|file| &file.lines).filter(|line| line["layer"] == "runtime");
        let fields = ["ev", "fn", "rc", "kind", "dev", "size", "ptr"];
        lines.map(|line| fields.map(|field| line[field].clone()).to_vec()).collect()
    };
    let (ours, theirs) = (calls(here.trace()), calls(arm.trace()));
    assert_eq!(ours, theirs);
    assert_eq!(ours.len(), 6);
}
