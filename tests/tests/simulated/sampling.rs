use super::*;

/// `show` has a conclusion to draw from it: exit code 0.
fn sampled(bench: &Bench, options: &[&str], program: &[&str]) -> Value {
    let mut command = kvtrace(bench);
    run(command.args(["run", "--quiet", "-o", "sampled"]).args(options).arg("--").args(program));
    let output = kvtrace(bench).args(["show", "sampled", "--format", "json"]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_launcher_draws_the_timeline_and_names_files_that_nobody_opened() {
    const SIZE: u64 = 64 << 20;
    // Files in a tmpfs are no page cache.
    let bench = Bench::new_in("/var/tmp");
    let workload = kit("bin/kvtrace-workload");
    std::fs::create_dir(bench.path("earlier")).unwrap();
    let fill = ["fill-page-cache", "earlier/weights.bin", "--bytes", &SIZE.to_string()];
    run(bench.plain(&workload).args(fill));
    let serve = format!("sleep 0.5; {} serve --model tiny --json >/dev/null; sleep 0.5", workload.display());
    let show = sampled(&bench, &["--sample", "50ms", "--page-cache", "earlier"], &["sh", "-c", &serve]);
    run(bench.plain(&workload).args(["drop-page-cache", "earlier/weights.bin"]));

    let timeline = &show["timeline"];
    let all = timeline["all"].as_array().unwrap();
    // Of about 20; a busy machine may miss some.
    assert!((5..=60).contains(&all.len()), "{} samples", all.len());
    let times: Vec<f64> = all.iter().map(|point| point["seconds"].as_f64().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert!(all.iter().all(|point| point["meminfo"]["MemFree"].as_u64().unwrap() > 0));
    assert!(all.iter().any(|point| point["processes"].as_u64().unwrap() >= 2), "the children were not found");
    assert!(all.iter().any(|point| point["rss"]["rss_anon"].as_u64().unwrap() > 0));
    let marks = |step: &Value| step["marks"].as_array().unwrap().iter().any(|mark| mark == "B sized the KV cache");
    assert!(timeline["steps"].as_array().unwrap().iter().any(marks), "{timeline}");

    let missing = show["facts"]["missing"].as_array().unwrap();
    if let Some(why) = missing.iter().find(|row| row["what"] == "cached") {
        return kvtrace_tests::skip(&format!("cachestat(2): {}", why["reason"]));
    }
    let named = all.iter().filter_map(|point| point["named_files"]["earlier"]["cached_bytes"].as_u64());
    let most = named.max().expect("the files were never looked at");
    assert!(most.abs_diff(SIZE) <= SIZE / 100, "{most} of {SIZE}");
}

#[test]
fn sampling_ends_with_the_program_and_changes_nothing_of_it() {
    let bench = Bench::new();
    let begin = std::time::Instant::now();
    let mut command = kvtrace(&bench);
    command.args(["run", "--quiet", "-o", "short", "--sample", "60m", "--", "sh", "-c", "echo out; exit 7"]);
    let output = command.output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(7), b"out\n".as_slice()));
    assert!(begin.elapsed().as_secs() < 60, "it waited for the next sample");
}

#[test]
fn a_time_that_is_none_is_refused_with_a_reason() {
    let bench = Bench::new();
    for (time, reason) in [("100", "100ms or 1s"), ("1ms", "at least 10ms"), ("2000m", "at most one hour")] {
        let output = kvtrace(&bench).args(["run", "--sample", time, "--", "true"]).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(reason), "{error}");
    }
    let output = kvtrace(&bench).args(["run", "--page-cache", "/tmp", "--", "true"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
