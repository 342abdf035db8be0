//! The GPU drivers of the kernel, and what of the kernel itself bears on memory.

use super::finding::Finding;
use super::machine::Machine;

/// From this version on the driver keeps freed pages of system memory for itself.
const PAGE_POOL: u32 = 590;
/// Boot parameters that bear on memory.
const PARAMETERS: [&str; 10] = [
    "kho",
    "cma",
    "hugepages",
    "hugepagesz",
    "default_hugepagesz",
    "mem",
    "transparent_hugepage",
    "init_on_alloc",
    "amdgpu.gttsize",
    "ttm.pages_limit",
];

/// Every finding about drivers.
pub fn findings(machine: &Machine) -> Vec<Finding> {
    let mut findings = vec![kernel(machine), nvidia(machine)];
    findings.extend(devices(machine));
    findings.extend(amd(machine));
    findings
}

fn kernel(machine: &Machine) -> Finding {
    let release = machine.text("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
    let line = machine.text("/proc/cmdline").unwrap_or_default();
    let parameters: Vec<&str> = line
        .split_whitespace()
        .filter(|word| PARAMETERS.contains(&word.split('=').next().unwrap_or_default()))
        .collect();
    let found = match parameters.is_empty() {
        true => format!("Linux {release}"),
        false => format!("Linux {release}, started with {}", parameters.join(" ")),
    };
    Finding::ok("driver.kernel", found).with("release", release).with("parameters", parameters)
}

fn nvidia(machine: &Machine) -> Finding {
    let check = "driver.nvidia";
    let Some(version) = version(machine) else {
        return Finding::ok(check, "no NVIDIA driver is loaded");
    };
    let pool = page_pool(machine);
    let major: u32 = version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
    let finding = match pool {
        Some(false) => Finding::ok(check, format!("{version}, without pools of system memory")),
        None if major < PAGE_POOL => Finding::ok(check, version.clone()),
        pool => Finding::note(
            check,
            match pool {
                Some(_) => format!("{version}, which keeps freed system memory in pools"),
                None => format!("{version}, which by default keeps freed system memory in pools"),
            },
            "After a server has ended, free memory may stay low by what it freed, until the kernel asks for it.",
            "echo 2 | sudo tee /proc/sys/vm/drop_caches",
        ),
    };
    let finding = finding.with("version", version);
    match pool {
        Some(pool) => finding.with("system_memory_pools", pool),
        None => finding,
    }
}

/// The version, from either of two files. One reads `NVRM version: NVIDIA UNIX ... Kernel Module ...  580.142 ...`.
fn version(machine: &Machine) -> Option<String> {
    if let Ok(text) = machine.text("/sys/module/nvidia/version") {
        return Some(text.trim().to_owned());
    }
    let text = machine.text("/proc/driver/nvidia/version").ok()?;
    let numbered = |word: &&str| word.contains('.') && word.split('.').all(|part| part.parse::<u32>().is_ok());
    text.lines().next()?.split_whitespace().find(numbered).map(str::to_owned)
}

/// Whether pools are on, where the driver tells: `EnableSystemMemoryPools: 529`, a mask of page sizes.
fn page_pool(machine: &Machine) -> Option<bool> {
    let text = machine.text("/proc/driver/nvidia/params").ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix("EnableSystemMemoryPools:"))?;
    Some(value.trim().parse::<u64>().ok()? != 0)
}

/// A driver without its device files: a container that was not given the GPU.
fn devices(machine: &Machine) -> Option<Finding> {
    let loaded = machine.exists("/proc/driver/nvidia/version");
    if !loaded || machine.exists("/dev/nvidiactl") {
        return None;
    }
    Some(Finding::note(
        "driver.devices",
        "the NVIDIA driver is loaded, but /dev/nvidiactl is not there",
        "Without the device files no program here reaches the GPU.",
        "docker run --gpus all, or --device /dev/nvidiactl --device /dev/nvidia0 --device /dev/nvidia-uvm",
    ))
}

fn amd(machine: &Machine) -> Option<Finding> {
    machine.exists("/sys/module/amdgpu").then(|| {
        let pages = machine.number("/sys/module/ttm/parameters/pages_limit");
        let finding = Finding::note(
            "driver.amdgpu",
            match pages {
                Some(pages) => format!("amdgpu, with at most {pages} pages of system memory"),
                None => "amdgpu".into(),
            },
            "On an APU carve-out, GTT and HIP's total disagree; kvtrace has not been tried on an AMD GPU.",
            "",
        );
        match pages {
            Some(pages) => finding.with("ttm_pages_limit", pages),
            None => finding,
        }
    })
}
