use crate::{asker, is_root, missing};
use kvtrace_tests::{Bench, have, run, skip};

const FILES: [(&str, u64); 5] = [
    ("vram_total", 512 << 20),
    ("vram_used", 100 << 20),
    ("vis_vram_total", 512 << 20),
    ("gtt_total", 120 << 30),
    ("gtt_used", 90 << 30),
];
const PAGES: u64 = 31_457_280;

/// The kernel driver of an APU cannot be had here; what its files hold is made up, in /sys of a mount namespace.
#[test]
fn an_amd_gpu_s_pools_and_limit_are_told() {
    let what = "AMD's files in a mount namespace";
    if !is_root() {
        return skip(&format!("{what}: not root"));
    }
    if !have("unshare", what) {
        return;
    }
    let bench = Bench::new();
    let device = bench.path("class/drm/card1/device");
    std::fs::create_dir_all(&device).unwrap();
    // A card of another maker.
    std::fs::create_dir_all(bench.path("class/drm/card0/device")).unwrap();
    for (name, bytes) in FILES {
        std::fs::write(device.join(format!("mem_info_{name}")), format!("{bytes}\n")).unwrap();
    }
    let parameters = bench.path("module/ttm/parameters");
    std::fs::create_dir_all(&parameters).unwrap();
    std::fs::write(parameters.join("pages_limit"), format!("{PAGES}\n")).unwrap();
    let script = "mount --bind class /sys/class && mount --bind module /sys/module && exec \"$0\"";
    let mut command = bench.traced("unshare");
    run(command.args(["--mount", "--propagation", "private", "sh", "-c", script]).arg(asker(&bench)));
    let trace = bench.trace();
    let [card] = trace.events("card").try_into().unwrap();
    assert_eq!(card["card"], "card1");
    for (name, bytes) in FILES {
        assert_eq!(card["figures"][name], bytes, "{card}");
    }
    // SAFETY: a plain question.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64;
    assert_eq!(card["figures"]["ttm_pages_limit"], PAGES * page, "{card}");
    let lost = missing(&trace, "card").expect("one file of six is missing");
    let source = "/sys/class/drm/card1/device/mem_info_vis_vram_used";
    assert_eq!((&lost["source"], &lost["reason"]), (&source.into(), &"ENOENT".into()));
}

#[test]
fn where_there_is_none_nothing_is_said() {
    if std::path::Path::new("/sys/class/drm/card0/device/mem_info_vram_total").exists() {
        return skip("a machine without an AMD GPU: this one has one");
    }
    let bench = Bench::new();
    run(&mut bench.traced(asker(&bench)));
    assert!(bench.trace().events("card").is_empty() && missing(&bench.trace(), "card").is_none());
}
