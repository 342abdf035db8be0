use kvtrace_tests::hooks::{self, Row};
use std::path::Path;

/// One ABI of a driver function.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Abi {
    /// The name that it is asked for by.
    pub name: String,
    /// The CUDA version that brought it, as `cuGetProcAddress` takes it.
    pub since: u32,
    /// Whether it is the form with a default stream per thread.
    pub per_thread: bool,
    /// The exported symbol.
    pub symbol: String,
}

/// Every ABI of every driver function, from the typedef headers of CUDA 13.5. `headers` checks the list against them.
pub fn read() -> Vec<Abi> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/cuda-sim-driver/versions.txt");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let words: Vec<_> = line.split(' ').collect();
            let [name, since, flag, symbol] = words[..] else { panic!("{line}") };
            let (name, symbol) = (name.to_owned(), symbol.to_owned());
            Abi { name, since: since.parse().unwrap(), per_thread: flag == "2", symbol }
        })
        .collect()
}

/// Not in the headers: an inline function there, which a driver may export.
pub const INLINE: &str = "cuGetProcAddress_v2_ptsz";

/// Each row claims the versions from its ABI's first on, up to the next ABI of its name.
#[test]
fn the_table_says_what_the_headers_say() {
    let abis = read();
    let table = hooks::table();
    let rows: Vec<&Row> = table.iter().filter(|row| row.layer == "driver" && row.symbol != INLINE).collect();
    for row in &rows {
        let abi = abis.iter().find(|abi| abi.symbol == row.symbol);
        let abi = abi.unwrap_or_else(|| panic!("{} is in no header", row.symbol));
        let later = abis
            .iter()
            .filter(|other| other.name == abi.name && other.per_thread == abi.per_thread && other.since > abi.since);
        let until = later.map(|other| other.since).min().unwrap_or(99999);
        let said = (row.name.as_str(), row.versions, row.per_thread);
        assert_eq!(said, (abi.name.as_str(), (abi.since, until), abi.per_thread), "{}", row.symbol);
    }
    // A name that is hooked in one of its ABIs is hooked in all.
    for abi in abis.iter().filter(|abi| rows.iter().any(|row| row.name == abi.name)) {
        assert!(rows.iter().any(|row| row.symbol == abi.symbol), "{} has no row", abi.symbol);
    }
    println!("{} rows of the driver agree with {} ABIs", rows.len(), abis.len());
}
