//! What the environment would do to the program or to a trace of it.

use super::finding::Finding;
use super::machine::Machine;
use kvtrace_trace::redact;
use std::path::Path;

/// What is known of a library from its name alone.
const KNOWN: [(&str, &str); 9] = [
    ("libvgpu", "HAMi: changes the free and total memory that a program is told"),
    ("libcuda-control", "vcuda: changes the free and total memory that a program is told"),
    ("libcuda_hook", "an interposer on CUDA"),
    ("libjemalloc", "an allocator"),
    ("libtcmalloc", "an allocator"),
    ("libmimalloc", "an allocator"),
    ("libasan", "a sanitizer: wants to be first"),
    ("libnccl", "NCCL"),
    ("libkvtrace", "kvtrace"),
];
/// Variables that bound or divide a GPU.
const DIVIDING: [&str; 4] = [
    "CUDA_DEVICE_MEMORY_LIMIT",
    "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT",
    "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE",
    "CUDA_MPS_PIPE_DIRECTORY",
];
const OURS: [&str; 10] = [
    "KVTRACE_OUT",
    "KVTRACE_LABEL",
    "KVTRACE_DISABLE",
    "KVTRACE_LOG",
    "KVTRACE_VIEWS",
    "KVTRACE_PYTHON",
    "KVTRACE_PATCH",
    "KVTRACE_EVICT",
    "KVTRACE_SHIM",
    "KVTRACE_HOME",
];
const OF_THE_SIMULATION: &str = "KVTRACE_SIM_";

/// Every finding about the environment.
pub fn findings(machine: &Machine, variables: &[(String, String)]) -> Vec<Finding> {
    let get = |name: &str| variables.iter().find_map(|(key, value)| (key == name).then_some(value.as_str()));
    let mut findings = vec![
        preloads("environment.ld_preload", "LD_PRELOAD", get("LD_PRELOAD").unwrap_or_default(), machine),
        preloads(
            "environment.ld_so_preload",
            "/etc/ld.so.preload",
            &machine.text("/etc/ld.so.preload").unwrap_or_default(),
            machine,
        ),
    ];
    if let Some(audit) = get("LD_AUDIT").filter(|audit| !audit.is_empty()) {
        let why = "An audit library sees and may redirect every binding that the preload relies on.";
        findings.push(Finding::note("environment.ld_audit", format!("LD_AUDIT={audit}"), why, "unset LD_AUDIT"));
    }
    findings.extend(ours(variables));
    findings.extend(dividing(variables));
    findings.extend(installed(machine));
    findings
}

/// HAMi mounts itself there into each container that it divides a GPU for.
fn installed(machine: &Machine) -> Option<Finding> {
    const FOLDER: &str = "/usr/local/vgpu";
    machine.exists(FOLDER).then(|| {
        let why = "HAMi changes the free and total memory that a program is told.";
        Finding::note(
            "environment.hami",
            format!("{FOLDER} is there"),
            why,
            "compare nvidia-smi inside with one outside",
        )
    })
}

fn preloads(check: &'static str, place: &str, list: &str, machine: &Machine) -> Finding {
    let names: Vec<&str> = list
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default())
        .flat_map(|line| line.split([' ', ':', '\t']))
        .filter(|name| !name.is_empty())
        .collect();
    if names.is_empty() {
        return Finding::ok(check, format!("{place} names no library"));
    }
    let described: Vec<String> = names.iter().map(|name| describe(name, machine)).collect();
    let others = names.iter().any(|name| !name.contains("libkvtrace"));
    let found = format!("{place}: {}", described.join("; "));
    let finding = match others {
        false => Finding::ok(check, found),
        true => Finding::note(
            check,
            found,
            "Another preload may change what the program is told; `kvtrace run` puts its own in front of it, and a \
             trace holds what the program was told in the end.",
            format!(
                "to rule it out, trace once more without it: {}",
                match place {
                    "LD_PRELOAD" => "env -u LD_PRELOAD kvtrace run ...",
                    _ => "in a container that does not mount /etc/ld.so.preload",
                }
            ),
        ),
    };
    finding.with("libraries", names)
}

fn describe(name: &str, machine: &Machine) -> String {
    let file = Path::new(name).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let known = KNOWN.iter().find_map(|(prefix, what)| file.starts_with(prefix).then_some(*what));
    let missing = name.starts_with('/') && !machine.exists(name);
    match (known, missing) {
        (_, true) => format!("{name} (not there: the loader says so and goes on)"),
        (Some(what), _) => format!("{name} ({what})"),
        (None, _) => name.to_owned(),
    }
}

/// Values that the preload would not take, by its own rules.
fn ours(variables: &[(String, String)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut ignored = Vec::new();
    for (name, value) in variables.iter().filter(|(name, _)| name.starts_with("KVTRACE_")) {
        let value = value.as_str();
        let fault = match name.as_str() {
            "KVTRACE_DISABLE" if value == "1" => {
                findings.push(Finding::problem(
                    "environment.disabled",
                    "KVTRACE_DISABLE=1",
                    "The preload is inert with it: nothing is traced.",
                    "unset KVTRACE_DISABLE",
                ));
                continue;
            }
            "KVTRACE_DISABLE" if !matches!(value, "" | "0") => "is neither 0 nor 1",
            "KVTRACE_OUT" if value.is_empty() => "is empty: the trace goes to ./kvtrace-out",
            "KVTRACE_OUT" if value.len() > 1023 => "is longer than 1023 bytes: the trace goes to ./kvtrace-out",
            "KVTRACE_LABEL" if value.len() > 256 => "is longer than 256 bytes",
            "KVTRACE_LOG" if !matches!(value, "" | "off" | "error" | "info") => "is none of off, error, info",
            "KVTRACE_PATCH" if kvtrace_patch::parse(value.as_bytes()).is_err() || value.len() > 1024 => {
                "cannot be read: nothing is changed"
            }
            "KVTRACE_VIEWS" | "KVTRACE_PYTHON" | "KVTRACE_EVICT" if !matches!(value, "" | "0" | "1") => {
                "is neither 0 nor 1"
            }
            name if name.starts_with(OF_THE_SIMULATION) || OURS.contains(&name) => continue,
            _ => "is not a variable of kvtrace",
        };
        ignored.push(format!("{name} {fault}"));
    }
    findings.push(match ignored.is_empty() {
        true => Finding::ok("environment.kvtrace", "every KVTRACE_ variable that is set can be used"),
        false => Finding::note(
            "environment.kvtrace",
            ignored.join("; "),
            "What cannot be used is ignored, and the trace is not what was asked for.",
            "correct or unset it; kvtrace run --help names them",
        ),
    });
    findings
}

fn dividing(variables: &[(String, String)]) -> Option<Finding> {
    let set: Vec<String> = variables
        .iter()
        .filter(|(name, _)| DIVIDING.iter().any(|prefix| name.starts_with(prefix)))
        .filter_map(|(name, value)| redact::variable(format!("{name}={value}").as_bytes()).map(|_| (name, value)))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    (!set.is_empty()).then(|| {
        Finding::note(
            "environment.divided",
            set.join("; "),
            "The memory that a program is told, or may take, is then not the device's, and not every answer shows it.",
            "compare it with gpu.memory, which asked under the same variables",
        )
    })
}
