//! What explains an answer: who asked, the machine beside the query, facts, the timeline, and what else differs.

mod support;

use kvtrace_trace::record;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{File, More, Scenario, TOTAL, kvtrace, write};

const GIB: u64 = 1 << 30;
/// Query B of `support::write`.
const QUERY_B: u64 = 16;
const UTIL: &str = "/usr/lib/python3.12/site-packages/tensorrt_llm/_torch/pyexecutor/_util.py";

impl More {
    /// The stack of query B, two groups above, zones, and NVML's list.
    fn machine(&mut self) {
        let frame =
            |file: &str, line: u32, func: &str| format!("{{\"file\":\"{file}\",\"line\":{line},\"func\":\"{func}\"}}");
        let frames = [
            frame("/usr/lib/python3.12/site-packages/torch/cuda/memory.py", 712, "mem_get_info"),
            frame(UTIL, 123, "KvCacheCreator.configure_kv_cache_capacity"),
            frame("/usr/lib/python3.12/site-packages/tensorrt_llm/llmapi/llm.py", 88, "LLM.__init__"),
            frame("/srv/serve.py", 9, "<module>"),
        ];
        self.raw("stack", &format!("\"of\":{QUERY_B},\"python\":\"3.12\",\"frames\":[{}]", frames.join(",")));
        for (zone, free, high, blocks) in [("DMA32", GIB, GIB / 64, GIB), ("Normal", 94 * GIB, GIB / 8, 90 * GIB)] {
            self.raw(
                "zone",
                &format!(
                    "\"of\":{QUERY_B},\"node\":0,\"zone\":\"{zone}\",\
                     \"figures\":{{\"free\":{free},\"high\":{high},\"blocks\":{blocks},\"cma_free\":0}}"
                ),
            );
        }
        for (level, path, max) in [(1, "/sys/fs/cgroup/docker", 100 * GIB), (2, "/sys/fs/cgroup", 200 * GIB)] {
            self.raw(
                "group",
                &format!(
                    "\"of\":{QUERY_B},\"level\":{level},\"version\":2,\"path\":\"{path}\",\
                     \"figures\":{{\"max\":{max},\"current\":{}}}",
                    20 * GIB
                ),
            );
        }
        let (own, others) = (15 * GIB, GIB);
        self.raw(
            "usage",
            &format!("\"of\":{QUERY_B},\"nvml\":0,\"uuid\":\"GPU-1\",\"count\":2,\"own\":{own},\"others\":{others}"),
        );
    }

    fn facts(&mut self, kernel: &str) {
        self.fact("kernel.release", "/proc/sys/kernel/osrelease", kernel);
        self.fact("kernel.cmdline", "/proc/cmdline", "root=/dev/nvme0n1p2 quiet kho=off hugepages=4");
        self.fact("thp.enabled", "/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never");
        self.fact("swaps", "/proc/swaps", "Filename Type Size Used Priority");
        let version = "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  580.95.05";
        self.fact("nvidia.version", "/proc/driver/nvidia/version", version);
        let params = "EnableMSI: 1\nCoherentGPUMemoryMode: \"driver\"\nRegistryDwords: \"\"";
        self.fact("nvidia.params", "/proc/driver/nvidia/params", params);
        self.fact("marker.dockerenv", "/.dockerenv", "present");
        self.fact("mount.root", "/proc/self/mountinfo", "/ / rw,relatime overlay rw,lowerdir=/l");
        self.fact("ns.pid", "/proc/self/ns/pid", "pid:[4026532777]");
        self.fact("ns.user", "/proc/self/ns/user", "user:[4026531837]");
        self.fact("status.Seccomp", "/proc/self/status", "2");
        self.missing("blocks", "/proc/buddyinfo", "EACCES");
        for name in ["bios_date", "bios_version"] {
            self.missing(&format!("dmi.{name}"), &format!("/sys/class/dmi/id/{name}"), "ENOENT");
        }
    }
}

fn show(home: &Path, arguments: &[&str]) -> String {
    let (code, out, error) = kvtrace(home, &[&["show", "run"], arguments].concat());
    assert_eq!((code, error.as_str()), (0, ""));
    out
}

fn json(home: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&show(home, &[arguments, &["--format", "json"]].concat())).unwrap()
}

fn explained() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    write(&Scenario::default(), &home.path().join("run"));
    let mut more = More::to(&home.path().join("run"));
    more.machine();
    more.facts("6.17.0-1031-nvidia");
    home
}

#[test]
fn the_deciding_query_is_explained() {
    let home = explained();
    insta::assert_snapshot!("explain_table", show(home.path(), &[]));
    insta::assert_snapshot!("explain_all", show(home.path(), &["--all"]));
    let scene = &json(home.path(), &[])["scenes"][0];
    assert_eq!(scene["evidence"], "4242:16");
    assert_eq!(scene["asked"]["line"]["line"], 123);
    assert_eq!(scene["asked"]["stack"].as_array().unwrap().len(), 4);
    let figure = |name: &str| scene["figures"].as_array().unwrap().iter().find(|figure| figure["name"] == name);
    let free = TOTAL - 6 * GIB - 3 * GIB - GIB / 4 - GIB / 2 - 14 * GIB - 8224 * 57_344;
    assert_eq!(figure("GPU free").unwrap()["value"], free);
    assert_eq!(figure("MemAvailable").unwrap()["difference_bytes"], 6 * GIB * 9 / 10);
    assert_eq!(figure("  room in an ancestor").unwrap()["value"], 80 * GIB);
    assert_eq!(figure("zone reserves").unwrap()["value"], GIB / 8 + GIB / 64);
    assert_eq!(figure("NVML: this process").unwrap()["value"], 15 * GIB);
    // Everything is in a line but what the device holds; NVML lists more than the trace knows.
    let residual = &scene["residual"];
    assert_eq!(residual["bytes"], 14 * GIB + 8224 * 57_344);
    assert_eq!(residual["compared"]["traced_bytes"], 14 * GIB + 8224 * 57_344);
    assert_eq!(residual["compared"]["nvml_bytes"], 16 * GIB);
    assert_eq!(residual["compared"]["left_bytes"], -(2 * GIB as i64) + 8224 * 57_344);
}

#[test]
fn any_query_can_be_asked_for_and_lacks_its_view_aloud() {
    let home = tempfile::tempdir().unwrap();
    let mut program = File::new(4242, 1, "program", "spark", "", "0::/\n", &[b"/bin/x"]);
    program.query(&Scenario::default(), 5 * GIB, GIB);
    let n = program.call("query", "cuMemGetInfo", "driver", b"/opt/libx.so", |line| {
        line.i64("dev", 0).u64("free", 4 * GIB).u64("total", TOTAL);
    });
    program.save(&home.path().join("run"));
    let (code, out, _) = kvtrace(home.path(), &["show", "run", "--query", &format!("4242:{n}")]);
    assert_eq!(code, 3);
    assert!(out.contains("the figures of the machine are 2.0 ms older"), "{out}");
    assert!(out.contains(&format!("Query 4242:{n} was asked by libx.so+0x1f40.")), "{out}");
    let (code, _, error) = kvtrace(home.path(), &["show", "run", "--query", "4242:999"]);
    assert_eq!(code, 2);
    assert!(error.contains("no query 4242:999") && error.contains("\nhint: "), "{error}");
}

#[test]
fn no_difference_to_another_memory() {
    for (device, integrated) in [("NVIDIA H100", false), ("kvtrace simulated GB10", true)] {
        let home = tempfile::tempdir().unwrap();
        write(&Scenario { device, integrated, ..Scenario::default() }, &home.path().join("run"));
        let scene = &json(home.path(), &[])["scenes"][0];
        let free = scene["figures"].as_array().unwrap().iter().find(|figure| figure["name"] == "MemFree").unwrap();
        // The simulated GB10 is as large as this machine, and stands for it.
        assert_eq!(free["difference_bytes"].is_null(), !integrated);
        assert_eq!(scene["residual"]["compared"].is_null(), !integrated);
        assert_eq!(scene["residual"]["not_compared"].is_string(), !integrated);
    }
}

#[test]
fn a_stack_of_hostile_names_is_escaped() {
    let home = tempfile::tempdir().unwrap();
    write(&Scenario::default(), &home.path().join("run"));
    let mut more = More::to(&home.path().join("run"));
    let frame = "{\"file\":\"/a\\u001b[31m/|b.py\",\"line\":4294967295,\"func\":\"f\\n\\u202e<b>\"}";
    more.raw("stack", &format!("\"of\":{QUERY_B},\"python\":\"3.12\",\"frames\":[{frame}]"));
    more.fact("kernel.release", "", "\u{1b}]0;x\u{7}");
    for format in ["table", "markdown"] {
        let out = show(home.path(), &["--all", "--format", format]);
        assert!(!out.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{out}");
        assert!(format != "markdown" || !out.contains("<b>"), "{out}");
    }
}

#[test]
fn samples_become_a_timeline() {
    let home = explained();
    let mut launcher = File::new(4300, 1, "launcher", "spark", "", "0::/x\n", &[b"/usr/bin/kvtrace", b"run"]);
    for step in 0..20u64 {
        launcher.line(|line, stamp| {
            let meminfo = [("MemFree", 90 * GIB - step * GIB), ("Cached", step * GIB), ("Buffers", 0)];
            record::begin(line, "sample", stamp);
            line.numbers("meminfo", meminfo.iter().map(|(name, value)| (name.as_bytes(), *value)));
            line.u64("processes", 2).numbers("self", [(b"rss_anon".as_slice(), GIB)].into_iter());
        });
        launcher.line(|line, stamp| {
            record::begin(line, "cached", stamp).u64("of", 0).text("group", b"/models/x").u64("files", 3);
            line.u64("size", 20 * GIB).u64("cached", step * GIB).text("by", b"cachestat");
        });
    }
    launcher.save(&home.path().join("run"));
    let out = show(home.path(), &[]);
    let timeline = out.split("\n\n").find(|section| section.starts_with("Timeline")).unwrap();
    insta::assert_snapshot!("explain_timeline", timeline);
    let shown = json(home.path(), &[]);
    assert_eq!(shown["timeline"]["all"].as_array().unwrap().len(), 20);
    assert_eq!(shown["timeline"]["all"][19]["named_files"]["/models/x"]["cached_bytes"], 19 * GIB);
}

#[test]
fn only_what_differs_is_listed() {
    let home = tempfile::tempdir().unwrap();
    for (name, kernel, library) in [("a", "6.17.0-1031-nvidia", "580.95.05"), ("b", "7.0.0-1019-nvidia", "610.43.02")] {
        let run = home.path().join(name);
        write(&Scenario::default(), &run);
        let mut more = More::to(&run);
        more.facts(kernel);
        more.fact("kernel.uptime", "/proc/uptime", &format!("{}.5 1", kernel.len() * 100));
        let file = format!("/usr/lib/libcuda.so.{library}");
        let id = if name == "a" { "aa".repeat(20) } else { "bb".repeat(20) };
        more.raw(
            "module",
            &format!(
                "\"base\":\"0x1000\",\"end\":\"0x2000\",\"path\":\"/usr/lib/libcuda.so.1\",\
                 \"file\":\"{file}\",\"build_id\":\"{id}\""
            ),
        );
    }
    let (code, out, _) = kvtrace(home.path(), &["diff", "a", "b"]);
    assert_eq!(code, 0);
    let section = out.split("\n\n").find(|section| section.starts_with("What else differs")).unwrap();
    insta::assert_snapshot!("explain_differs", section);
    let (_, out, _) = kvtrace(home.path(), &["diff", "a", "a"]);
    assert!(!out.contains("What else differs"), "{out}");
}

/// A library with one function, its build id and where a call at the function's very end returns to.
fn library(folder: &Path) -> Option<(PathBuf, String, u64)> {
    use object::{Object, ObjectSymbol};
    let (source, path) = (folder.join("ask.c"), folder.join("libask.so"));
    let text = "int _ZN2at4cuda7memFreeEv(int x) {\n  return x * 3;\n}\nint next(void) { return 1; }\n";
    std::fs::write(&source, text).unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-g", "-O1", "-Wl,--build-id=sha1", "-o"]);
    let built = cc.arg(&path).arg(&source).status();
    if !built.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no C compiler");
        return None;
    }
    let data = std::fs::read(&path).unwrap();
    let file = object::File::parse(&*data).unwrap();
    let id = file.build_id().unwrap().unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    let symbol = file.symbols().find(|symbol| symbol.name() == Ok("_ZN2at4cuda7memFreeEv")).unwrap();
    Some((path, id, symbol.address() + symbol.size()))
}

#[test]
fn native_callers_have_names_if_the_file_is_the_one_that_was_traced() {
    let home = tempfile::tempdir().unwrap();
    let Some((path, id, end)) = library(home.path()) else { return };
    let native = |path: &str, id: &str, arguments: &[&str]| {
        let run = home.path().join("run");
        let _ = std::fs::remove_dir_all(&run);
        let mut program = File::new(4242, 1, "program", "spark", "", "0::/\n", &[b"/bin/x"]);
        program.line(|line, stamp| {
            record::begin(line, "query", stamp);
            let module = path.as_bytes();
            let (name, layer) = ("cuMemGetInfo", "driver");
            record::call(line, &record::Call { name, layer, depth: 0, rc: 0, dur: 1, module, offset: end });
            line.i64("dev", 0).u64("free", GIB).u64("total", TOTAL);
        });
        program.line(|line, stamp| {
            record::begin(line, "module", stamp).hex("base", 0x1000).hex("end", 0x9000);
            line.text("path", path.as_bytes()).text("build_id", id.as_bytes());
        });
        program.save(&run);
        let begin = std::time::Instant::now();
        let arguments = [&["show", "run", "--format", "json"], arguments].concat();
        let (code, out, _) = kvtrace(home.path(), &arguments);
        assert_eq!(code, 3);
        assert!(begin.elapsed().as_secs() < 60, "it waits for something");
        let show: Value = serde_json::from_str(&out).unwrap();
        show["scenes"][0]["asked"]["native"].clone()
    };
    let there = path.to_str().unwrap();
    let found = native(there, &id, &[]);
    assert_eq!(found["function"], "at::cuda::memFree()");
    assert!(found["file"].as_str().unwrap().ends_with("ask.c"), "{found}");
    assert!(found["line"].as_u64().is_some_and(|line| (1..=3).contains(&line)), "{found}");

    let why = |path: &str, id: &str| {
        let found = native(path, id, &[]);
        assert!(found["function"].is_null(), "{found}");
        found["unknown"].as_str().unwrap().to_owned()
    };
    assert_eq!(why(there, &"00".repeat(20)), "the file has another build id");
    assert_eq!(why("/nowhere/libask.so", &id), "the file is not on this machine");
    assert!(why(there, "").contains("no build id"));
    assert!(why(there, "../../../etc").contains("no proper build id"));
    assert!(why("/dev/zero", &id).contains("no library"));
    assert!(why("/proc/kmsg", &id).contains("no library"));
    let fifo = home.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    assert!(why(fifo.to_str().unwrap(), &id).contains("no library"));

    // In a container's root, and stripped with the debug file elsewhere.
    let (root, debug) = (home.path().join("root"), home.path().join("debug"));
    std::fs::create_dir_all(root.join("opt")).unwrap();
    std::fs::copy(&path, root.join("opt/libask.so")).unwrap();
    let found = native("/opt/libask.so", &id, &["--sysroot", root.to_str().unwrap()]);
    assert_eq!(found["function"], "at::cuda::memFree()");
    let folder = debug.join(".build-id").join(&id[..2]);
    std::fs::create_dir_all(&folder).unwrap();
    let tool = |name: &str, option: &str, from: &Path, to: &Path| {
        Command::new(name).arg(option).arg(from).arg(to).status().is_ok_and(|status| status.success())
    };
    if !tool("objcopy", "--only-keep-debug", &path, &folder.join(format!("{}.debug", &id[2..]))) {
        eprintln!("skipped: no objcopy");
        return;
    }
    let found = native("/opt/libask.so", &id, &["--debug-dir", debug.to_str().unwrap()]);
    assert_eq!(found["function"], "at::cuda::memFree()");
    assert!(found["line"].is_u64(), "{found}");
}

#[test]
fn a_damaged_library_of_the_right_build_id_does_no_harm() {
    let home = tempfile::tempdir().unwrap();
    let Some((path, id, _)) = library(home.path()) else { return };
    let whole = std::fs::read(&path).unwrap();
    let run = home.path().join("run");
    let mut program = File::new(4242, 1, "program", "spark", "", "0::/\n", &[b"/bin/x"]);
    for offset in [0, 1, 0x1101, u64::MAX] {
        let module = path.to_str().unwrap().as_bytes();
        program.line(|line, stamp| {
            record::begin(line, "query", stamp);
            let (name, layer) = ("cuMemGetInfo", "driver");
            record::call(line, &record::Call { name, layer, depth: 0, rc: 0, dur: 1, module, offset });
            line.i64("dev", 0).u64("free", GIB).u64("total", TOTAL);
        });
    }
    program.line(|line, stamp| {
        record::begin(line, "module", stamp).hex("base", 0x1000).hex("end", 0x9000);
        line.text("path", path.to_str().unwrap().as_bytes()).text("build_id", id.as_bytes());
    });
    program.save(&run);
    for seed in 0..40usize {
        let mut bytes = whole.clone();
        // Behind the headers and the build id, which would only have the file refused.
        for step in 0..64 {
            let at = 0x1000 + (seed * 7919 + step * 104_729) % (bytes.len() - 0x1000);
            bytes[at] ^= (seed as u8).wrapping_mul(31).wrapping_add(step as u8) | 1;
        }
        if seed % 4 == 0 {
            bytes.truncate(whole.len() - seed * 100 - 1);
        }
        std::fs::write(&path, bytes).unwrap();
        let (code, _, error) = kvtrace(home.path(), &["show", "run"]);
        assert_eq!(code, 3, "{seed}: {error}");
    }
}
