//! Which arguments and variables may stand in a header. Secrets are blanked before anything reaches a file.

/// Variables that steer memory or tell ranks and containers apart; a trailing `*` stands for any rest.
const VARIABLES: [&[u8]; 26] = [
    b"CUDA_*",
    // Not all of NVIDIA_*: what an image requires is a text of kilobytes.
    b"NVIDIA_VISIBLE_DEVICES",
    b"NVIDIA_DRIVER_CAPABILITIES",
    b"PYTORCH_*",
    b"TORCH_*",
    b"TRTLLM_*",
    b"TLLM_*",
    b"VLLM_*",
    b"SGLANG_*",
    b"GGML_*",
    b"OLLAMA_*",
    b"NCCL_*",
    b"HIP_*",
    b"ROCR_*",
    b"HSA_*",
    b"MALLOC_*",
    b"KVTRACE_*",
    b"LD_PRELOAD",
    b"LD_LIBRARY_PATH",
    b"RANK",
    b"LOCAL_RANK",
    b"WORLD_SIZE",
    b"OMPI_COMM_WORLD_*",
    b"PMIX_RANK",
    b"container",
    b"KUBERNETES_SERVICE_HOST",
];
const SECRET: [&[u8]; 6] = [b"token", b"secret", b"passw", b"api_key", b"api-key", b"credential"];
const BLANK: &[u8] = b"[redacted]";

/// The arguments, with those blanked that hold a secret: `--api-key=X` whole, after `--api-key` the next one.
pub fn arguments<'a>(arguments: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = &'a [u8]> {
    let mut secret_follows = false;
    arguments.map(move |argument| {
        let (secret, assigns) = (is_secret(argument), argument.contains(&b'='));
        let hide = core::mem::replace(&mut secret_follows, secret && !assigns) || secret && assigns;
        if hide { BLANK } else { argument }
    })
}

/// Name and value of a `NAME=VALUE` that belongs into a header, its value blanked if the name speaks of a secret.
pub fn variable(entry: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = entry.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (entry.get(..equals)?, entry.get(equals.wrapping_add(1)..)?);
    let wanted = VARIABLES.iter().any(|pattern| match pattern.strip_suffix(b"*") {
        Some(prefix) => name.starts_with(prefix),
        None => name == *pattern,
    });
    wanted.then_some((name, if is_secret(name) { BLANK } else { value }))
}

fn is_secret(text: &[u8]) -> bool {
    SECRET.iter().any(|word| text.windows(word.len().max(1)).any(|part| part.eq_ignore_ascii_case(word)))
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn blanks_secret_arguments() {
        let given: [&[u8]; 5] = [b"serve", b"--api-key", b"abc", b"--hf_TOKEN=x", b"--port=1"];
        let kept: Vec<&[u8]> = arguments(given.into_iter()).collect();
        assert_eq!(kept, [b"serve".as_slice(), b"--api-key", BLANK, BLANK, b"--port=1"]);
    }

    #[test]
    fn keeps_what_steers_memory_only() {
        assert_eq!(
            variable(b"CUDA_VISIBLE_DEVICES=0=1"),
            Some((b"CUDA_VISIBLE_DEVICES".as_slice(), b"0=1".as_slice()))
        );
        assert_eq!(variable(b"VLLM_API_KEY=x"), Some((b"VLLM_API_KEY".as_slice(), BLANK)));
        assert_eq!(variable(b"HOME=/x"), None);
        assert_eq!(variable(b"NVIDIA_REQUIRE_CUDA=cuda>=13.0"), None);
        assert_eq!(variable(b"RANKS=1"), None);
        assert_eq!(variable(b"broken"), None);
    }
}
