use crate::{Changed, GIB, MIB, asked, changes};
use kvtrace_tests::{Bench, have, run};
use std::process::Command;

#[test]
fn every_way_to_open_meminfo_reads_the_figure() {
    let bench = Bench::new();
    for way in ["fopen", "freopen", "open", "openat"] {
        let found = asked(&bench, "h100-80", "meminfo:MemFree=3GiB;meminfo:MemTotal=-1GiB", &[way]);
        let changes = changes(&found.trace);
        let of = |field: &str| changes.iter().find(|(_, changed)| changed.field == field).unwrap().1.clone();
        let (free, total) = (of("MemFree"), of("MemTotal"));
        assert_eq!((free.told, total.told), (3 * GIB, total.real - GIB), "{way}");
        assert_eq!(found.answers, [(way.to_owned(), free.told, total.told)]);
    }
}

/// The rest of the file is the kernel's, byte for byte.
#[test]
fn only_the_named_lines_differ() {
    let bench = Bench::new();
    let found = asked(&bench, "h100-80", "meminfo:MemAvailable=2GiB;meminfo:HugePages_Total=0", &["cat:/proc/meminfo"]);
    let real = std::fs::read_to_string("/proc/meminfo").unwrap();
    let (told, real): (Vec<&str>, Vec<&str>) = (found.text.lines().collect(), real.lines().collect());
    assert_eq!(told.len(), real.len());
    for (told, real) in told.iter().zip(real) {
        // Other figures move while the test runs; their form does not.
        let (key, rest) = told.split_once(':').unwrap();
        let (real_key, real_rest) = real.split_once(':').unwrap();
        assert_eq!(key, real_key);
        let form = |text: &str| (text.ends_with(" kB"), text.len());
        assert_eq!(form(rest), form(real_rest), "{told}");
    }
    assert!(found.text.contains("MemAvailable:    2097152 kB\n"), "{}", found.text);
}

/// A program finds the descriptor that it would have found.
#[test]
fn the_descriptor_is_as_the_kernels_would_be() {
    let bench = Bench::new();
    let found = asked(&bench, "gb10", "meminfo:MemFree=1GiB", &["again"]);
    assert_eq!(found.text, "again lowest 1 same 1 read-only 1 flags 1 cloexec 1 0 writes -1\n");
}

#[test]
fn no_line_is_raised_above_what_there_is() {
    let bench = Bench::new();
    let found = asked(&bench, "h100-80", "meminfo:MemAvailable=900GiB;meminfo:Cached=900GiB", &["fopen"]);
    for (_, changed) in changes(&found.trace) {
        assert_eq!((changed.told, changed.wanted), (changed.real, Some(900 * GIB)), "{changed:?}");
    }
    let found = asked(&bench, "h100-80", "meminfo:MemAvailable=900GiB;i-know", &["fopen"]);
    assert_eq!(changes(&found.trace)[0].1.told, 900 * GIB);
}

/// The file that holds this process's limit or use, whichever version of control groups there is.
fn cgroup_file() -> Option<(String, &'static str)> {
    let candidates = ["memory.limit_in_bytes", "memory.max", "memory.current", "memory.usage_in_bytes"];
    let places = ["/sys/fs/cgroup", "/sys/fs/cgroup/memory"];
    let all = places.iter().flat_map(|place| candidates.map(|name| (format!("{place}/{name}"), name)));
    all.into_iter().find(|(path, _)| std::fs::read_to_string(path).is_ok())
}

#[test]
fn a_control_group_may_be_said_to_have_no_limit() {
    let Some((path, name)) = cgroup_file() else {
        return kvtrace_tests::skip("patched control groups: no file of one can be read");
    };
    let bench = Bench::new();
    let way = format!("cat:{path}");
    let found = asked(&bench, "h100-80", &format!("cgroup:{name}=max"), &[&way]);
    assert_eq!(found.text, "max\n");
    let found = asked(&bench, "h100-80", &format!("cgroup:{name}=8GiB"), &[&way]);
    assert_eq!(found.text, format!("{}\n", 8 * GIB));
    let (_, Changed { field, told, .. }) = &changes(&found.trace)[0];
    assert_eq!((field.as_str(), *told), (name, 8 * GIB));
    let other = asked(&bench, "h100-80", "cgroup:memory.none=max", &[&way]);
    assert_eq!((changes(&other.trace).len(), other.text), (0, std::fs::read_to_string(&path).unwrap()));
}

/// A reader in a language: prints MemAvailable and MemTotal in KiB, read twice through one descriptor if it can.
fn reads(bench: &Bench, what: &str, mut reader: Command) {
    reader.env("LD_PRELOAD", kvtrace_tests::kit("lib/libkvtrace.so")).env("KVTRACE_OUT", bench.path("trace"));
    reader.env("KVTRACE_PATCH", "meminfo:MemAvailable=2GiB;meminfo:MemTotal=-512MiB;sysinfo:free=1GiB");
    let output = String::from_utf8(run(&mut reader).stdout).unwrap();
    let real = std::fs::read_to_string("/proc/meminfo").unwrap();
    let total: u64 = real.split_whitespace().nth(1).unwrap().parse().unwrap();
    let expected = format!("{} {}", (2 * GIB) >> 10, total - ((512 * MIB) >> 10));
    for line in output.lines() {
        assert_eq!(line, expected, "{what}: {output}");
    }
    assert!(!output.is_empty(), "{what}");
    let _ = std::fs::remove_dir_all(bench.path("trace"));
}

fn source(bench: &Bench, name: &str, text: &str) -> std::path::PathBuf {
    std::fs::write(bench.path(name), text).unwrap();
    bench.path(name)
}

#[test]
fn cpp_streams_read_it() {
    let bench = Bench::new();
    if !have("g++", "patched files in C++") {
        return;
    }
    let text = "#include <fstream>\n#include <iostream>\n#include <string>\n\
        int main() { std::ifstream file(\"/proc/meminfo\");\n\
        for (int turn = 0; turn < 2; turn++) { std::string key; long value, available = 0, total = 0;\n\
        file.clear(); file.seekg(0);\n\
        while (file >> key >> value) { if (key == \"MemAvailable:\") available = value; if (key == \"MemTotal:\") total = value;\n\
        std::getline(file, key); }\n\
        std::cout << available << ' ' << total << std::endl; } }\n";
    let binary = bench.path("reader");
    run(Command::new("g++").arg("-o").arg(&binary).arg(source(&bench, "reader.cc", text)));
    reads(&bench, "C++", Command::new(binary));
}

#[test]
fn rust_reads_it() {
    let bench = Bench::new();
    if !have("rustc", "patched files in Rust") {
        return;
    }
    let text = "use std::io::{Read, Seek};\nfn main() { let mut file = std::fs::File::open(\"/proc/meminfo\").unwrap();\n\
        for _ in 0..2 { let mut text = String::new(); file.rewind().unwrap(); file.read_to_string(&mut text).unwrap();\n\
        let of = |key: &str| text.lines().find(|l| l.starts_with(key)).unwrap().split_whitespace().nth(1).unwrap().to_owned();\n\
        println!(\"{} {}\", of(\"MemAvailable:\"), of(\"MemTotal:\")); } }\n";
    run(Command::new("rustc").arg("-o").arg(bench.path("reader")).arg(source(&bench, "reader.rs", text)));
    reads(&bench, "Rust", Command::new(bench.path("reader")));
}

#[test]
fn python_and_psutil_read_it() {
    let bench = Bench::new();
    if !have("python3", "patched files in Python") {
        return;
    }
    let script = "f=open('/proc/meminfo')\n\
        for turn in range(2):\n f.seek(0); d={l.split(':')[0]:l.split()[1] for l in f}\n print(d['MemAvailable'], d['MemTotal'])";
    let mut reader = Command::new("python3");
    reader.args(["-c", script]);
    reads(&bench, "Python", reader);
    // Its own virtual environment, if the package can be had.
    let venv = bench.path("venv");
    let install = || {
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv));
        Command::new(venv.join("bin/pip"))
            .args(["install", "-q", "psutil"])
            .output()
            .is_ok_and(|got| got.status.success())
    };
    if !install() {
        return kvtrace_tests::skip("patched files in psutil: it cannot be installed");
    }
    let mut reader = Command::new(venv.join("bin/python"));
    reader.args(["-c", "import psutil; m=psutil.virtual_memory(); print(m.available >> 10, m.total >> 10)"]);
    reads(&bench, "psutil", reader);
}

#[test]
fn java_reads_it() {
    let bench = Bench::new();
    if !have("javac", "patched files in Java") || !have("java", "patched files in Java") {
        return;
    }
    let text = "import java.nio.file.*;\npublic class Reader { public static void main(String[] a) throws Exception {\n\
        long available = 0, total = 0;\n\
        for (String line : Files.readAllLines(Path.of(\"/proc/meminfo\"))) { String[] w = line.split(\"\\\\s+\");\n\
        if (w[0].equals(\"MemAvailable:\")) available = Long.parseLong(w[1]);\n\
        if (w[0].equals(\"MemTotal:\")) total = Long.parseLong(w[1]); }\n\
        System.out.println(available + \" \" + total); } }\n";
    source(&bench, "Reader.java", text);
    run(Command::new("javac").arg("-d").arg(bench.path("")).arg(bench.path("Reader.java")));
    let mut reader = Command::new("java");
    reader.arg("-cp").arg(bench.path("")).arg("Reader");
    reads(&bench, "Java", reader);
}

/// Shells and the tools of a machine.
#[test]
fn tools_read_it() {
    let bench = Bench::new();
    let script = "set -- $(awk '/^Mem(Available|Total):/ {print $2}' /proc/meminfo); echo $2 $1; \
        while read key value unit; do case $key in MemAvailable:) a=$value;; MemTotal:) t=$value;; esac; \
        done </proc/meminfo; echo $a $t; \
        echo $(grep MemAvailable: /proc/meminfo | tr -dc 0-9) $(cat /proc/meminfo | grep MemTotal: | tr -dc 0-9)";
    let mut reader = Command::new("sh");
    reader.args(["-c", script]);
    reads(&bench, "sh, awk, grep, cat", reader);
}

/// What a GPU's library reads on its way to an answer is the kernel's.
#[test]
fn a_driver_is_not_lied_to() {
    let bench = Bench::new();
    if !have("python3", "patched figures that a driver asks for") {
        return;
    }
    // What counts is the name of the module that asks.
    let script = "import ctypes,sys\nlibrary=ctypes.CDLL(sys.argv[1])\nways=[b'ask',b'fopen',b'sysinfo',b'sysconf']\n\
        library.asks(len(ways), (ctypes.c_char_p*len(ways))(*ways))";
    let names = [("libcuda.so.1", 0), ("libnvidia-ptxjitcompiler.so.1", 0), ("libcudart.so.12", 0), ("libx.so", 3)];
    for (name, changed) in names {
        let library = bench.compile("patch/ask", name, &["-shared", "-fPIC", "-Dmain=asks", "-ldl"]);
        let mut command = bench.traced("python3");
        command.env("KVTRACE_PATCH", "meminfo:MemFree=1GiB;sysinfo:free=1GiB").args(["-c", script]).arg(library);
        assert_eq!(changes(&crate::asked_by(&bench, &mut command).trace).len(), changed, "{name}");
    }
}
