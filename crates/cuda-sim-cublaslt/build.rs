//! Completes the export list of `libcublasLt.so.13`.

fn main() -> std::io::Result<()> {
    kvtrace_cuda_sim_exports::quiet_library("libcublasLt.so.13", &[], 0)
}
