use crate::{Lab, SERVE, figures};
use kvtrace_tests::{Trace, have};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const LIMIT: u64 = 268_435_456;

/// The ways in which a program sees its version 2 control group, and where its files then are.
const CASES: [(&str, &str, &str); 4] = [
    // As a service of the machine: the whole tree is mounted.
    ("group", "", "/sys/fs/cgroup/serve"),
    // In a group inside another one that has a limit too.
    (
        "nested",
        "sh -c 'echo $$ > /sys/fs/cgroup/outer/inner/cgroup.procs && exec \"$@\"' sh",
        "/sys/fs/cgroup/outer/inner",
    ),
    // As Docker does by default: a namespace, in which the group is the root.
    (
        "namespace",
        "/bin/unshare -Cm sh -c 'umount /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec \"$@\"' sh",
        "/sys/fs/cgroup",
    ),
    // Without the namespace, but with the group alone mounted: the path in /proc/self/cgroup does not lead anywhere.
    (
        "bound",
        "/bin/unshare -m sh -c 'mount --bind /sys/fs/cgroup/serve /sys/fs/cgroup && exec \"$@\"' sh",
        "/sys/fs/cgroup",
    ),
];

/// User-Mode Linux is a kernel that runs as a program: it has version 2 control groups whatever this machine has.
#[test]
fn a_version_2_limit_is_shown_and_not_blamed() {
    let what = "control groups of version 2";
    if !["linux.uml", "busybox", "unshare"].iter().all(|program| have(program, what)) {
        return;
    }
    let lab = Lab::new();
    let out = lab.bench.path("uml");
    std::fs::create_dir(&out).unwrap();
    std::fs::write(lab.bench.path("root/init"), init(&lab)).unwrap();
    let log = boot(&lab);
    for (name, _, path) in CASES {
        let output = std::fs::read(out.join(format!("{name}.out"))).unwrap_or_else(|error| panic!("{error}: {log}"));
        let complaint = std::fs::read_to_string(out.join(format!("{name}.err"))).unwrap();
        assert!(!output.is_empty(), "{name}: {complaint}");
        let trace = format!("uml/{name}");
        let diff = lab.compare_limited(&trace, &figures(&output), LIMIT);
        assert_eq!((&diff["cgroups"][1]["version"], &diff["cgroups"][1]["path"]), (&2.into(), &path.into()), "{name}");
        let trace = Trace::read(&lab.bench.path(&trace));
        let views = trace.events("view");
        assert!(!views.is_empty(), "{name}");
        for view in views {
            assert_eq!(view["cgroup"]["max"], LIMIT, "{name}");
            assert!(view["cgroup"]["anon"].as_u64().is_some_and(|bytes| bytes > 0), "{name}: {view}");
            for key in ["low", "min", "peak", "events_max", "events_oom_kill"] {
                assert!(view["cgroup"][key].is_u64() || key == "peak", "{name}: {key} of {view}");
            }
            let above = trace.events("group").into_iter().filter(|group| group["of"] == view["of"]);
            let above: Vec<_> =
                above.map(|group| (&group["level"], &group["path"], &group["figures"]["max"])).collect();
            let (root, outer) = ("/sys/fs/cgroup".into(), "/sys/fs/cgroup/outer".into());
            let (none, limit) = (serde_json::Value::Null, (2 * LIMIT).into());
            match name {
                "group" => assert_eq!(above, [(&1.into(), &root, &none)]),
                "nested" => assert_eq!(above, [(&1.into(), &outer, &limit), (&2.into(), &root, &none)]),
                _ => assert!(above.is_empty(), "{name}: {above:?}"),
            }
        }
        // Of what is above a namespace or a mount, the process is told nothing; and it is said so.
        let missing = trace.events("missing").into_iter().find(|missing| missing["what"] == "groups");
        assert_eq!(missing.is_some(), ["namespace", "bound"].contains(&name), "{name}: {missing:?}");
    }
}

/// The first program of that machine: a control group with a limit, and the workload in it, once for each case.
fn init(lab: &Lab) -> String {
    let mut script = format!(
        "#!/bin/sh
export PATH=/bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t tmpfs none /tmp
mount -t hostfs -o {} none /out
mount -t hostfs -o {} none /weights
mount -t cgroup2 none /sys/fs/cgroup
echo +memory > /sys/fs/cgroup/cgroup.subtree_control
mkdir /sys/fs/cgroup/serve
echo {LIMIT} > /sys/fs/cgroup/serve/memory.max
mkdir -p /sys/fs/cgroup/outer/inner
echo +memory > /sys/fs/cgroup/outer/cgroup.subtree_control
echo {outer} > /sys/fs/cgroup/outer/memory.max
echo {LIMIT} > /sys/fs/cgroup/outer/inner/memory.max
echo $$ > /sys/fs/cgroup/serve/cgroup.procs
",
        lab.bench.path("uml").display(),
        lab.bench.path("weights").display(),
        outer = 2 * LIMIT,
    );
    for (name, within, _) in CASES {
        let preload = format!("LD_PRELOAD=/kit/libkvtrace.so KVTRACE_OUT=/out/{name}");
        let serve = format!("{} {preload} {}", SERVE[..3].join(" "), SERVE[3..].join(" "));
        script.push_str(&format!("{within} {serve} >/out/{name}.out 2>/out/{name}.err\n"));
    }
    script + "poweroff -f\n"
}

/// Boots the machine on the root file system and waits until it is off; gives what it printed.
fn boot(lab: &Lab) -> String {
    let console = lab.bench.path("console");
    let file = std::fs::File::create(&console).unwrap();
    let mut child = Command::new("linux.uml")
        .args(["mem=512M", "root=/dev/root", "rootfstype=hostfs", "ro", "con=null", "con0=fd:0,fd:1", "quiet"])
        .arg("panic=-1")
        .arg(format!("rootflags={}", lab.bench.path("root").display()))
        .arg(format!("uml_dir={}/", lab.bench.path("").display()))
        .args(["init=/bin/sh", "--", "/init"])
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .process_group(0)
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(90);
    let ended = loop {
        match child.try_wait().unwrap() {
            Some(_) => break true,
            None if Instant::now() > deadline => break false,
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    if !ended {
        // Its helpers are in its process group.
        // SAFETY: a plain system call on the group of a child that is not reaped yet.
        unsafe { libc::kill(-(child.id() as i32), libc::SIGKILL) };
        let _ = child.wait();
    }
    let log = String::from_utf8_lossy(&std::fs::read(&console).unwrap()).into_owned();
    assert!(ended, "the machine does not come to an end: {log}");
    log
}
