use crate::{asker, is_root, missing};
use kvtrace_tests::{Bench, have, run, skip};
use std::path::{Path, PathBuf};

const MOUNT: &str = "/sys/fs/cgroup/memory";
const OUTER: u64 = 512 << 20;
const INNER: u64 = 256 << 20;

/// Two groups, one inside the other, in the group of this test. They go when it ends.
struct Nested(PathBuf);

impl Nested {
    fn make() -> Option<Nested> {
        let what = "nested control groups of version 1";
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
        let own = own.lines().find_map(|line| line.split_once(":memory:")).map(|(_, path)| path.to_owned());
        let Some(own) = own.filter(|_| is_root() && Path::new(MOUNT).join("memory.usage_in_bytes").is_file()) else {
            skip(&format!("{what}: not root, or no such controller at {MOUNT}"));
            return None;
        };
        let outer = Path::new(MOUNT).join(own.trim_start_matches('/')).join(format!("kvtrace-{}", unique()));
        if let Err(error) = std::fs::create_dir_all(outer.join("inner")) {
            skip(&format!("{what}: {}: {error}", outer.display()));
            return None;
        }
        let nested = Nested(outer);
        std::fs::write(nested.0.join("memory.limit_in_bytes"), OUTER.to_string()).unwrap();
        std::fs::write(nested.inner().join("memory.limit_in_bytes"), INNER.to_string()).unwrap();
        Some(nested)
    }

    fn inner(&self) -> PathBuf {
        self.0.join("inner")
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(self.inner());
        let _ = std::fs::remove_dir(&self.0);
    }
}

fn unique() -> String {
    static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    format!("{}-{}", std::process::id(), NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
}

#[test]
fn every_group_up_to_the_root_is_told() {
    let Some(nested) = Nested::make() else { return };
    let bench = Bench::new();
    let script = "echo $$ > \"$0/cgroup.procs\" && exec \"$1\"";
    run(bench.traced("sh").args(["-c", script]).arg(nested.inner()).arg(asker(&bench)));
    let trace = bench.trace();
    let [view] = trace.events("view").try_into().unwrap();
    assert_eq!((&view["cgroup_version"], &view["cgroup_path"]), (&1.into(), &nested.inner().to_str().unwrap().into()));
    assert_eq!(view["cgroup"]["max"], INNER);
    for key in ["current", "peak", "anon", "file", "events_max", "events_oom_kill"] {
        assert!(view["cgroup"][key].is_u64(), "{key}: {}", view["cgroup"]);
    }
    let groups = trace.events("group");
    let above: Vec<&Path> = nested.0.ancestors().take_while(|path| path.starts_with(MOUNT)).collect();
    assert_eq!(groups.len(), above.len(), "{groups:?}");
    for ((group, path), level) in groups.iter().zip(&above).zip(1..) {
        assert_eq!((&group["of"], &group["level"]), (&view["of"], &level.into()));
        assert_eq!(group["path"], path.to_str().unwrap());
        let figure = |file: &str| std::fs::read_to_string(path.join(file)).unwrap().trim().parse::<u64>().unwrap();
        let limit = Some(figure("memory.limit_in_bytes")).filter(|limit| *limit < 1 << 62);
        assert_eq!(group["figures"].get("max").and_then(serde_json::Value::as_u64), limit, "{group}");
        let (told, is) = (group["figures"]["current"].as_u64().unwrap(), figure("memory.usage_in_bytes"));
        assert!(told.abs_diff(is) < 2 << 30, "{told}, not {is}");
    }
    assert_eq!(groups[0]["figures"]["max"], OUTER);
    assert!(missing(&trace, "groups").is_none(), "all of it is mounted");
}

/// As in a container: the group is the root of what is mounted.
#[test]
fn groups_that_are_not_mounted_are_missing() {
    let Some(nested) = Nested::make() else { return };
    if !have("unshare", "control groups in a mount namespace") {
        return;
    }
    let bench = Bench::new();
    let script = format!("echo $$ > \"$0/cgroup.procs\" && mount --bind \"$0\" {MOUNT} && exec \"$1\"");
    let mut command = bench.traced("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &script]).arg(nested.inner());
    run(command.arg(asker(&bench)));
    let trace = bench.trace();
    let [view] = trace.events("view").try_into().unwrap();
    assert_eq!((&view["cgroup_path"], &view["cgroup"]["max"]), (&MOUNT.into(), &INNER.into()));
    assert!(trace.events("group").is_empty());
    let missing = missing(&trace, "groups").expect("said to be missing");
    assert!(missing["reason"].as_str().unwrap().contains("not mounted"), "{missing}");
    assert_eq!(missing["source"], MOUNT);
}
