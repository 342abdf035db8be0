//! Whether the device is what it says: its total, and who may stand between it and the program.

use super::case::Case;
use super::{Finding, PARTITION, Remedy, TOTAL};
use crate::render::gib;
use crate::settings::Setting;

/// NVML counts what the driver keeps for itself: 0.6 % on an H100.
const SAME_TOTAL: f64 = 0.02;

fn same(a: i128, b: i128) -> bool {
    (a - b).abs() as f64 <= SAME_TOTAL * a.max(b) as f64
}

/// What NVML says that the device has.
fn nvml_total(case: &Case) -> Option<i128> {
    case.usage()?.total.map(i128::from).filter(|total| *total > 0)
}

pub fn total(case: &Case) -> Finding {
    let it = TOTAL;
    let (total, free) = (i128::from(case.decision().total_bytes.value), i128::from(case.scope.free));
    let told = |found: Finding| found.number("device total", total).seen(case.here());
    if free > total {
        let because = format!("{} are free of {} in total: the two come from different pools", gib(free), gib(total));
        return told(it.supported(because).number("free", free));
    }
    let card = case.scope.view.and_then(|view| {
        let of =
            |figures: &crate::load::machine::Figures, name: &str| figures.get(name).map(|bytes| i128::from(*bytes));
        view.around.cards.iter().find_map(|(_, figures)| of(figures, "vram_total").zip(of(figures, "gtt_total")))
    });
    match case.scope.integrated() {
        Some(true) if case.trace().simulated() => {
            told(it.open("the GPU is simulated: its total is what it was set to"))
        }
        Some(true) => match case.line("MemTotal") {
            None => told(it.open("no view of the machine lies beside the sizing query")),
            Some(machine) if (machine - total).abs() < case.floor => {
                told(it.refuted("the device's total is the machine's MemTotal").number("MemTotal", machine))
            }
            Some(machine) => {
                let because = match machine > total {
                    true => format!("the driver shows {} of the machine's {}", gib(total), gib(machine)),
                    false => format!(
                        "the driver shows {}, the kernel has {}: the rest is carved out",
                        gib(total),
                        gib(machine)
                    ),
                };
                let found = told(it.supported(because).number("MemTotal", machine));
                let text = match card {
                    Some(_) => "raise the pages that the GPU may use (ttm.pages_limit), or its share in the firmware",
                    None => {
                        "set the reserved memory in the firmware to its least, and compare fractions at one total only"
                    }
                };
                found.remedy(Remedy::new(text))
            }
        },
        integrated => match (nvml_total(case), card) {
            (Some(listed), _) if same(listed, total) => {
                told(it.refuted("NVML lists the same total").number("NVML total", listed))
            }
            (Some(listed), _) => told(
                it.open(format!("NVML lists {} for the device: see partitions", gib(listed)))
                    .number("NVML total", listed),
            ),
            (None, Some((vram, _))) if same(vram, total) => told(it.refuted("the total is the card's VRAM")),
            (None, Some((vram, gtt))) => {
                told(it.supported(format!("the total is a sum of pools: VRAM {}, GTT {}", gib(vram), gib(gtt))))
            }
            (None, None) if integrated.is_none() => told(it.open("the trace describes no GPU")),
            (None, None) => told(it.open("nothing but the driver tells the total")),
        },
    }
}

/// Signs that something stands between the program and the device. The second says whether it bounds memory by itself.
fn signs(case: &Case) -> Vec<(String, bool, String)> {
    let trace = case.trace();
    let process = case.decision().process;
    let mut list = Vec::new();
    let header = trace.evidence(process, 1);
    let uuids = case.scope.device.map(|device| (&device.uuid, trace.evidence(device.process, device.n)));
    let uuids = uuids.into_iter().chain(case.usage().map(|usage| (&usage.uuid, case.here().concat())));
    if let Some((uuid, evidence)) = uuids.into_iter().find(|(uuid, _)| uuid.starts_with("MIG-")) {
        list.push((format!("the device is a slice of a GPU ({uuid})"), true, evidence));
    }
    if let Some(running) = trace.processes.get(process as usize) {
        for (name, value) in &running.env {
            let sign = match name.as_str() {
                "CUDA_VISIBLE_DEVICES" | "NVIDIA_VISIBLE_DEVICES" if value.contains("MIG-") => Some(true),
                "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT" => Some(true),
                "CUDA_MPS_PIPE_DIRECTORY" | "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE" => Some(false),
                name if name.starts_with("CUDA_DEVICE_MEMORY_LIMIT") => Some(true),
                _ => None,
            };
            if let Some(bounds) = sign {
                list.push((format!("{name}={value}"), bounds, header.clone()));
            }
        }
    }
    let loaded = trace.seen.loaded.iter().filter(|loaded| loaded.process == process);
    for loaded in loaded.filter(|loaded| trace.module(loaded.module).contains("libvgpu")) {
        let text = format!("{} is loaded, which bounds memory", trace.module(loaded.module));
        list.push((text, true, trace.evidence(loaded.process, loaded.n)));
    }
    let wsl = trace
        .seen
        .facts
        .iter()
        .find(|fact| fact.name == "kernel.release" && fact.text.to_ascii_lowercase().contains("microsoft"));
    if let Some(fact) = wsl {
        let text = "the kernel is WSL's: Windows holds memory of the GPU that no process shows";
        list.push((text.into(), false, trace.evidence(fact.process, fact.n)));
    }
    list
}

pub fn partition(case: &Case) -> Finding {
    let it = PARTITION;
    let total = i128::from(case.decision().total_bytes.value);
    let signs = signs(case);
    let evidence: Vec<String> = case.here().into_iter().chain(signs.iter().map(|(.., of)| of.clone())).collect();
    let listed = nvml_total(case);
    let told = |found: Finding| {
        let found = found.number("device total", total).seen(evidence.clone());
        match listed {
            Some(listed) => found.number("NVML total", listed),
            None => found,
        }
    };
    let named = signs.iter().map(|(text, ..)| text.as_str()).collect::<Vec<_>>().join("; ");
    let differs = listed.filter(|listed| !same(*listed, total));
    if differs.is_some() || signs.iter().any(|(_, bounds, _)| *bounds) {
        let because = match (differs, named.is_empty()) {
            (Some(listed), true) => format!("CUDA has {} and NVML lists {}", gib(total), gib(listed)),
            (Some(listed), false) => format!("CUDA has {} and NVML lists {}; {named}", gib(total), gib(listed)),
            (None, _) => named,
        };
        return told(it.supported(because)).remedy(feasible(case));
    }
    if !named.is_empty() {
        return told(it.open(format!("{named}; no figure says what it takes")));
    }
    let whole = case.scope.integrated() == Some(true)
        && case.line("MemTotal").is_some_and(|machine| (machine - total).abs() < case.floor);
    match listed.is_some() || whole {
        true => told(it.refuted("the total is that of the whole device, and no sign of a layer above it was seen")),
        false => told(it.open("no sign of one was seen, and nothing but the driver tells the total")),
    }
}

/// A share of a total fits only where it is free.
fn feasible(case: &Case) -> Remedy {
    let decision = case.decision();
    let first = decision.rule.free.first().filter(|_| decision.rule.total_share > 0.0);
    match first {
        Some(at_start) => {
            let most = at_start.free_bytes as f64 / decision.total_bytes.value as f64;
            let most = format!("{:.2}", (most * 100.0).floor() / 100.0);
            let setting = Setting::new("--gpu-memory-utilization", most);
            Remedy::with("the largest share that starts on this device", vec![setting])
        }
        None => Remedy::new("size by what CUDA shows for the slice; a fraction of free memory fits by itself"),
    }
}
