use crate::complete::LEFT_OUT;
use kvtrace_tests::hooks::{self, Row};
use std::fmt::Write as _;
use std::path::Path;

/// Set to write docs/hooks.md instead of comparing with it; `scripts/hooks-doc` does.
const WRITE: &str = "KVTRACE_WRITE_HOOKS_DOC";

const HEAD: &str = "\
# What the preload hooks

<!-- Written by scripts/hooks-doc from the table of the built preload. A test compares. -->

A hooked function runs as always; what it was asked and what it answered is written to the trace. What a call does to
memory, in the words of the tables below, and the event of docs/trace-format.md that it becomes:

| word | meaning | event |
|---|---|---|
| asks | for figures: how much memory is free, how much there is | `query`; of a limit, `call` |
| takes | memory, of the device or of the host | `alloc` |
| gives back | memory that was taken | `free` |
| maps, unmaps | physical memory that a handle stands for | `map`, `unmap` |
| retains | such a handle: its memory has one more holder | `retain` |
| moves | pages of managed memory are asked to go somewhere | `prefetch` |
| changes a pool | whose memory is taken in advance and kept for later | `call`, then `pool` |
| may take for a graph | memory that the driver takes when the graph runs, and keeps | `call`, then `pool` |
| noted | about memory, but takes and gives back none that could be counted | `call` |
| looks up | a function: what is found is answered with its wrapper | none |
| opens | a file; /proc/meminfo, `memory.*` below /sys/fs/cgroup and files of weights are noted | `file`, `weights` |
| uses | a file of weights: maps it, or gives advice about it | `use` |
| forks, becomes | another process, another program | `fork`, `exec` |

Bytes are counted on the layer of CUDA's driver, and of HIP, which has none below it. A call of CUDA's runtime says who
asked; the driver's call follows inside it. NVML's figures are a second witness, and count nothing.
";

/// Title and introduction of a layer.
fn about(layer: &str) -> (&'static str, &'static str) {
    match layer {
        "driver" => (
            "The CUDA driver API",
            "One function may have several forms: `cuGetProcAddress` gives the one that the program's CUDA version means, a \
             library that was linked gives the one of its symbol. `_ptsz` is the form with a default stream for each \
             thread. Where the forms differ in their arguments, each has a wrapper of its own; what the driver hands out \
             and this table does not know passes untouched, with one `warning` in the trace.",
        ),
        "runtime" => (
            "The CUDA runtime API",
            "Each major version of libcudart has wrappers of its own under its version node, so that the loader itself \
             picks the right one. A runtime that is linked statically is seen through the driver.",
        ),
        "nvml" => ("NVML", "What tools and runtimes ask the management library."),
        "hip" => (
            "HIP",
            "The runtime of AMD GPUs, which has no driver layer of its own. Calls that HIP makes inside itself are not counted twice.",
        ),
        "libc" => (
            "libc",
            "Memory figures of the operating system, and how a process finds functions and makes processes. Few of the calls \
             to these functions are ours; all others are handed on to the real function, which returns to its caller. \
             `sysconf` is noted for the numbers of pages, the limits for `RLIMIT_AS`, `RLIMIT_DATA` and \
             `RLIMIT_MEMLOCK` when the process asks for its own.",
        ),
        _ => panic!("no introduction for the layer {layer}"),
    }
}

const TYPES: &str = "\
Arguments are given as the wrappers pass them on: `*mut` is written or read by the function, `usize` is C's `size_t`,
`u32` `unsigned int`, `i32` `int` or an enumeration. `at` is the address that a call is about, `size` its bytes.
`Pointer` is a device address, `Handle` physical memory, `Device` an ordinal, `Location` a location's type and id.
";

const REST: &str = "
What no table and no line above names is none of the preload's business, on purpose:

* Copies, sets, launches, streams and events work on memory that was taken.
* `cudaGraphInstantiate`, `cudaLibraryLoadData` and their like end in a function of the driver that is hooked, which
  names the library that asked.
* The tables of `cuGetExportTable` are handed on as they are: NVIDIA's own libraries check them. What is taken through
  them, above all contexts, shows as a fall of the free memory between two queries.
* `dlopen`, `dlmopen` and `dlclose`: a wrapper would be their caller, and the caller's own search path decides what they
  find. New libraries are noticed at the next call.
* `read`, `fgets` and all that reads an opened file: libc reads for itself, past every hook. What a memory file says is
  written when it is opened.
* `setrlimit`, and `prlimit` that sets: they ask nothing.
* Every attribute of `cuPointerGetAttribute` and `cuPointerGetAttributes` but the size of a range is asked for without a
  line in the trace: Triton asks for one of each pointer at each launch.
";

fn document() -> String {
    let rows = hooks::table();
    let mut text = HEAD.to_owned();
    let mut layers: Vec<&str> = rows.iter().map(|row| row.layer.as_str()).collect();
    layers.dedup();
    layers.sort_by_key(|layer| ["driver", "runtime", "nvml", "hip", "libc"].iter().position(|known| known == layer));
    layers.dedup();
    for layer in layers {
        let of_layer: Vec<&Row> = rows.iter().filter(|row| row.layer == layer).collect();
        let (title, introduction) = about(layer);
        let _ = write!(text, "\n## {title}\n\n");
        wrap(&mut text, introduction);
        if layer == "driver" {
            let _ = write!(text, "\n{TYPES}");
        }
        text.push('\n');
        section(&mut text, layer, &of_layer);
    }
    text.push_str("\n## What is not hooked\n\n| function | why |\n|---|---|\n");
    for (names, reason) in LEFT_OUT {
        let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
        let _ = writeln!(text, "| {} | {reason} |", names.join(", "));
    }
    text.push_str(REST);
    text
}

fn section(text: &mut String, layer: &str, rows: &[&Row]) {
    match layer {
        "driver" => {
            text.push_str("| function | symbol | of CUDA | does | arguments |\n|---|---|---|---|---|\n");
            for row in rows {
                let Row { name, symbol, effect, .. } = row;
                let _ = writeln!(text, "| {name} | `{symbol}` | {} | {effect} | {} |", versions(row), arguments(row));
            }
        }
        "runtime" => {
            text.push_str("| function | symbol | of libcudart | does | arguments |\n|---|---|---|---|---|\n");
            let mut told: Vec<&Row> = Vec::new();
            for row in rows {
                let same = |other: &Row| {
                    (&other.symbol, &other.arguments, &other.effect) == (&row.symbol, &row.arguments, &row.effect)
                };
                if told.iter().any(|other| same(other)) {
                    continue;
                }
                told.push(row);
                let majors: Vec<_> =
                    rows.iter().filter(|other| same(other)).map(|other| other.major.to_string()).collect();
                let Row { name, symbol, effect, .. } = row;
                let _ =
                    writeln!(text, "| {name} | `{symbol}` | {} | {effect} | {} |", majors.join(", "), arguments(row));
            }
        }
        "libc" => {
            text.push_str("| function | does |\n|---|---|\n");
            for row in rows {
                let _ = writeln!(text, "| `{}` | {} |", row.symbol, row.effect);
            }
        }
        _ => {
            text.push_str("| function | does | arguments |\n|---|---|---|\n");
            for row in rows {
                let _ = writeln!(text, "| `{}` | {} | {} |", row.symbol, row.effect, arguments(row));
            }
        }
    }
}

/// `8.0 to 12.2`, the second not included.
fn versions(row: &Row) -> String {
    let dotted = |version: u32| format!("{}.{}", version / 1000, version % 1000 / 10);
    match row.versions {
        (since, 99999) => format!("{} on", dotted(since)),
        (since, until) => format!("{}, before {}", dotted(since), dotted(until)),
    }
}

fn arguments(row: &Row) -> String {
    if row.arguments.is_empty() { String::new() } else { format!("`{}`", row.arguments) }
}

/// Breaks a paragraph into lines as long as the tree's.
fn wrap(text: &mut String, paragraph: &str) {
    let mut width = 0;
    for word in paragraph.split_whitespace() {
        if width > 0 && width + word.len() >= 120 {
            text.push('\n');
            width = 0;
        } else if width > 0 {
            text.push(' ');
            width += 1;
        }
        text.push_str(word);
        width += word.len();
    }
    text.push('\n');
}

#[test]
fn the_documentation_is_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/hooks.md");
    let text = document();
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, &text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        return;
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let differing = text.lines().zip(written.lines()).position(|(now, then)| now != then);
    let line = differing.unwrap_or(text.lines().count().min(written.lines().count())) + 1;
    assert!(text == written, "docs/hooks.md is out of date from line {line} on: run scripts/hooks-doc");
}
