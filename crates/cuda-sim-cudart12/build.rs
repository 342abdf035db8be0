//! Completes the export list of `libcudart.so.12` and puts it under the library's version node.

use kvtrace_cuda_sim_exports as exports;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let names = exports::names(Path::new("names12.txt"))?;
    let runtime = exports::written(Path::new("../cuda-sim-runtime/src"))?;
    let here = exports::written(Path::new("src"))?;

    let mut source = String::new();
    for name in &names {
        let target = if let Some(base) = exports::stands_for(name, &here) {
            Some(format!("crate::{base}"))
        } else {
            exports::stands_for(name, &runtime).map(|base| format!("kvtrace_cuda_sim_runtime::{base}"))
        };
        source.push_str(&exported(name, target.as_deref()));
    }
    fs::write(out.join("exports.rs"), source)?;

    exports::link_as("libcudart.so.12");
    exports::version_node("libcudart.so.12", &names, &out)
}

/// Source of the exported function `name`: a jump to `target`, or a function that returns success.
fn exported(name: &str, target: Option<&str>) -> String {
    // rustc's own version script names every exported Rust function, and what stands there gets no other version. A
    // symbol from assembly is left to the second script.
    let arm = env::var("CARGO_CFG_TARGET_ARCH").as_deref() == Ok("aarch64");
    let (code, argument) = match (target, arm) {
        (Some(target), false) => ("jmp {0}", format!(", sym {target}")),
        (Some(target), true) => ("b {0}", format!(", sym {target}")),
        (None, false) => ("xor eax, eax\\nret", String::new()),
        (None, true) => ("mov w0, 0\\nret", String::new()),
    };
    format!(
        "core::arch::global_asm!(\".section .text.{name},\\\"ax\\\",@progbits\\n.globl {name}\\n.type \
         {name},@function\\n{name}:\\n{code}\\n.size {name}, .-{name}\\n.text\"{argument});\n"
    )
}
