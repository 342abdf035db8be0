//! Completes the export list of `libcudnn.so.9`.

fn main() -> std::io::Result<()> {
    kvtrace_cuda_sim_exports::quiet_library(
        "libcudnn.so.9",
        &["cudnnCreateRNN", "cudnnGetRNN", "cudnnRNN", "cudnnCTC", "cudnnCreateCTC"],
        3000,
    )
}
