use crate::{MIB, bench, make, readings, resident, steps, traced};
use kvtrace_tests::{Trace, have, run, skip};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::Path;

const SIZE: u64 = 32 * MIB;

/// The readings of the one file: at its opening and at the last query.
fn grown(trace: &Trace, path: &Path) -> (u64, u64) {
    let opened = trace.events("weights");
    assert_eq!(opened.len(), 1, "{opened:?}");
    let size = std::fs::metadata(path).unwrap().len();
    assert_eq!((&opened[0]["size"], &opened[0]["id"]), (&size.into(), &1.into()));
    let list = readings(trace, 1);
    let cached = |at: usize| list[at]["cached"].as_u64().unwrap();
    assert_eq!(list[0]["of"], opened[0]["n"]);
    (cached(0), cached(list.len() - 1))
}

fn near(bytes: u64, wanted: u64) {
    assert!(bytes.abs_diff(wanted) <= SIZE / 100, "{bytes} against {wanted}");
}

#[test]
fn what_is_read_or_mapped_is_in_the_page_cache_afterwards() {
    for (step, whole) in
        [("read", true), ("fopen", true), ("map", true), ("at", true), ("direct", false), ("open", false)]
    {
        let bench = bench();
        let path = bench.path("a.safetensors");
        make(&path, SIZE);
        let (trace, _) = traced(&bench, &["query", step, path.to_str().unwrap(), "query"]);
        let (before, after) = grown(&trace, &path);
        near(before, 0);
        near(after, if whole { SIZE } else { 0 });
        near(after, resident(&path));
        let event = trace.events("weights")[0];
        assert_eq!((&event["dtypes"]["BF16"], &event["tensors"]), (&SIZE.into(), &1.into()), "{step}");
        let function = if step == "at" {
            "openat"
        } else if step == "fopen" {
            "fopen"
        } else {
            "open"
        };
        assert_eq!((&event["fn"], event["path"].as_str()), (&function.into(), path.to_str()), "{step}");
        assert!(event["mod"].as_str().unwrap().ends_with("/steps"), "{event}");
        let direct = u64::from_str_radix(&event["flags"].as_str().unwrap()[2..], 16).unwrap() & libc::O_DIRECT as u64;
        assert_eq!(direct != 0, step == "direct");
    }
}

#[test]
fn other_languages_are_seen() {
    let bench = bench();
    let path = bench.path("a.safetensors");
    let file = path.to_str().unwrap().to_owned();
    make(&path, SIZE);
    if have("g++", "C++ streams") {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/weights/stream.cc");
        run(std::process::Command::new("g++").arg("-o").arg(bench.path("stream")).arg(source));
        run(bench.traced(bench.path("stream")).arg(&file));
        near(grown(&bench.trace(), &path).1, SIZE);
    }
    if have("python3", "Python's open") {
        let script = "import os,sys\nwith open(sys.argv[1],'rb') as f:\n while f.read(1<<20): pass\n\
                      os.sysconf('SC_AVPHYS_PAGES')";
        cool_and_clear(&bench, &path);
        run(bench.traced("python3").args(["-c", script, &file]));
        near(grown(&bench.trace(), &path).1, SIZE);
        let mapped = "import mmap,os,sys\nf=open(sys.argv[1],'rb')\nm=mmap.mmap(f.fileno(),0,prot=mmap.PROT_READ)\n\
                      sum(m[i] for i in range(0,len(m),4096))\nos.sysconf('SC_AVPHYS_PAGES')";
        cool_and_clear(&bench, &path);
        run(bench.traced("python3").args(["-c", mapped, &file]));
        let trace = bench.trace();
        near(grown(&trace, &path).1, SIZE);
        assert_eq!(trace.events("use").iter().filter(|event| event["how"] == "mmap").count(), 1);
    }
}

fn cool_and_clear(bench: &kvtrace_tests::Bench, path: &Path) {
    crate::cool(path);
    let _ = std::fs::remove_dir_all(bench.path("trace"));
}

/// The real library, in a virtual environment if there is one.
#[test]
fn the_safetensors_library_is_seen() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/safetensors-venv/bin/python3");
    let python = if own.exists() { own } else { "python3".into() };
    let script = "import os,sys\nfrom safetensors import safe_open\nf=safe_open(sys.argv[1],'np')\n\
                  [f.get_tensor(k) for k in f.keys()]\nos.sysconf('SC_AVPHYS_PAGES')";
    let there = std::process::Command::new(&python).args(["-c", "import safetensors, numpy"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        return skip(
            "the safetensors library: python3 -m venv target/safetensors-venv && \
             target/safetensors-venv/bin/pip install safetensors numpy",
        );
    }
    let bench = bench();
    let path = bench.path("a.safetensors");
    make_of(&path, "F16");
    run(bench.traced(&python).args(["-c", script]).arg(&path));
    let trace = bench.trace();
    near(grown(&trace, &path).1, SIZE);
    assert_eq!(trace.events("weights")[0]["dtypes"]["F16"], SIZE);
    assert!(trace.events("use").iter().any(|event| event["how"] == "mmap"), "{:?}", trace.events("use"));
}

/// numpy knows no BF16.
fn make_of(path: &Path, dtype: &str) {
    make(path, SIZE);
    let bytes = std::fs::read(path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = String::from_utf8(bytes[8..8 + length].to_vec()).unwrap().replace("BF16", dtype);
    let mut content = (header.len() as u64).to_le_bytes().to_vec();
    content.extend_from_slice(header.as_bytes());
    content.extend_from_slice(&bytes[8 + length..]);
    std::fs::write(path, content).unwrap();
    crate::cool(path);
}

#[test]
fn a_relative_path_is_told_whole() {
    let bench = bench();
    std::fs::DirBuilder::new().mode(0o755).create(bench.path("deep")).unwrap();
    make(&bench.path("deep/a.safetensors"), MIB);
    let (trace, _) = traced(&bench, &["chdir", "deep", "open", "a.safetensors", "chdir", "/", "query", "query"]);
    let event = trace.events("weights")[0];
    assert_eq!(event["path"].as_str(), bench.path("deep/a.safetensors").to_str());
    assert!(readings(&trace, 1).len() >= 2, "the path leads to it from everywhere");
}

/// As in the cache of Hugging Face: the name that is opened has the ending, the file has none.
#[test]
fn a_link_is_followed_and_two_names_are_one_file() {
    let bench = bench();
    for folder in ["blobs", "snapshots"] {
        std::fs::create_dir(bench.path(folder)).unwrap();
    }
    let blob = bench.path("blobs/0a1b2c");
    make(&blob, SIZE);
    std::fs::write(bench.path("blobs/c0ffee"), "{\"model_type\": \"llama\"}").unwrap();
    symlink("../blobs/0a1b2c", bench.path("snapshots/model-00001-of-00001.safetensors")).unwrap();
    symlink("../blobs/c0ffee", bench.path("snapshots/config.json")).unwrap();
    std::fs::hard_link(&blob, bench.path("other.gguf")).unwrap();
    let name = "snapshots/model-00001-of-00001.safetensors";
    let (trace, _) = traced(&bench, &["query", "read", name, "open", "other.gguf", "open", "blobs/0a1b2c", "query"]);
    near(grown(&trace, &blob).1, SIZE);
    let event = trace.events("weights")[0];
    assert_eq!(event["path"].as_str(), bench.path(name).to_str());
    let uses = trace.events("use");
    assert_eq!(uses.len(), 1, "the name without the ending is nobody's: {uses:?}");
    assert_eq!((&uses[0]["how"], &uses[0]["id"]), (&"open".into(), &1.into()));
    let config = trace.events("config")[0];
    assert_eq!(config["text"], "{\"model_type\":\"llama\"}");
    assert_eq!(config["path"].as_str(), bench.path("snapshots/config.json").to_str());
}

#[test]
fn uses_are_told_with_their_range() {
    let bench = bench();
    make(&bench.path("a.safetensors"), MIB);
    let (trace, _) = traced(&bench, &["query", "map", "a.safetensors", "advise", "a.safetensors"]);
    let size = std::fs::metadata(bench.path("a.safetensors")).unwrap().len();
    let told: Vec<_> = trace
        .events("use")
        .into_iter()
        .map(|event| (event["how"].clone(), event["at"].clone(), event["size"].clone(), event["advice"].clone()))
        .collect();
    let told_of = |how: &str| told.iter().find(|(told, ..)| told == how).unwrap_or_else(|| panic!("{how}: {told:?}"));
    assert_eq!(told_of("mmap"), &("mmap".into(), 0.into(), size.into(), "0x2".into()));
    assert_eq!(told_of("madvise"), &("madvise".into(), 0.into(), size.into(), "sequential".into()));
    assert_eq!(told_of("fadvise"), &("fadvise".into(), 4096.into(), 8192.into(), "willneed".into()));
    assert_eq!(told_of("open").3, "0x0");
}

/// Memory that lies where a file was mapped is not the file.
#[test]
fn advice_about_other_memory_is_not_told() {
    let bench = bench();
    make(&bench.path("a.safetensors"), MIB);
    let (trace, _) = traced(&bench, &["query", "stale", "a.safetensors"]);
    let uses = trace.events("use");
    assert!(uses.iter().all(|event| event["how"] == "mmap") && uses.len() == 1, "{uses:?}");
}

/// A child tells of what it opens itself, and of nothing that its parent did.
#[test]
fn a_forked_child_has_files_of_its_own() {
    let bench = bench();
    make(&bench.path("a.safetensors"), MIB);
    make(&bench.path("b.safetensors"), MIB);
    let steps = ["read", "a.safetensors", "query", "fork", "read", "b.safetensors", "query"];
    let (trace, _) = traced(&bench, &steps);
    assert_eq!(trace.files.len(), 2);
    for file in &trace.files {
        let child = file.lines[0]["forked_from"] != 0;
        let opened: Vec<_> = file.lines.iter().filter(|line| line["ev"] == "weights").collect();
        assert_eq!(opened.len(), 1, "{opened:?}");
        let name = opened[0]["path"].as_str().unwrap();
        assert!(name.ends_with(if child { "/b.safetensors" } else { "/a.safetensors" }), "{name}");
        assert_eq!(opened[0]["id"], 1);
    }
}

#[test]
fn a_file_that_cannot_be_read_is_not_told() {
    let bench = bench();
    let path = bench.path("a.safetensors");
    make(&path, MIB);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    let command = steps(&bench);
    let mut arguments: Vec<&str> = Vec::new();
    // SAFETY: takes nothing.
    let is_root = unsafe { libc::geteuid() } == 0;
    if is_root {
        if !have("setpriv", "a file without permission") {
            return;
        }
        std::fs::set_permissions(bench.path(""), std::fs::Permissions::from_mode(0o777)).unwrap();
        arguments = vec!["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    }
    let mut traced = if is_root { bench.traced("setpriv") } else { bench.traced(&command) };
    if is_root {
        traced.args(arguments).arg(&command);
    }
    let output = run(traced.args(["fail", "a.safetensors", "fail", "missing.safetensors", "query"]));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "-1 13\n-1 2\n");
    assert_eq!(bench.trace().events("weights").len(), 0);
}
