//! Signs of a container. Each of them may be missing in a container and be there without one.

use super::finding::Finding;
use super::machine::Machine;

/// Namespaces that a kernel begins with, by the inode numbers that it gives them.
const FIRST: [(&str, &str); 5] = [
    ("ipc", "4026531839"),
    ("uts", "4026531838"),
    ("user", "4026531837"),
    ("pid", "4026531836"),
    ("cgroup", "4026531835"),
];
const ENGINES: [&str; 7] = ["docker", "kubepods", "containerd", "libpod", "lxc", "crio", "machine.slice"];
const WHY: &str = "Memory figures of /proc are the whole machine's, processes of others cannot be seen, and limits \
                   above may be hidden.";

/// What was found, without a verdict.
pub fn finding(machine: &Machine, variable: impl Fn(&str) -> Option<String>) -> Finding {
    let mut signs = Vec::new();
    for file in ["/.dockerenv", "/run/.containerenv"] {
        if machine.exists(file) {
            signs.push(format!("{file} is there"));
        }
    }
    for name in ["container", "KUBERNETES_SERVICE_HOST", "APPTAINER_CONTAINER", "SINGULARITY_CONTAINER"] {
        if variable(name).is_some() {
            signs.push(format!("{name} is set"));
        }
    }
    if let Ok(text) = machine.text("/run/systemd/container") {
        signs.push(format!("/run/systemd/container says {}", text.trim()));
    }
    if let Ok(groups) = machine.text("/proc/self/cgroup")
        && let Some(engine) = ENGINES.iter().find(|engine| groups.contains(*engine))
    {
        signs.push(format!("the control group's path holds {engine}"));
    }
    if let Ok(mounts) = machine.text("/proc/self/mountinfo")
        && let Some(kind) = root_kind(&mounts).filter(|kind| kind.starts_with("overlay") || kind.starts_with("fuse"))
    {
        signs.push(format!("the root file system is {kind}"));
    }
    let other: Vec<&str> = FIRST.iter().map(|(name, _)| *name).filter(|name| other_namespace(machine, name)).collect();
    if !other.is_empty() {
        signs.push(format!("namespaces other than the first: {}", other.join(", ")));
    }
    let count = signs.len();
    let finding = match count {
        0 => Finding::ok("container.signs", "no sign of a container"),
        1 => {
            Finding::note("container.signs", format!("1 sign of a container, which proves none: {}", signs[0]), WHY, "")
        }
        _ => Finding::note("container.signs", format!("{count} signs of a container: {}", signs.join("; ")), WHY, ""),
    };
    finding.with("signs", signs)
}

/// Whether a namespace of this process is another than the kernel's first; `false` if that cannot be found out.
pub fn other_namespace(machine: &Machine, name: &str) -> bool {
    let first = FIRST.iter().find_map(|(kind, inode)| (*kind == name).then_some(*inode)).unwrap_or_default();
    let Ok(link) = std::fs::read_link(machine.path(&format!("/proc/self/ns/{name}"))) else { return false };
    link.to_str() != Some(&format!("{name}:[{first}]"))
}

fn root_kind(mounts: &str) -> Option<&str> {
    // The last mount on a place hides those before it.
    mounts.lines().rfind(|line| line.split(' ').nth(4) == Some("/"))?.split_once(" - ")?.1.split(' ').next()
}
