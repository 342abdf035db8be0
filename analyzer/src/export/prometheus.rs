//! Figures of runs as gauges, in Prometheus's text format.

use crate::failure::Failure;
use crate::load;
use crate::render::escape;
use crate::show::{self, Options, Show};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

/// One gauge, and its samples: labels and value.
struct Metric {
    name: &'static str,
    help: &'static str,
    samples: Vec<(String, String)>,
}

/// In this order.
const METRICS: [(&str, &str); 13] = [
    ("kvtrace_run_info", "1 for each run that was read."),
    ("kvtrace_run_start_timestamp_seconds", "When the run began."),
    ("kvtrace_decisions", "Processes of the run that sized a KV cache."),
    ("kvtrace_kv_cache_bytes", "Size of the KV cache; decision 0 is the largest of the run."),
    ("kvtrace_kv_cache_tokens", "Tokens that it holds."),
    ("kvtrace_kv_cache_fraction_ratio", "The fraction or share by which it was sized."),
    ("kvtrace_kv_cache_unexplained_bytes", "What the runtime's rule does not explain of it."),
    ("kvtrace_free_at_sizing_bytes", "Free memory of the device, as the query that sized the KV cache was told."),
    ("kvtrace_device_total_bytes", "Memory of the device, as that query was told."),
    ("kvtrace_page_cache_at_sizing_bytes", "Page cache of the machine at that query."),
    ("kvtrace_device_peak_bytes", "The most that traced processes held on the device."),
    ("kvtrace_events", "Events of the trace."),
    ("kvtrace_events_missing", "Events that the trace does not have."),
];

/// Of all runs.
///
/// # Errors
/// Those of loading a trace.
pub fn text(traces: &[PathBuf]) -> Result<String, Failure> {
    let mut metrics: Vec<Metric> =
        METRICS.map(|(name, help)| Metric { name, help, samples: Vec::new() }).into_iter().collect();
    for path in traces {
        let trace = load::trace(path)?;
        let show = show::show(&trace, &Options::of(path.clone()))?;
        for (name, labels, value) in samples(&show) {
            let metric = metrics.iter_mut().find(|metric| metric.name == name);
            if let Some(metric) = metric {
                metric.samples.push((labels, value));
            }
        }
    }
    let mut text = String::new();
    for Metric { name, help, samples } in metrics.iter().filter(|metric| !metric.samples.is_empty()) {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (labels, value) in samples {
            let _ = writeln!(text, "{name}{{{labels}}} {value}");
        }
    }
    Ok(text)
}

fn samples(show: &Show) -> Vec<(&'static str, String, String)> {
    let process = show.processes.iter().find(|process| process.role == "program").or(show.processes.first());
    let run = BTreeMap::from([
        ("run", show.trace.clone()),
        ("label", show.label.clone()),
        ("host", process.map(|process| process.host.clone()).unwrap_or_default()),
    ]);
    let with = |more: &[(&'static str, String)]| {
        labels(run.iter().map(|(k, v)| (*k, v)).chain(more.iter().map(|(k, v)| (*k, v))))
    };
    let runtime = show.decisions.first().map_or("", |decision| decision.runtime).to_owned();
    let info = with(&[
        ("device", show.device.clone().unwrap_or_default()),
        ("runtime", runtime),
        ("simulated", show.simulated.to_string()),
    ]);
    let whole = with(&[]);
    let started = show.processes.iter().map(|process| process.started_unix_ns).min().unwrap_or(0);
    let mut list = vec![
        ("kvtrace_run_info", info, "1".to_owned()),
        ("kvtrace_run_start_timestamp_seconds", whole.clone(), format!("{:.3}", started as f64 / 1e9)),
        ("kvtrace_decisions", whole.clone(), show.decisions.len().to_string()),
        ("kvtrace_device_peak_bytes", whole.clone(), show.device_peak_bytes.to_string()),
        ("kvtrace_events", whole.clone(), show.events.to_string()),
        ("kvtrace_events_missing", whole, show.dropped.to_string()),
    ];
    for (at, decision) in show.decisions.iter().enumerate() {
        let labels = with(&[("decision", at.to_string())]);
        let mut add = |name, value: String| list.push((name, labels.clone(), value));
        add("kvtrace_kv_cache_bytes", decision.final_pool_bytes.value.to_string());
        add("kvtrace_kv_cache_fraction_ratio", decision.fraction.value.to_string());
        add("kvtrace_kv_cache_unexplained_bytes", decision.unexplained_bytes.to_string());
        add("kvtrace_free_at_sizing_bytes", decision.free_b_bytes.value.to_string());
        add("kvtrace_device_total_bytes", decision.total_bytes.value.to_string());
        if let Some(tokens) = &decision.tokens {
            add("kvtrace_kv_cache_tokens", tokens.value.to_string());
        }
        let scene = show.scenes.get(at);
        let cached =
            scene.and_then(|scene| Some(scene.meminfo.get("Cached")? + scene.meminfo.get("Buffers").unwrap_or(&0)));
        if let Some(cached) = cached {
            add("kvtrace_page_cache_at_sizing_bytes", cached.to_string());
        }
    }
    list
}

fn labels<'l>(list: impl Iterator<Item = (&'static str, &'l String)>) -> String {
    let escaped = |text: &str| escape::terminal(text).replace('\\', "\\\\").replace('"', "\\\"");
    list.map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect::<Vec<_>>().join(",")
}
