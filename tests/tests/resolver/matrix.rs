use crate::abis::{self, Abi};
use crate::{Answer, Question, ask};
use kvtrace_tests::{Bench, elf, hooks, kit};
use std::collections::{BTreeMap, BTreeSet};

const NOT_FOUND: i32 = 500;

/// Names that no driver has, among them exported symbols: only names without the suffix of an ABI are asked for.
const OUTSIDE: [&str; 12] = [
    "",
    "NULL",
    "cu",
    "cuMem",
    "cuMemAlloc_v2",
    "cuMemAllocAsync_ptsz",
    "cuMemAllocX",
    "cudaMalloc",
    "cublasCreate_v2",
    "cudnnCreate",
    "dlsym",
    "open",
];

/// The ABI that a driver answers with which knows all of `abis`: the newest that the version includes, in its form for
/// per-thread streams if there is one and it is asked for.
pub fn newest<'a>(abis: &'a [Abi], question: &Question) -> Option<&'a Abi> {
    let known = || abis.iter().filter(|abi| abi.name == question.name && abi.since as i32 <= question.version);
    let newest = |per_thread| known().filter(|abi| abi.per_thread == per_thread).max_by_key(|abi| abi.since);
    let per_thread = question.flags == 2 || question.flags == 0 && question.way == "per-thread";
    per_thread.then(|| newest(true)).flatten().or_else(|| newest(false))
}

#[test]
fn every_answer_is_the_driver_s_own_or_a_wrapper_of_the_same_abi() {
    let abis = abis::read();
    let table = hooks::table();
    let exports: BTreeMap<String, u64> =
        elf::exports(&kit("lib/sim/libcuda.so.1")).into_iter().map(|export| (export.name, export.offset)).collect();

    let mut names: BTreeSet<&str> = abis.iter().map(|abi| abi.name.as_str()).collect();
    names.extend(OUTSIDE);
    let names: Vec<&str> = names.into_iter().collect();
    // Each version that brought an ABI, the one before it, the first and some that nobody knows.
    let mut versions: BTreeSet<i32> = abis.iter().flat_map(|abi| [abi.since as i32 - 1, abi.since as i32]).collect();
    versions.extend([i32::MIN, -1, 0, 2000, 3020, 4000, 13050, 13060, 14000, i32::MAX]);
    let versions: Vec<i32> = versions.into_iter().collect();

    let bench = Bench::new();
    let plain = ask(&bench, None, &names, &versions, false);
    let traced = ask(&bench, None, &names, &versions, true);
    assert_eq!(plain.len(), names.len() * versions.len() * 3 * 6 + 1, "no line twice, none missing");
    assert!(plain.keys().eq(traced.keys()));

    let (mut wrapped, mut same) = (0, 0);
    let mut used = BTreeSet::new();
    for ((question, plain), traced) in plain.iter().zip(traced.values()) {
        assert_eq!((plain.rc, plain.status), (traced.rc, traced.status), "{question:?}");
        let abi = newest(&abis, question).filter(|_| question.way != "nowhere");
        // The simulated driver is right, or it is no judge.
        match abi {
            Some(abi) => assert_eq!((plain.rc, plain.offset), (0, exports[&abi.symbol]), "{question:?}: {plain:?}"),
            None if question.way == "nowhere" => {}
            None => assert_eq!((plain.rc, plain.library.as_str()), (NOT_FOUND, "-"), "{question:?}: {plain:?}"),
        }
        let hooked = abi.filter(|abi| table.iter().any(|row| row.layer == "driver" && row.symbol == abi.symbol));
        match hooked {
            Some(abi) => {
                assert!(traced.is_wrapper(), "{question:?} is not seen: {traced:?}");
                assert_eq!(traced.symbol, abi.symbol, "{question:?}");
                used.insert(&abi.symbol);
                wrapped += 1;
            }
            None => {
                let place = |answer: &Answer| (answer.library.clone(), answer.offset);
                assert_eq!(place(plain), place(traced), "{question:?}");
                same += 1;
            }
        }
    }
    println!(
        "{} cells: {} names, {} versions, 3 flags, 6 ways; {wrapped} wrapped ({} symbols), {same} the driver's own",
        plain.len(),
        names.len(),
        versions.len(),
        used.len()
    );
    let of_driver = table.iter().filter(|row| row.layer == "driver").map(|row| &row.symbol).collect::<BTreeSet<_>>();
    let unused: Vec<_> = of_driver.difference(&used).collect();
    assert_eq!(unused, [&"cuGetProcAddress_v2_ptsz"], "reached by no question");
    assert_eq!(bench.trace().events("warning").len(), 0, "the simulated driver is no newer than the table");
}
