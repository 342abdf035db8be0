use crate::asker;
use kvtrace_tests::{Bench, Trace, run};

/// ns at the beginning, and most that are kept.
const WHOLE: u64 = 50_000_000;
/// One ns for so many that pass.
const RATIO: u64 = 20;

/// Views that are made in any case.
const FIRST: u64 = 64;

/// A program that asks without end loses no more than the budget, but for its first views and those that were begun while
/// there was some.
fn is_kept(trace: &Trace, threads: usize) {
    for file in &trace.files {
        let views: Vec<_> = file.lines.iter().filter(|line| line["ev"] == "view").collect();
        let queries = file.lines.iter().filter(|line| line["ev"] == "query").count();
        let time = |line: &serde_json::Value| line["t"].as_u64().unwrap();
        let costs: Vec<u64> = views.iter().map(|view| view["cost"].as_u64().unwrap()).collect();
        let (spent, most) = (costs.iter().sum::<u64>(), *costs.iter().max().unwrap());
        let (first, last) = (file.lines.iter().map(time).min().unwrap(), file.lines.iter().map(time).max().unwrap());
        let passed = last - first + most;
        let budget = WHOLE + passed / RATIO + most * (FIRST + threads as u64);
        assert!(spent <= budget, "{spent} ns in {} views, of {budget} in {passed} ns", views.len());
        assert!(!views.is_empty() && views.len() < queries / 10, "{} views of {queries}", views.len());
    }
}

#[test]
fn a_hundred_thousand_questions_get_few_views() {
    let bench = Bench::new();
    run(bench.traced(asker(&bench)).args(["times", "100000", "1"]));
    let trace = bench.trace();
    assert_eq!(trace.calls("query", "sysinfo").len(), 100_000);
    is_kept(&trace, 1);
    assert_eq!(trace.events("dropped").len(), 0);
}

#[test]
fn threads_share_the_budget() {
    let bench = Bench::new();
    run(bench.traced(asker(&bench)).args(["times", "10000", "8"]));
    is_kept(&bench.trace(), 8);
}

/// Whoever asks now and then always gets one.
#[test]
fn a_question_now_and_then_has_a_view() {
    let bench = Bench::new();
    run(bench.traced(asker(&bench)).args(["times", "5", "1"]));
    let trace = bench.trace();
    assert_eq!((trace.events("query").len(), trace.events("view").len()), (5, 5));
    // The facts came with the first of them.
    assert_eq!(trace.events("fact").iter().filter(|fact| fact["name"] == "kernel.boot_id").count(), 1);
    for view in trace.events("view") {
        let zones = trace.events("zone").into_iter().filter(|zone| zone["of"] == view["of"]).count();
        assert!(zones > 0, "{view}");
    }
}
