use crate::abis;
use crate::matrix::newest;
use crate::{Answer, Question, parse};
use kvtrace_tests::{Bench, elf, hooks, kit, run};
use std::collections::BTreeMap;

const NAMES: [&str; 9] = [
    "cuMemAlloc",
    "cuMemAdvise",
    "cuMemAllocAsync",
    "cuMemCreate",
    "cuMulticastBindMem",
    "cuGraphAddNode",
    "cuGetProcAddress",
    "cuLaunchKernel",
    "cuNoSuchFunction",
];

/// The runtime asks by the lookup function that it was given when it started, which is ours.
#[test]
fn the_runtime_s_own_lookup_reaches_the_same_wrappers() {
    let (abis, table) = (abis::read(), hooks::table());
    let exports: BTreeMap<String, u64> =
        elf::exports(&kit("lib/sim/libcuda.so.1")).into_iter().map(|export| (export.name, export.offset)).collect();
    for (major, own_version) in [(12, 12090), (13, 13000)] {
        let bench = Bench::new();
        let program = bench.compile("entry_points", "entry_points", &["-ldl"]);
        let mut command = bench.traced(program);
        command.arg(kit(&format!("lib/sim/libcudart.so.{major}"))).args(NAMES);
        let text = String::from_utf8(run(&mut command).stdout).unwrap();
        let answers: Vec<(Question, Answer)> = text.lines().map(parse).collect();
        assert_eq!(answers.len(), NAMES.len() * 2 * 3 * 6);
        let mut wrapped = 0;
        for (question, answer) in &answers {
            let mut meant = question.clone();
            if meant.version == 0 {
                meant.version = own_version;
            }
            if meant.way.ends_with("-ptsz") {
                meant.way = "per-thread".to_owned();
            }
            let Some(abi) = newest(&abis, &meant) else {
                assert_eq!(answer.library, "-", "{question:?}: {answer:?}");
                continue;
            };
            if table.iter().any(|row| row.symbol == abi.symbol) {
                assert!(answer.is_wrapper(), "{question:?}: {answer:?}");
                assert_eq!(answer.symbol, abi.symbol, "{question:?}");
                wrapped += 1;
            } else {
                let place = (answer.library.as_str(), answer.offset);
                assert_eq!(place, ("libcuda.so.1", exports[&abi.symbol]), "{question:?}: {answer:?}");
            }
        }
        // Who asked is in the trace, with the runtime's name for it.
        let trace = bench.trace();
        let asked = trace.calls("call", "cudaGetDriverEntryPoint").len()
            + trace.calls("call", "cudaGetDriverEntryPointByVersion").len();
        assert_eq!(asked, answers.len());
        println!("libcudart {major}: {} questions, {wrapped} answered with wrappers", answers.len());
    }
}
