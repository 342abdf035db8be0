use crate::{alike, compile, library, simulated};
use kvtrace_tests::{Bench, run};
use std::collections::BTreeSet;
use std::path::Path;

/// One answer of the driver.
#[derive(PartialEq, Eq, Debug)]
struct Answer {
    name: String,
    version: u32,
    flag: u64,
    rc: i32,
    status: i32,
    file: String,
    symbol: String,
    itself: bool,
}

fn answers(text: &str) -> Vec<Answer> {
    let of = |line: &str| {
        let cells: Vec<&str> = line.split(' ').collect();
        let [name, version, flag, rc, status, file, symbol, itself] = cells[..] else { panic!("{line}") };
        Answer {
            name: name.to_owned(),
            version: version.parse().unwrap(),
            flag: flag.parse().unwrap(),
            rc: rc.parse().unwrap(),
            status: status.parse().unwrap(),
            file: file.to_owned(),
            symbol: symbol.to_owned(),
            itself: itself == "1",
        }
    };
    text.lines().filter(|line| !line.starts_with("empty") && !line.starts_with("unknown")).map(of).collect()
}

/// The exported symbol that the versions table names for a question.
fn expected(table: &str, answer: &Answer) -> Option<String> {
    let rows: Vec<(u32, u64, &str)> = table
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let cells: Vec<&str> = line.split_whitespace().collect();
            (cells[0] == answer.name).then(|| (cells[1].parse().unwrap(), cells[2].parse().unwrap(), cells[3]))
        })
        .collect();
    let newest = |flag: u64| rows.iter().filter(|row| row.0 <= answer.version && row.1 == flag).max_by_key(|row| row.0);
    let per_thread = if answer.flag == 2 { newest(2) } else { None };
    per_thread.or_else(|| newest(0)).map(|row| row.2.to_owned())
}

/// Protects: whatever is asked, by whichever lookup, version and stream kind, the answer is the function of exactly
/// that ABI: the driver's own, or the wrapper that has its name.
#[test]
fn every_lookup_gets_its_own_abi() {
    let bench = Bench::new();
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/cuda-sim-driver/versions.txt");
    let table = std::fs::read_to_string(&list).unwrap();
    let program = compile(&bench, "resolver", "resolver", &["-ldl"]);
    let driver = simulated("libcuda.so.1");
    let plain = String::from_utf8(run(bench.plain(&program).arg(&driver).arg(&list)).stdout).unwrap();
    let traced = String::from_utf8(run(bench.traced(&program).arg(&driver).arg(&list)).stdout).unwrap();
    assert_eq!(plain.lines().take(2).collect::<Vec<_>>(), traced.lines().take(2).collect::<Vec<_>>());
    let (plain, traced) = (answers(&plain), answers(&traced));
    assert_eq!(plain.len(), traced.len());
    let (mut wrapped, mut shared) = (BTreeSet::new(), BTreeSet::new());
    for (plain, traced) in plain.iter().zip(&traced) {
        assert_eq!((plain.rc, plain.status), (traced.rc, traced.status), "{traced:?}");
        match traced.file.as_str() {
            "libkvtrace.so" => {
                let expected = expected(&table, traced).unwrap();
                if traced.symbol != expected {
                    shared.insert(expected);
                }
                assert!(traced.itself, "dlsym has another answer: {traced:?}");
                wrapped.insert(traced.symbol.clone());
            }
            // Not in the table: the very same answer.
            _ => assert_eq!((&plain.file, &plain.symbol), (&traced.file, &traced.symbol), "{traced:?}"),
        }
    }
    // What the table lacks may have the code of an ABI that it has; the driver's stubs share theirs.
    assert!(shared.is_disjoint(&wrapped), "{shared:?}");
    assert!(shared.len() < 2, "{shared:?}");
    for symbol in ["cuMemAlloc", "cuMemAlloc_v2", "cuMemAllocAsync", "cuMemAllocAsync_ptsz", "cuMemAdvise_v2"] {
        assert!(wrapped.contains(symbol), "{symbol} is not traced: {wrapped:?}");
    }
    assert!(wrapped.len() > 100, "{}: {wrapped:?}", wrapped.len());
}

/// Protects: an ABI that is newer than the table passes untouched, and the trace says that it lacks it.
#[test]
fn an_abi_of_the_future_passes_untouched() {
    let bench = Bench::new();
    let driver = library(&bench, "newer", "libcuda.so.1");
    let program = compile(&bench, "newest", "newest", &["-ldl"]);
    assert_eq!(alike(bench.plain(&program).arg(&driver), bench.traced(&program).arg(&driver)), "75\n6\n");
    let trace = bench.trace();
    let sizes: Vec<u64> =
        trace.calls("alloc", "cuMemAlloc").iter().map(|call| call["size"].as_u64().unwrap()).collect();
    assert_eq!(sizes, [6]);
    assert!(trace.events("warning")[0]["text"].as_str().unwrap().contains("no form of it that this version knows"));
}
