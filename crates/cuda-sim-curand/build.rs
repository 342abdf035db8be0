//! Completes the export list of `libcurand.so.10`.

fn main() -> std::io::Result<()> {
    kvtrace_cuda_sim_exports::quiet_library("libcurand.so.10", &[], 0)
}
