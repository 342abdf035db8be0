use super::finding::{Finding, State};
use super::machine::Machine;
use super::memory::Unified;
use super::{Report, SCHEMA, cgroup, container, driver, environment, leftovers, memory, render, target};
use std::os::unix::fs::symlink;
use tempfile::TempDir;

/// A DGX Spark as reports describe it: full page cache, huge pages, Kexec handover, raised watermarks.
const MEMINFO: &str = "\
    MemTotal: 127600588 kB\n\
    MemFree: 9437184 kB\n\
    MemAvailable: 88080384 kB\n\
    Buffers: 524288 kB\n\
    Cached: 83886080 kB\n\
    SwapCached: 0 kB\n\
    AnonPages: 4194304 kB\n\
    Shmem: 3145728 kB\n\
    Slab: 2097152 kB\n\
    PageTables: 262144 kB\n\
    KernelStack: 32768 kB\n\
    Percpu: 16384 kB\n\
    Dirty: 1048576 kB\n\
    Writeback: 0 kB\n\
    SwapTotal: 16777216 kB\n\
    SwapFree: 12582912 kB\n\
    CommitLimit: 80000000 kB\n\
    Committed_AS: 20000000 kB\n\
    HugePages_Total: 512\n\
    HugePages_Free: 500\n\
    Hugepagesize: 2048 kB\n\
    Hugetlb: 1048576 kB\n\
    VmallocUsed: 131072 kB\n\
    CmaTotal: 32768 kB\n\
    CmaFree: 9752576 kB\n";

struct Fixture {
    folder: TempDir,
}

impl Fixture {
    fn new(files: &[(&str, &str)]) -> Self {
        let fixture = Fixture { folder: tempfile::tempdir().unwrap() };
        for (path, text) in files {
            fixture.put(path, text);
        }
        fixture
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.machine().path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn link(&self, path: &str, to: &str) {
        let path = self.machine().path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(to, path).unwrap();
    }

    fn machine(&self) -> Machine {
        Machine::below(self.folder.path())
    }
}

fn spark() -> Fixture {
    let fixture = Fixture::new(&[
        ("/proc/meminfo", MEMINFO),
        (
            "/proc/zoneinfo",
            "Node 0, zone   Normal\n  pages free     2359296\n        boost    262144\n        low      1310720\n",
        ),
        ("/proc/sys/vm/min_free_kbytes", "4194304\n"),
        ("/proc/sys/vm/overcommit_memory", "2\n"),
        ("/proc/sys/kernel/osrelease", "6.17.0-1031-nvidia\n"),
        ("/proc/cmdline", "BOOT_IMAGE=/vmlinuz root=/dev/sda hugepages=512 kho=on quiet\n"),
        (
            "/proc/driver/nvidia/version",
            "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  595.45.04  Release Build\n",
        ),
        ("/proc/driver/nvidia/params", "Mobile: 1\nEnableSystemMemoryPools: 529\n"),
        ("/proc/17/status", "Name:\tpython3\nState:\tS (sleeping)\nVmSize:\t 100 kB\n"),
        ("/proc/18/status", "Name:\tVLLM::Worker\nState:\tZ (zombie)\n"),
        ("/proc/self/cgroup", "0::/\n"),
        (
            "/proc/self/mountinfo",
            "30 1 0:27 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n20 1 0:40 / / rw - overlay overlay rw\n",
        ),
        ("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu memory pids\n"),
        ("/sys/fs/cgroup/memory.max", "8589934592\n"),
        ("/sys/fs/cgroup/memory.current", "7516192768\n"),
        ("/sys/fs/cgroup/memory.events", "low 0\noom 3\noom_kill 3\n"),
        ("/etc/ld.so.preload", "# by the cluster\n/usr/local/vgpu/libvgpu.so\n"),
        ("/usr/local/vgpu/libvgpu.so", ""),
        ("/.dockerenv", ""),
    ]);
    fixture.link("/proc/17/fd/5", "/dev/nvidia0");
    fixture.link("/proc/self/ns/cgroup", "cgroup:[4026532512]");
    fixture.link("/proc/self/ns/pid", "pid:[4026532510]");
    fixture
}

fn report(command: &[&str], findings: Vec<Finding>) -> Report {
    Report {
        doctor_schema: SCHEMA,
        kvtrace: "0.1.0",
        traceable: findings.iter().all(|finding| finding.state != State::Problem),
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        findings,
    }
}

fn examine(fixture: &Fixture, variables: &[(&str, &str)], unified: Unified) -> Vec<Finding> {
    let machine = fixture.machine();
    let variables: Vec<(String, String)> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut findings = environment::findings(&machine, &variables);
    findings.extend(driver::findings(&machine));
    findings.extend(memory::findings(&machine, unified));
    findings.extend(leftovers::findings(&machine));
    findings.extend(cgroup::findings(&machine, 127_600_588 << 10));
    findings.push(container::finding(&machine, |name| (name == "container").then(|| "podman".into())));
    findings
}

fn state(findings: &[Finding], check: &str) -> State {
    findings.iter().find(|finding| finding.check == check).unwrap_or_else(|| panic!("{check} in {findings:#?}")).state
}

#[test]
fn a_machine_with_everything_that_biases() {
    let variables = [
        ("LD_PRELOAD", "/usr/lib/libjemalloc.so.2:/opt/kvtrace/lib/libkvtrace.so"),
        ("KVTRACE_LOG", "loud"),
        ("KVTRACE_LABLE", "typo\u{1b}[31m"),
        ("KVTRACE_SIM_GPU", "gb10"),
        ("CUDA_DEVICE_MEMORY_LIMIT_0", "16g"),
    ];
    let report = report(&["vllm", "serve"], examine(&spark(), &variables, Unified::Yes));
    insta::assert_snapshot!(render::terminal(&report));
    insta::assert_snapshot!("everything_json", serde_json::to_string_pretty(&report).unwrap());
    insta::assert_snapshot!("everything_markdown", crate::render::markdown::render(&render::document(&report)));
}

#[test]
fn a_discrete_gpu_does_not_care_for_page_cache() {
    let findings = examine(&spark(), &[], Unified::No);
    assert_eq!(state(&findings, "memory.page_cache"), State::Ok);
    assert_eq!(state(&findings, "memory.shared"), State::Ok);
    assert_eq!(state(&findings, "memory.hugepages"), State::Note);
}

#[test]
fn an_idle_machine_is_all_right() {
    let fixture = Fixture::new(&[
        (
            "/proc/meminfo",
            "MemTotal: 8000000 kB\nMemFree: 7000000 kB\nCached: 500000 kB\nAnonPages: 400000 kB\nCmaTotal: 32768 kB\n\
             CmaFree: 30000 kB\n",
        ),
        ("/proc/sys/vm/min_free_kbytes", "67584\n"),
        ("/sys/module/nvidia/version", "580.142\n"),
        ("/proc/self/cgroup", "0::/user.slice/x\n"),
        (
            "/proc/self/mountinfo",
            "30 1 0:27 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n20 1 8:1 / / rw - ext4 /dev/sda rw\n",
        ),
        ("/sys/fs/cgroup/cgroup.controllers", "memory\n"),
        ("/sys/fs/cgroup/user.slice/x/memory.max", "max\n"),
    ]);
    let findings = examine(&fixture, &[("KVTRACE_OUT", "/tmp/x")], Unified::Yes);
    // One sign of a container is left: `container` is set.
    let odd: Vec<_> =
        findings.iter().filter(|finding| finding.state != State::Ok).map(|finding| finding.check).collect();
    assert_eq!(odd, ["container.signs"], "{findings:#?}");
}

#[test]
fn nothing_readable_is_unknown_and_no_panic() {
    let findings = examine(&Fixture::new(&[]), &[], Unified::Unknown);
    assert_eq!(state(&findings, "memory.total"), State::Unknown);
    assert_eq!(state(&findings, "cgroup.limit"), State::Unknown);
    let garbage: Vec<(&str, &str)> = [
        "/proc/meminfo",
        "/proc/zoneinfo",
        "/proc/cmdline",
        "/proc/driver/nvidia/version",
        "/proc/driver/nvidia/params",
        "/proc/self/cgroup",
        "/proc/self/mountinfo",
        "/proc/sys/vm/min_free_kbytes",
        "/proc/7/status",
    ]
    .map(|path| (path, "::: \u{0} 99999999999999999999999 kB - -\n-\nMemTotal: 18446744073709551615 kB\n"))
    .to_vec();
    examine(&Fixture::new(&garbage), &[], Unified::Yes);
}

#[test]
fn a_limit_above_the_own_group_is_found_in_both_versions() {
    let v2 = Fixture::new(&[
        ("/proc/self/cgroup", "0::/pod/server\n"),
        ("/proc/self/mountinfo", "30 1 0:27 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n"),
        ("/sys/fs/cgroup/cgroup.controllers", "memory\n"),
        ("/sys/fs/cgroup/pod/memory.max", "1073741824\n"),
        ("/sys/fs/cgroup/pod/server/memory.max", "max\n"),
    ]);
    let v1 = Fixture::new(&[
        ("/proc/self/cgroup", "4:memory:/docker/abc\n0::/x\n"),
        ("/proc/self/mountinfo", "31 1 0:28 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ("/sys/fs/cgroup/memory/memory.stat", "cache 1\nhierarchical_memory_limit 1073741824\n"),
    ]);
    for fixture in [v2, v1] {
        let findings = cgroup::findings(&fixture.machine(), 8 << 30);
        assert_eq!(state(&findings, "cgroup.limit"), State::Note, "{findings:?}");
        assert_eq!(findings[0].figures["limit_bytes"], 1_u64 << 30);
    }
}

#[test]
fn a_program_that_is_not_there_cannot_be_traced() {
    let findings = target::findings("/no/such/program".as_ref(), Some("2.17"));
    assert_eq!(state(&findings, "target.program"), State::Problem);
}

#[test]
fn versions_compare_by_numbers() {
    assert!(super::elf::older("2.4", "2.17"));
    assert!(!super::elf::older("2.36", "2.17"));
    assert!(!super::elf::older("2.17", "2.17"));
}
