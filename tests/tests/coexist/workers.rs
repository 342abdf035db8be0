use crate::{compile, simulated};
use kvtrace_tests::{Bench, Trace, have, run};

const MIB: u64 = 1 << 20;

fn file_of(trace: &Trace, pid: u64) -> &kvtrace_tests::File {
    let mut files = trace.files.iter().filter(|file| file.lines[0]["pid"] == pid);
    let found = files.next().unwrap_or_else(|| panic!("{pid} has no file"));
    assert!(files.next().is_none(), "{pid} has several files");
    found
}

/// Protects: workers of every kind are traced each by itself, with the process that they come from.
#[test]
fn python_s_workers_have_their_own_traces() {
    if !have("python3", "multiprocessing") {
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/coexist/pool.py");
    for method in ["spawn", "fork", "forkserver"] {
        let bench = Bench::new();
        let output = run(bench.traced("python3").args([script, method, &simulated("libcudart.so.12")]));
        let trace = bench.trace();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.lines().count(), 3, "{text}");
        for line in text.lines() {
            let words: Vec<u64> = line.split(' ').map(|word| word.parse().unwrap()).collect();
            let [pid, parent, size] = words[..] else { panic!("{line}") };
            let file = file_of(&trace, pid);
            let header = &file.lines[0];
            assert_eq!(header["ppid"], parent, "{method}");
            // A spawned worker is a program of its own; the others began with their parent's memory, which asked nothing.
            let expected = if method == "spawn" { 0 } else { parent };
            assert_eq!(header["forked_from"], expected, "{method}");
            let taken = file.lines.iter().filter(|line| line["fn"] == "cudaMalloc" && line["ev"] == "alloc");
            assert_eq!(taken.map(|line| line["size"].as_u64().unwrap()).collect::<Vec<_>>(), [size], "{method}");
        }
    }
}

/// Protects: what a launcher starts is traced by the environment alone.
#[test]
fn mpi_s_ranks_have_their_own_traces() {
    if !have("mpirun", "ranks of mpirun") {
        return;
    }
    let bench = Bench::new();
    let program = compile(&bench, "rank", "rank", &[&simulated("libcudart.so.12")]);
    let mut command = bench.plain("mpirun");
    command
        .args(["--allow-run-as-root", "--oversubscribe", "-n", "4", "-x", "LD_PRELOAD", "-x", "KVTRACE_OUT"])
        .args(["-x", "LD_LIBRARY_PATH", "-x", "KVTRACE_SIM_STATE"])
        .arg(program);
    command.env("LD_PRELOAD", crate::shim()).env("KVTRACE_OUT", bench.path("trace"));
    let output = run(&mut command);
    let mut said: Vec<_> = std::str::from_utf8(&output.stdout).unwrap().lines().collect();
    said.sort_unstable();
    assert_eq!(said, ["rank 0", "rank 1", "rank 2", "rank 3"]);
    let trace = bench.trace();
    let ranks: Vec<_> =
        trace.files.iter().filter(|file| file.lines[0]["exe"].as_str().unwrap().ends_with("/rank")).collect();
    assert_eq!(ranks.len(), 4);
    let mut sizes: Vec<u64> =
        trace.calls("alloc", "cuMemAlloc").iter().map(|call| call["size"].as_u64().unwrap()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [MIB, 2 * MIB, 3 * MIB, 4 * MIB]);
    let launcher = ranks[0].lines[0]["ppid"].as_u64().unwrap();
    assert!(ranks.iter().all(|file| file.lines[0]["ppid"] == launcher && file.lines[0]["forked_from"] == 0));
}
