use crate::support::{Nvml, Scenario, TOTAL};
use crate::{G, GIB, assert_is, clean, discrete, edit, finding, number, of, replace, run, show};

fn nvml(total: u64) -> Option<Nvml> {
    Some(Nvml { context: Some(GIB / 4), others: 0, total: Some(total) })
}

#[test]
fn a_slice_of_a_gpu() {
    let slice = Scenario { total: 16 * GIB, weights: 5 * GIB, untraced: GIB / 4, ..discrete() };
    let answer = of(&Scenario { nvml: nvml(141 * GIB), uuid: "MIG-7a", ..slice.clone() });
    assert_is(&answer, "partition", "supported");
    let found = finding(&answer, "partition");
    assert_eq!((number(found, "device total"), number(found, "NVML total")), (16 * G, 141 * G));
    // The driver's own share makes NVML's total a little larger.
    let whole = Scenario { nvml: nvml(16 * GIB + GIB / 8), ..slice.clone() };
    let answer = of(&whole);
    assert_is(&answer, "partition", "refuted");
    assert_is(&answer, "total", "refuted");
    assert_is(&of(&slice), "partition", "cannot tell");
    assert_is(
        &of(&Scenario { env: &[("CUDA_MPS_PIPE_DIRECTORY", "/tmp/mps")], ..slice.clone() }),
        "partition",
        "cannot tell",
    );
    let limit = Scenario { env: &[("CUDA_MPS_PINNED_DEVICE_MEM_LIMIT", "0=8G")], ..slice.clone() };
    assert_is(&of(&limit), "partition", "supported");
    let wsl = run(&slice, |more| more.fact("kernel.release", "", "6.6.87-microsoft-standard-WSL2"));
    assert_is(&show(wsl.path()), "partition", "cannot tell");
    let interposed = run(&slice, |more| more.raw("module", r#""base":"0x1000","end":"0x2000","path":"/k/libvgpu.so""#));
    assert_is(&show(interposed.path()), "partition", "supported");
}

#[test]
fn a_carve_out() {
    let home = run(&clean(), |_| ());
    edit(home.path(), |text| replace(&text, "MemTotal", |total| total + 8 * GIB));
    let answer = show(home.path());
    assert_is(&answer, "total", "supported");
    assert_eq!(number(finding(&answer, "total"), "MemTotal"), (TOTAL + 8 * GIB) as i64);
    let home = run(&clean(), |_| ());
    edit(home.path(), |text| replace(&text, "MemTotal", |total| total + GIB / 4));
    assert_is(&show(home.path()), "total", "refuted");
    assert_is(&of(&discrete()), "total", "cannot tell");
    let simulated = of(&Scenario { device: "kvtrace simulated GB10", ..clean() });
    assert_is(&simulated, "total", "cannot tell");
}

#[test]
fn memory_that_nobody_gave_back() {
    let nobody = Some(Nvml { context: None, others: 0, total: None });
    let left = of(&Scenario { untraced: 6 * GIB, nvml: nobody, ..clean() });
    assert_is(&left, "leftover", "supported");
    let found = finding(&left, "leftover");
    assert_eq!(found["kv_bytes"].as_i64(), Some(-(0.9 * (6 * G) as f64).round() as i64));
    assert!(found["remedies"].to_string().contains("echo 2 > /proc/sys/vm/drop_caches"));
    let somebody = Some(Nvml { context: None, others: 6 * GIB, total: None });
    assert_is(&of(&Scenario { untraced: 6 * GIB, nvml: somebody, ..clean() }), "leftover", "refuted");
    assert_is(&of(&clean()), "leftover", "refuted");
    // A context and the driver's own share are on every GPU.
    let driver = Scenario { untraced: 3 * GIB / 4, nvml: nobody, ..discrete() };
    assert_is(&of(&driver), "leftover", "refuted");
    assert_is(&of(&Scenario { untraced: 9 * GIB, nvml: nobody, ..discrete() }), "leftover", "supported");
}

#[test]
fn nvml_that_sees_nothing() {
    assert_is(&of(&clean()), "observer_blind", "cannot tell");
    let unsupported = run(&clean(), |more| more.missing("usage.memory", "nvmlDeviceGetMemoryInfo", "answer 3"));
    assert_is(&show(unsupported.path()), "observer_blind", "supported");
    let unused =
        run(&clean(), |more| more.missing("usage", "", "NVML is not in use: the program has not initialised it"));
    assert_is(&show(unused.path()), "observer_blind", "cannot tell");
    let elsewhere = Some(Nvml { context: None, others: GIB / 8, total: None });
    let answer = of(&Scenario { nvml: elsewhere, ..clean() });
    assert_is(&answer, "observer_blind", "supported");
    assert!(finding(&answer, "observer_blind")["remedies"].to_string().contains("--pid=host"));
    assert_is(&of(&Scenario { nvml: nvml(TOTAL), untraced: GIB / 4, ..clean() }), "observer_blind", "refuted");
}

#[test]
fn a_limit_that_something_answers_with() {
    let limited = Scenario { cgroup_path: "/sys/fs/cgroup/docker/c0ffee", cgroup_max: Some(8 * GIB), ..clean() };
    let answer = of(&limited);
    for key in ["cgroup_limit", "cgroup_double_counting"] {
        assert_is(&answer, key, "refuted");
    }
    // lxcfs: the total itself is the limit.
    assert_is(&of(&Scenario { cgroup_max: Some(TOTAL), ..limited.clone() }), "cgroup_limit", "supported");
    assert_is(&of(&clean()), "cgroup_limit", "refuted");

    // Free memory is what the limit leaves, and the machine has more. The scenario charges half of its page cache.
    let free = answer["decisions"][0]["free_b_bytes"]["value"].as_u64().unwrap();
    let home = run(&Scenario { cgroup_max: Some(free + GIB / 4), ..limited }, |_| ());
    edit(home.path(), |text| {
        let text = replace(&text, "MemFree", |free| free + 10 * GIB);
        text.replace("\"current\":", &format!("\"inactive_file\":{},\"current\":", 6 * GIB))
    });
    let answer = show(home.path());
    assert_is(&answer, "cgroup_limit", "supported");
    assert_is(&answer, "cgroup_double_counting", "supported");
    assert_eq!(number(finding(&answer, "cgroup_double_counting"), "file pages"), 6 * G);
}

#[test]
fn a_limit_that_was_read_is_left_open() {
    let home = run(&Scenario { cgroup_max: Some(8 * GIB), ..clean() }, |_| ());
    let read = concat!(
        r#"{"ev":"file","n":999,"t":1000000001,"pid":4242,"tid":4242,"fn":"open","layer":"libc","depth":0,"rc":0,"#,
        r#""dur":0,"mod":"","off":"0x0","path":"/sys/fs/cgroup/memory.max","content":"8589934592\n"}"#
    );
    edit(home.path(), |text| format!("{text}{read}\n"));
    let answer = show(home.path());
    assert_is(&answer, "cgroup_limit", "cannot tell");
    let evidence = finding(&answer, "cgroup_limit")["evidence"].to_string();
    assert!(evidence.contains("4242:999"), "{evidence}");
}
