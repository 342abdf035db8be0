//! What Python noted, beside what stands in the trace.

use kvtrace_tests::{Bench, Trace};
use serde_json::Value;

/// Compares every stack of every process; tells how many there were. Each query has one, of its own thread, frame by
/// frame what Python says; only outer frames may be missing, and then the line says so.
pub fn all(bench: &Bench, what: &str) -> usize {
    let trace = bench.trace();
    let mut count = 0;
    for entry in std::fs::read_dir(bench.path("")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let Some(pid) = path.file_name().and_then(|name| name.to_str()?.strip_prefix("noted.")) else { continue };
        let pid: u64 = pid.parse().expect("a pid");
        let noted: Value = serde_json::from_slice(&std::fs::read(&path).expect("readable")).expect("JSON");
        count += process(&trace, pid, &noted, what);
    }
    count
}

fn process(trace: &Trace, pid: u64, noted: &Value, what: &str) -> usize {
    let stacks: Vec<&Value> = trace.events("stack").into_iter().filter(|stack| stack["pid"] == pid).collect();
    let noted_stacks = noted["noted"].as_array().expect("a list");
    let mut threads: Vec<u64> = noted_stacks.iter().map(|noted| noted["tid"].as_u64().expect("a number")).collect();
    threads.sort_unstable();
    threads.dedup();
    let mut count = 0;
    for thread in threads {
        let expected: Vec<&Value> = noted_stacks.iter().filter(|noted| noted["tid"] == thread).collect();
        let found: Vec<&Value> = stacks.iter().copied().filter(|stack| stack["tid"] == thread).collect();
        assert_eq!(found.len(), expected.len(), "{what}: stacks of thread {thread} of {pid}");
        for (found, expected) in found.iter().zip(&expected) {
            stack(found, expected["frames"].as_array().expect("a list"), what);
            assert_eq!(found["python"], noted["python"], "{what}");
            let query = trace.files.iter().flat_map(|file| &file.lines);
            let mut query = query.filter(|line| line["pid"] == pid && line["n"] == found["of"]);
            let query = query.next().expect("the query of the stack");
            assert!(query["depth"] == 0 && query["tid"] == thread, "{what}: {found} of {query}");
        }
        count += found.len();
    }
    count
}

fn stack(found: &Value, expected: &[Value], what: &str) {
    let frames = found["frames"].as_array().expect("a list");
    assert!(!frames.is_empty() && frames.len() <= expected.len(), "{what}: {found}\nexpected {expected:?}");
    for (index, (frame, expected)) in frames.iter().zip(expected).enumerate() {
        let frame = serde_json::json!([frame["file"], frame["line"], frame["func"]]);
        assert_eq!(&frame, expected, "{what}: frame {index} of {found}");
    }
    let is_whole = frames.len() == expected.len();
    assert_eq!(found.get("cut").is_none(), is_whole, "{what}: {found} of {} frames", expected.len());
    assert!(is_whole || frames.len() >= 4, "{what}: hardly any frames: {found}");
}
