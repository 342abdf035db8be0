use kvtrace_tests::hooks;
use std::collections::BTreeSet;
use std::path::Path;

/// Functions about memory that are not hooked, and why. Forms of other ABIs and streams go without saying.
pub const LEFT_OUT: [(&[&str], &str); 5] = [
    (
        &["cuMemHostGetDevicePointer", "cuMemHostGetFlags", "cudaHostGetDevicePointer", "cudaHostGetFlags"],
        "tell of pinned memory what the call that took it has told already",
    ),
    (
        &[
            "cuGraphMemAllocNodeGetParams",
            "cuGraphMemFreeNodeGetParams",
            "cudaGraphMemAllocNodeGetParams",
            "cudaGraphMemFreeNodeGetParams",
        ],
        "give back what the node was made of",
    ),
    (&["cuMemBatchDecompressAsync"], "works on memory that the program has"),
    (
        &["cudaMemRangeGetAttribute", "cudaMemRangeGetAttributes"],
        "the driver's function is hooked, and names the library that asked",
    ),
    (
        &[
            "cuLogicalEndpointCreate",
            "cuLogicalEndpointDestroy",
            "cuLogicalEndpointBindMem",
            "cuLogicalEndpointBindAddr",
            "cuLogicalEndpointUnbind",
        ],
        "show memory that `cuMemCreate` took to other machines, and take none",
    ),
];

/// The exported names of a library, from the simulated GPU's lists.
pub fn names(list: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../crates/cuda-sim-{list}"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

/// Without the suffixes for its ABI and for per-thread streams.
fn base(name: &str) -> &str {
    let name = name.strip_suffix("_ptsz").or_else(|| name.strip_suffix("_ptds")).unwrap_or(name);
    match name.rsplit_once("_v") {
        Some((base, digits)) if digits.parse::<u32>().is_ok() => base,
        _ => name,
    }
}

/// By its name: it takes, gives back, moves or tells of memory. Copies and sets work on what was taken.
fn is_about_memory(name: &str) -> bool {
    const FAMILIES: [&str; 5] = ["cuMem", "cudaMem", "cudaMalloc", "cudaFree", "cudaHost"];
    const PARTS: [&str; 11] = [
        "MemPool",
        "GraphMem",
        "MemAllocNode",
        "MemFreeNode",
        "MemHandle",
        "ExternalMemory",
        "Multicast",
        "ArrayCreate",
        "ArrayDestroy",
        "Array3DCreate",
        "EndpointBind",
    ];
    let works_on_it = name.contains("Memcpy") || name.contains("Memset") || name.contains("memcpy");
    let about = FAMILIES.iter().any(|family| name.starts_with(family)) || PARTS.iter().any(|part| name.contains(part));
    about && !name.starts_with("cuMemcpy") && !name.starts_with("cuMemset") && !works_on_it
}

#[test]
fn every_function_about_memory_is_hooked_or_left_out_for_a_reason() {
    let table = hooks::table();
    let left_out: BTreeSet<&str> = LEFT_OUT.iter().flat_map(|(names, _)| names.iter().copied()).collect();
    for (list, major) in [("driver/names.txt", 0), ("cudart12/names12.txt", 12), ("cudart13/names13.txt", 13)] {
        let names = names(list);
        let is_hooked = |name: &str| table.iter().any(|row| row.symbol == name && row.major == major);
        for name in names.iter().filter(|name| is_about_memory(name)) {
            assert!(is_hooked(name) != left_out.contains(base(name)), "{name} of {list} is neither or both");
        }
    }
    let known: BTreeSet<String> = ["driver/names.txt", "cudart12/names12.txt", "cudart13/names13.txt"]
        .iter()
        .flat_map(|list| names(list))
        .map(|name| base(&name).to_owned())
        .collect();
    for name in left_out {
        assert!(known.contains(name), "no library has {name}");
    }
}

/// The forms for per-thread streams and the older ABIs of a hooked function are hooked as well.
#[test]
fn every_form_of_a_hooked_function_is_hooked() {
    let table = hooks::table();
    for (list, major) in [("driver/names.txt", 0), ("cudart12/names12.txt", 12), ("cudart13/names13.txt", 13)] {
        let rows: Vec<_> = table.iter().filter(|row| row.major == major && row.layer != "libc").collect();
        for name in names(list).iter().filter(|name| rows.iter().any(|row| row.name == base(name))) {
            assert!(rows.iter().any(|row| row.symbol == *name), "{name} of {list}");
        }
    }
}
