//! Completes the export list of `libcusparse.so.12`.

fn main() -> std::io::Result<()> {
    kvtrace_cuda_sim_exports::quiet_library("libcusparse.so.12", &[], 0)
}
