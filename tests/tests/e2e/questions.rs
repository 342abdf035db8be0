use kvtrace_tests::{Bench, kit, run};

#[test]
fn limits_of_memory_are_noted_and_no_others() {
    let bench = Bench::new();
    let program = bench.compile("limits", "limits", &[]);
    let plain = run(&mut bench.plain(&program));
    let traced = run(&mut bench.traced(&program));
    assert_eq!(plain.stdout, traced.stdout);
    let text = String::from_utf8(traced.stdout).unwrap();
    let trace = bench.trace();
    let noted: Vec<String> = trace
        .calls("call", "getrlimit")
        .iter()
        .map(|event| {
            let bytes = |key: &str| event.get(key).map_or(-1, |value| value.as_i64().unwrap());
            format!("{} {} {}", event["limit"].as_str().unwrap(), bytes("soft"), bytes("hard"))
        })
        .collect();
    assert_eq!(noted, text.lines().collect::<Vec<_>>());
    assert_eq!(noted[0], "memlock 1048576 3145728");
}

#[test]
fn of_a_pointer_s_attributes_only_its_size_is_noted() {
    let bench = Bench::new();
    let driver = kit("lib/sim/libcuda.so.1");
    let program = bench.compile("range_size", "range_size", &[driver.to_str().unwrap()]);
    run(&mut bench.traced(program));
    let trace = bench.trace();
    let taken = &trace.calls("alloc", "cuMemAlloc")[0]["ptr"];
    let one = trace.calls("call", "cuPointerGetAttribute");
    assert_eq!(one.len(), 1);
    assert_eq!(&one[0]["ptr"], taken);
    assert!(one[0]["size"].as_u64().unwrap() >= 3 << 20);
    let many = trace.calls("call", "cuPointerGetAttributes");
    assert_eq!(many.len(), 1);
    assert_eq!((&many[0]["ptr"], &many[0]["size"]), (taken, &12345.into()));
}
