use crate::{asker, fact, for_everyone, is_root, missing};
use kvtrace_tests::{Bench, Trace, have, run, skip};
use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;

/// Facts that are the text of a file, and whether it stays as it is.
const FILES: [(&str, &str, bool); 23] = [
    ("kernel.release", "/proc/sys/kernel/osrelease", true),
    ("kernel.version", "/proc/sys/kernel/version", true),
    ("kernel.boot_id", "/proc/sys/kernel/random/boot_id", true),
    ("kernel.uptime", "/proc/uptime", false),
    ("vm.min_free_kbytes", "/proc/sys/vm/min_free_kbytes", true),
    ("vm.watermark_scale_factor", "/proc/sys/vm/watermark_scale_factor", true),
    ("vm.watermark_boost_factor", "/proc/sys/vm/watermark_boost_factor", true),
    ("vm.overcommit_memory", "/proc/sys/vm/overcommit_memory", true),
    ("vm.overcommit_ratio", "/proc/sys/vm/overcommit_ratio", true),
    ("vm.swappiness", "/proc/sys/vm/swappiness", true),
    ("vm.zone_reclaim_mode", "/proc/sys/vm/zone_reclaim_mode", true),
    ("thp.enabled", "/sys/kernel/mm/transparent_hugepage/enabled", true),
    ("swaps", "/proc/swaps", false),
    ("numa.online", "/sys/devices/system/node/online", true),
    ("nvidia.version", "/proc/driver/nvidia/version", true),
    ("nvidia.params", "/proc/driver/nvidia/params", false),
    ("nvidia.module", "/sys/module/nvidia/version", true),
    ("dmi.sys_vendor", "/sys/class/dmi/id/sys_vendor", true),
    ("dmi.product_name", "/sys/class/dmi/id/product_name", true),
    ("dmi.board_name", "/sys/class/dmi/id/board_name", true),
    ("dmi.bios_version", "/sys/class/dmi/id/bios_version", true),
    ("dmi.bios_date", "/sys/class/dmi/id/bios_date", true),
    ("process.uid_map", "/proc/self/uid_map", true),
];
/// Views, by the files that they come from.
const VIEWS: [(&str, &str); 4] = [
    ("meminfo", "/proc/meminfo"),
    ("self", "/proc/self/status"),
    ("zones", "/proc/zoneinfo"),
    ("zones.blocks", "/proc/buddyinfo"),
];
/// Other facts, which every kernel has.
const SIGNS: [&str; 18] = [
    "kernel.cmdline",
    "ns.pid",
    "ns.mnt",
    "ns.cgroup",
    "ns.user",
    "ns.net",
    "ns.uts",
    "ns.ipc",
    "marker.dockerenv",
    "marker.containerenv",
    "status.NSpid",
    "status.CapEff",
    "status.CapBnd",
    "status.Seccomp",
    "status.NoNewPrivs",
    "status.Uid",
    "mount.root",
    "mount.shm",
];

const NOBODY: u32 = 65534;

#[test]
fn a_user_without_rights_gets_all_that_the_kernel_tells_it() {
    if is_root() {
        all_that_may_be_read_is_there(Some(NOBODY));
    } else {
        skip("views as another user: not root");
        all_that_may_be_read_is_there(None);
    }
}

#[test]
fn root_gets_all_that_the_kernel_tells() {
    if is_root() {
        all_that_may_be_read_is_there(None);
    } else {
        skip("views as root: not root");
    }
}

fn all_that_may_be_read_is_there(user: Option<u32>) {
    let bench = Bench::new();
    let mut command = for_everyone(&bench, &asker(&bench));
    command.args(FILES.iter().map(|(_, path, _)| path)).args(VIEWS.iter().map(|(_, path)| path));
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    let output = run(&mut command);
    let trace = bench.trace();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors: BTreeMap<&str, i32> = text
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(error, path)| (path, error.parse().unwrap()))
        .collect();
    for (name, path, stays) in FILES {
        match errors[path] {
            0 => {
                assert!(missing(&trace, name).is_none(), "{name}");
                let told = fact(&trace, name).unwrap_or_else(|| panic!("no {name}"));
                let is = std::fs::read_to_string(path).unwrap();
                assert!(!stays || told == is.trim_end(), "{name}: {told:?}, not {is:?}");
            }
            error => {
                assert!(fact(&trace, name).is_none(), "{name}");
                is_missing(&trace, name, path, error);
            }
        }
    }
    for name in SIGNS {
        let one = fact(&trace, name).is_some() != missing(&trace, name).is_some();
        assert!(one, "{name}: {:?} {:?}", fact(&trace, name), missing(&trace, name));
    }
    // A second one follows when the program opens /proc/meminfo.
    let view = trace.events("view")[0];
    for (name, path) in VIEWS {
        match errors[path] {
            0 => assert!(missing(&trace, name).is_none(), "{name}"),
            error => is_missing(&trace, name, path, error),
        }
    }
    assert_eq!(errors["/proc/meminfo"], 0, "every user may read it");
    the_kernel_says(&view["meminfo"], &std::fs::read_to_string("/proc/meminfo").unwrap());
    if errors["/proc/zoneinfo"] == 0 {
        zones(&trace, &view["of"], errors["/proc/buddyinfo"] == 0);
    }
    assert!(view["self"]["rss_anon"].as_u64().is_some_and(|bytes| bytes > 0 && bytes < 64 << 20), "{view}");
    assert!(view["cost"].as_u64().is_some_and(|cost| cost > 0), "{view}");
}

fn is_missing(trace: &Trace, name: &str, path: &str, error: i32) {
    let missing = missing(trace, name).unwrap_or_else(|| panic!("{name} is neither there nor missing"));
    let reason = match error {
        libc::EPERM => "EPERM",
        libc::ENOENT => "ENOENT",
        libc::EACCES => "EACCES",
        other => panic!("{path}: errno {other}"),
    };
    assert_eq!((&missing["source"], &missing["reason"]), (&path.into(), &reason.into()));
}

/// Every line, the sizes that never change exactly, and what moves to within a tenth of the memory.
fn the_kernel_says(told: &Value, text: &str) {
    let told = told.as_object().unwrap();
    let is: BTreeMap<&str, u64> = text
        .lines()
        .map(|line| {
            let (name, rest) = line.split_once(':').unwrap();
            let mut words = rest.split_whitespace();
            let value: u64 = words.next().unwrap().parse().unwrap();
            (name, if words.next() == Some("kB") { value * 1024 } else { value })
        })
        .collect();
    assert_eq!(
        told.keys().map(String::as_str).collect::<std::collections::BTreeSet<_>>(),
        is.keys().copied().collect::<std::collections::BTreeSet<_>>()
    );
    for name in ["MemTotal", "SwapTotal", "CommitLimit", "VmallocTotal", "HugePages_Total", "Hugepagesize"] {
        assert_eq!(told.get(name).and_then(Value::as_u64), is.get(name).copied(), "{name}");
    }
    for (name, value) in &is {
        let told = told[*name].as_u64().unwrap();
        assert!(told.abs_diff(*value) <= is["MemTotal"] / 10, "{name}: {told}, not {value}");
    }
}

fn zones(trace: &Trace, of: &Value, with_blocks: bool) {
    let told: Vec<&Value> = trace.events("zone").into_iter().filter(|zone| zone["of"] == *of).collect();
    // SAFETY: a plain question.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64;
    let text = std::fs::read_to_string("/proc/zoneinfo").unwrap();
    let total: u64 = told.iter().map(|zone| zone["figures"]["managed"].as_u64().unwrap()).sum();
    let mut populated = 0;
    for part in text.split("Node ").skip(1) {
        let (head, rest) = part.split_once('\n').unwrap();
        let (node, name) = head.split_once(", zone").unwrap();
        let number: u64 = node.parse().unwrap();
        let pages = |name: &str| {
            let line = rest.lines().find(|line| line.trim_start().trim_start_matches("pages ").starts_with(name))?;
            line.split_whitespace().last()?.parse::<u64>().ok()
        };
        let zone = told.iter().find(|zone| zone["zone"] == name.trim() && zone["node"] == number);
        if pages("present ") == Some(0) {
            assert!(zone.is_none(), "{zone:?}");
            continue;
        }
        populated += 1;
        let figures = &zone.unwrap_or_else(|| panic!("no zone {head}"))["figures"];
        for name in ["min", "low", "high", "boost", "managed", "present"] {
            let is = pages(&format!("{name} ")).map(|pages| pages * page);
            assert_eq!(figures.get(name).and_then(Value::as_u64), is, "{name} of {head}");
        }
        let free = figures["free"].as_u64().unwrap();
        assert!(free.abs_diff(pages("free ").unwrap() * page) <= total / 10, "{head}: {figures}");
        assert_eq!(figures.get("blocks").is_some(), with_blocks, "{head}: {figures}");
        if let Some(blocks) = figures["blocks"].as_u64() {
            assert!(blocks <= free + total / 10, "{figures}");
            assert!(blocks.abs_diff(blocks_of(head, page)) <= total / 10, "{figures}");
        }
    }
    assert_eq!(told.len(), populated);
}

/// What of a zone lies in free blocks of 2 MiB and more.
fn blocks_of(head: &str, page: u64) -> u64 {
    let key: Vec<&str> = head.split_whitespace().collect();
    let text = std::fs::read_to_string("/proc/buddyinfo").unwrap();
    let line = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|line| line[1..4] == key[..]);
    let line = line.unwrap_or_else(|| panic!("no {head}"));
    let sizes = line[4..].iter().enumerate().map(|(order, count)| (page << order, count.parse::<u64>().unwrap()));
    sizes.filter(|(size, _)| *size >= 2 << 20).map(|(size, count)| size * count).sum()
}

/// Over the kernel's own command line, in a mount namespace.
#[test]
fn a_secret_on_the_kernel_s_command_line_is_blanked() {
    let what = "a kernel command line with a secret";
    if !is_root() {
        return skip(&format!("{what}: not root"));
    }
    if !have("unshare", what) {
        return;
    }
    let bench = Bench::new();
    std::fs::write(bench.path("cmdline"), "quiet init.api_token=hunter2 root=/dev/vda kho=off\n").unwrap();
    let script = "mount --bind cmdline /proc/cmdline && exec \"$0\"";
    let mut command = bench.traced("unshare");
    run(command.args(["--mount", "--propagation", "private", "sh", "-c", script]).arg(asker(&bench)));
    assert_eq!(fact(&bench.trace(), "kernel.cmdline"), Some("quiet [redacted] root=/dev/vda kho=off"));
}

/// A file that this user may not read is there, and cannot be had.
#[test]
fn what_is_forbidden_is_missing_with_its_error() {
    let what = "files that are forbidden";
    if !is_root() {
        return skip(&format!("{what}: not root"));
    }
    if !have("unshare", what) {
        return;
    }
    let bench = Bench::new();
    let mut script = String::new();
    for (name, path) in [("zoneinfo", "/proc/zoneinfo"), ("swaps", "/proc/swaps"), ("uptime", "/proc/uptime")] {
        std::fs::write(bench.path(name), "").unwrap();
        let forbid = std::os::unix::fs::PermissionsExt::from_mode(0o000);
        std::fs::set_permissions(bench.path(name), forbid).unwrap();
        script.push_str(&format!("mount --bind {name} {path} && "));
    }
    script.push_str("exec setpriv --reuid=65534 --regid=65534 --clear-groups \"$0\"");
    if !have("setpriv", what) {
        return;
    }
    let asker = asker(&bench);
    let mut command = for_everyone(&bench, &"unshare".into());
    run(command.args(["--mount", "--propagation", "private", "sh", "-c", &script]).arg(asker));
    let trace = bench.trace();
    assert!(trace.events("zone").is_empty() && fact(&trace, "swaps").is_none());
    for (name, path) in [("zones", "/proc/zoneinfo"), ("swaps", "/proc/swaps"), ("kernel.uptime", "/proc/uptime")] {
        is_missing(&trace, name, path, libc::EACCES);
    }
    assert_eq!(trace.events("view").len(), 1);
}

#[test]
fn limits_that_are_set_are_told_and_others_are_not() {
    let bench = Bench::new();
    let script = "ulimit -l 4096; exec \"$0\"";
    run(bench.traced("sh").args(["-c", script]).arg(asker(&bench)));
    let trace = bench.trace();
    let views = trace.events("view");
    let limits = &views.last().unwrap()["limits"];
    assert_eq!((limits["memlock"].as_u64(), limits.get("as")), (Some(4096 << 10), None), "{limits}");
}

#[test]
fn switched_off_queries_stay_and_views_do_not() {
    let bench = Bench::new();
    run(bench.traced(asker(&bench)).env("KVTRACE_VIEWS", "0"));
    let trace = bench.trace();
    assert_eq!(trace.calls("query", "sysinfo").len(), 1);
    for kind in ["view", "zone", "group", "fact", "missing", "usage", "node", "card"] {
        assert!(trace.events(kind).is_empty(), "{kind}");
    }
    assert!(trace.events("warning").is_empty());
}

#[test]
fn a_bad_switch_is_one_warning_and_leaves_them_on() {
    let bench = Bench::new();
    run(bench.traced(asker(&bench)).env("KVTRACE_VIEWS", "no"));
    let trace = bench.trace();
    let [warning] = trace.events("warning").try_into().unwrap();
    assert!(warning["text"].as_str().unwrap().contains("KVTRACE_VIEWS"), "{warning}");
    assert_eq!(trace.events("view").len(), 1);
}
