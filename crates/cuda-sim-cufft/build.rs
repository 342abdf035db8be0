//! Completes the export list of `libcufft.so.12`.

fn main() -> std::io::Result<()> {
    kvtrace_cuda_sim_exports::quiet_library("libcufft.so.12", &[], 0)
}
