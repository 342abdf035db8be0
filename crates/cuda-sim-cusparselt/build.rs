//! Completes the export list of `libcusparseLt.so.0`.

fn main() -> std::io::Result<()> {
    kvtrace_cuda_sim_exports::quiet_library("libcusparseLt.so.0", &[], 0)
}
