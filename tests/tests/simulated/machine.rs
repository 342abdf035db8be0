use kvtrace_tests::{Bench, have, kit, run};
use serde_json::Value;

const MIB: i64 = 1 << 20;
/// Other programs take and give memory meanwhile, and a page is counted a moment later than it is taken.
const NOISE: i64 = 192 * MIB;

/// Asks in every way that programs have, before and behind an allocation on the device and the reading of a file.
const ASKS: &str = r#"
import ctypes, json, os, sys
cuda = ctypes.CDLL("libcuda.so.1")
class Info(ctypes.Structure):
    _fields_ = [("up", ctypes.c_long), ("loads", ctypes.c_ulong * 3), ("total", ctypes.c_ulong), ("free", ctypes.c_ulong),
                ("shared", ctypes.c_ulong), ("buffers", ctypes.c_ulong), ("swap", ctypes.c_ulong * 2),
                ("procs", ctypes.c_ushort), ("pad", ctypes.c_ushort), ("high", ctypes.c_ulong * 2), ("unit", ctypes.c_uint),
                ("more", ctypes.c_char * 64)]
def ask(name):
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    assert cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)) == 0
    lines = {line.split(":")[0]: int(line.split()[1]) << 10 for line in open("/proc/meminfo")}
    info = Info()
    ctypes.CDLL(None).sysinfo(ctypes.byref(info))
    page = os.sysconf("SC_PAGE_SIZE")
    seen = {"step": name, "device": [free.value, total.value], "meminfo": [lines["MemFree"], lines["MemTotal"]],
            "sysinfo": [info.free * info.unit, info.total * info.unit],
            "sysconf": [os.sysconf("SC_AVPHYS_PAGES") * page, os.sysconf("SC_PHYS_PAGES") * page],
            "available": lines["MemAvailable"]}
    if len(sys.argv) > 2:
        import psutil
        memory = psutil.virtual_memory()
        seen["psutil"], seen["available by psutil"] = [memory.free, memory.total], memory.available
    print(json.dumps(seen))
# Before the GPU is touched: as far as a program can look without it.
lines = {line.split(":")[0]: int(line.split()[1]) << 10 for line in open("/proc/meminfo")}
print(json.dumps({"step": "before", "meminfo": [lines["MemFree"], lines["MemTotal"]]}))
cuda.cuInit(0)
context, at = ctypes.c_void_p(), ctypes.c_uint64()
cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0)
cuda.cuCtxSetCurrent(context)
ask("start")
assert cuda.cuMemAlloc_v2(ctypes.byref(at), ctypes.c_size_t(30 << 30)) == 0
ask("held")
with open(sys.argv[1], "rb", buffering=0) as file:
    while file.read(16 << 20): pass
ask("read")
assert cuda.cuMemFree_v2(at) == 0
ask("given back")
"#;

/// CPU and GPU of the simulated machine share one memory: whoever asks, and however, sees the same.
#[test]
fn every_way_to_ask_sees_the_simulated_machine() {
    let _alone = crate::page_cache_alone();
    let bench = Bench::new_in("/var/tmp");
    if !have("python3", "the memory of a simulated GB10, asked for in every way") {
        return;
    }
    let venv = bench.path("venv");
    run(std::process::Command::new("python3").args(["-m", "venv"]).arg(&venv));
    let mut pip = std::process::Command::new(venv.join("bin/pip"));
    let has_psutil = pip.args(["install", "-q", "psutil"]).output().is_ok_and(|got| got.status.success());
    if !has_psutil {
        kvtrace_tests::skip("psutil on a simulated GB10: it cannot be installed");
    }
    let file = bench.path("file");
    std::fs::write(&file, vec![7u8; 1 << 30]).unwrap();
    let opened = std::fs::File::open(&file).unwrap();
    opened.sync_all().unwrap();
    // SAFETY: a descriptor of ours and numbers.
    unsafe { libc::posix_fadvise(std::os::fd::AsRawFd::as_raw_fd(&opened), 0, 0, libc::POSIX_FADV_DONTNEED) };

    let mut command = bench.plain(kit("bin/kvtrace"));
    command.args(["simulate", "--gpu", "gb10", "-q", "-o", "trace", "--"]).arg(venv.join("bin/python"));
    command.args(["-c", ASKS]).arg(&file).args(has_psutil.then_some("psutil"));
    // No KV cache was sized, which is said behind the program's own output.
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let told: Vec<Value> =
        text.lines().filter(|line| line.starts_with('{')).map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(told.len(), 5, "{text}{}", String::from_utf8_lossy(&output.stderr));

    let pair = |told: &Value, way: &str| (told[way][0].as_i64().unwrap(), told[way][1].as_i64().unwrap());
    let total = pair(&told[1], "device").1;
    assert_eq!(total, 128_524_251_136);
    assert_eq!(pair(&told[0], "meminfo").1, total, "before the device was opened by this program");
    let ways = ["device", "meminfo", "sysinfo", "sysconf", "psutil"];
    for step in &told[1..] {
        for way in ways.iter().filter(|way| has_psutil || **way != "psutil") {
            let (free, all) = pair(step, way);
            assert_eq!(all, total, "{way}: {step}");
            assert!((free - pair(step, "device").0).abs() < NOISE, "{way}: {step}");
        }
    }
    let [start, held, read, back] =
        [1, 2, 3, 4].map(|at| (pair(&told[at], "device").0, told[at]["available"].as_i64().unwrap()));
    let near = |moved: i64, wanted: i64| (moved - wanted).abs() < NOISE;
    assert!(near(start.0 - held.0, 30 << 30) && near(start.1 - held.1, 30 << 30), "held memory is neither: {told:#?}");
    assert!(near(held.0 - read.0, 1 << 30) && near(held.1 - read.1, 0), "page cache is available: {told:#?}");
    assert!(near(back.0 - read.0, 30 << 30) && near(back.1 - read.1, 30 << 30), "{told:#?}");
}
