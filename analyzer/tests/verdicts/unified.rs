use crate::support::{CUDART, File, Nvml, Scenario};
use crate::{
    G, GIB, QUERY_B, assert_is, clean, discrete, edit, finding, number, of, replace, run, settings, show, supported,
};

#[test]
fn page_cache_that_could_be_had_is_blamed() {
    let answer = of(&Scenario { page_cache: 8 * GIB, ..clean() });
    assert_eq!(supported(&answer), ["page_cache"]);
    let found = finding(&answer, "page_cache");
    // The scenario's MemAvailable is nine tenths of its page cache more than MemFree.
    let could = 8 * G * 9 / 10;
    assert_eq!(number(found, "reclaimable"), could);
    assert_eq!(found["kv_bytes"].as_i64().unwrap(), -(0.9 * could as f64).round() as i64);
    assert_eq!(found["evidence"], serde_json::json!(["4242:16", "4242:17"]));
    // The fraction that gives the cache which there would be without it.
    let set = settings(found);
    let fraction: f64 = set[0].strip_prefix("kv_cache_config.free_gpu_memory_fraction ").unwrap().parse().unwrap();
    let decision = &answer["decisions"][0];
    let target = decision["final_pool_bytes"]["value"].as_f64().unwrap() - found["kv_bytes"].as_f64().unwrap();
    let base = decision["budget_bytes"].as_f64().unwrap() / 0.9;
    assert!((fraction * base - target).abs() / target < 1e-4, "{fraction}");
}

#[test]
fn page_cache_is_not_blamed_where_it_cannot_be() {
    assert_is(&of(&Scenario { page_cache: GIB, ..clean() }), "page_cache", "refuted");
    assert_is(&of(&Scenario { page_cache: 40 * GIB, ..discrete() }), "page_cache", "refuted");
    // A driver that counts it as free already.
    let home = run(&Scenario { page_cache: 40 * GIB, ..clean() }, |_| ());
    edit(home.path(), |text| replace(&text, "MemFree", |free| free - 36 * GIB));
    assert_is(&show(home.path()), "page_cache", "cannot tell");
}

#[test]
fn a_cache_too_large_for_any_fraction_has_no_flag() {
    let answer = of(&Scenario { page_cache: 60 * GIB, ..clean() });
    let found = finding(&answer, "page_cache");
    assert_eq!((found["verdict"].as_str(), settings(found).len()), (Some("supported"), 0));
    let actions = found["remedies"].to_string();
    assert!(actions.contains("drop_caches") && actions.contains("no flag gives this runtime"), "{actions}");
}

#[test]
fn reserves_of_the_kernel() {
    let small = of(&clean());
    // The kernel's watermarks were not to be had.
    assert_is(&small, "kernel_reserves", "cannot tell");
    let zones = |more: &mut crate::support::More, high: u64| {
        let figures = format!("\"figures\":{{\"free\":{GIB},\"high\":{high},\"blocks\":{GIB}}}");
        more.raw("zone", &format!("\"of\":{QUERY_B},\"node\":0,\"zone\":\"Normal\",{figures}"));
    };
    assert_is(&show(run(&clean(), |more| zones(more, GIB / 8)).path()), "kernel_reserves", "refuted");
    let boosted = show(run(&clean(), |more| zones(more, 6 * GIB)).path());
    assert_eq!(supported(&boosted), ["kernel_reserves"]);
    assert!(finding(&boosted, "kernel_reserves")["remedies"].to_string().contains("vm.min_free_kbytes"));

    let kho = of(&Scenario { cma_free: 9 * GIB, ..clean() });
    assert_eq!(supported(&kho), ["kernel_reserves"]);
    let found = finding(&kho, "kernel_reserves");
    assert!(found["remedies"].to_string().contains("kho=off") && found["kv_bytes"].is_null(), "{found}");
    let huge = of(&Scenario { huge_pages: 4 * GIB, ..clean() });
    let found = finding(&huge, "kernel_reserves");
    assert_eq!(found["kv_bytes"].as_i64(), Some(-(0.9 * (4 * G) as f64).round() as i64));
    assert!(found["remedies"].to_string().contains("vm.nr_hugepages=0"));
    assert_is(&of(&Scenario { huge_pages: 4 * GIB, ..discrete() }), "kernel_reserves", "refuted");
}

/// Lines of a model's file of `size`, of which `cached` lies in the page cache at query B.
fn file(more: &mut crate::support::More, size: u64, cached: u64) {
    let call = r#""fn":"open","layer":"libc","depth":0,"rc":0,"dur":0,"mod":"","off":"0x0""#;
    more.raw(
        "weights",
        &format!(
            r#"{call},"id":1,"path":"/m/model.safetensors","device":7,"inode":9,"size":{size},"mtime":5,"flags":"0x0","format":"safetensors""#
        ),
    );
    more.raw("cached", &format!(r#""of":{QUERY_B},"id":1,"files":1,"size":{size},"cached":{cached},"by":"cachestat""#));
}

#[test]
fn weights_that_are_there_twice() {
    let scenario = Scenario { page_cache: 14 * GIB, ..clean() };
    assert_is(&of(&scenario), "double_residency", "cannot tell");
    let twice = show(run(&scenario, |more| file(more, 14 * GIB, 12 * GIB)).path());
    assert_is(&twice, "double_residency", "supported");
    let found = finding(&twice, "double_residency");
    assert_eq!(found["kv_bytes"].as_i64(), Some(-(0.9 * (12 * G) as f64).round() as i64));
    assert!(found["remedies"].to_string().contains("iflag=nocache"), "{found}");
    assert_is(&show(run(&scenario, |more| file(more, 14 * GIB, GIB / 2)).path()), "double_residency", "refuted");
    let apart = show(run(&discrete(), |more| file(more, 14 * GIB, 12 * GIB)).path());
    assert_is(&apart, "double_residency", "refuted");
}

/// A server that comes to its end before it sizes a cache.
fn refused(free: u64, available: u64, asked: u64, given_later: bool) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let scenario = clean();
    let mut program = File::new(4242, 1, "program", "spark", "", "0::/x\n", &[b"/usr/bin/python3"]);
    program.line(|line, stamp| {
        kvtrace_trace::record::begin(line, "device", stamp).i64("dev", 0).text("name", b"NVIDIA GB10");
        line.u64("total", scenario.total).flag("integrated", true).u64("cc_major", 12).u64("cc_minor", 1);
        line.u64("driver", 13000);
    });
    program.query(&scenario, free, (available - free) * 10 / 9);
    let n = program.alloc("device", CUDART, 0x7000, asked);
    program.save(&home.path().join("run"));
    edit(home.path(), |text| {
        let failed = |line: &str| match line.contains(&format!("\"n\":{n},")) {
            true => line.replace("\"rc\":0", "\"rc\":2").replace("\"ptr\":\"0x7000\"", "\"ptr\":\"0x0\""),
            false => line.to_owned(),
        };
        let last = text.lines().last().unwrap().replace(&format!("\"n\":{n},"), &format!("\"n\":{},", n + 1));
        let lines = text.lines().map(failed).chain(given_later.then_some(last));
        lines.map(|line| line + "\n").collect()
    });
    home
}

#[test]
fn a_driver_that_does_not_get_what_the_kernel_calls_available() {
    let failed = show(refused(5 * GIB, 60 * GIB, 20 * GIB, false).path());
    assert_eq!(supported(&failed), ["driver_refuses"]);
    let found = finding(&failed, "driver_refuses");
    assert_eq!((number(found, "asked for"), number(found, "MemFree")), (20 * G, 5 * G));
    assert!(number(found, "MemAvailable") >= 59 * G);
    assert_is(&show(refused(5 * GIB, 12 * GIB, 20 * GIB, false).path()), "driver_refuses", "refuted");
    assert_is(&show(refused(25 * GIB, 60 * GIB, 20 * GIB, false).path()), "driver_refuses", "cannot tell");
    assert_is(&show(refused(5 * GIB, 60 * GIB, 20 * GIB, true).path()), "driver_refuses", "refuted");
    assert_is(&of(&clean()), "driver_refuses", "refuted");
}

#[test]
fn others_on_the_machine() {
    // Half of the scenario's heaps are the serving process's own.
    let heaps = of(&Scenario { anonymous: 8 * GIB, ..clean() });
    assert_eq!(supported(&heaps), ["other_process"]);
    let found = finding(&heaps, "other_process");
    assert_eq!(found["kv_bytes"].as_i64(), Some(-(0.9 * (4 * G) as f64).round() as i64));
    let listed = Some(Nvml { context: Some(GIB / 4), others: 5 * GIB, total: None });
    let on_device = of(&Scenario { untraced: 21 * GIB / 4, nvml: listed, ..clean() });
    assert_is(&on_device, "other_process", "supported");
    assert_eq!(number(finding(&on_device, "other_process"), "on the device"), 5 * G);
    // Somebody, or the driver: without NVML nothing tells.
    let silent = of(&Scenario { untraced: 5 * GIB, ..clean() });
    assert_is(&silent, "other_process", "cannot tell");
    assert_is(&silent, "leftover", "cannot tell");
    let alone = Some(Nvml { context: Some(GIB / 4), others: GIB / 8, total: None });
    assert_is(&of(&Scenario { untraced: GIB / 2, nvml: alone, ..clean() }), "other_process", "refuted");
}
