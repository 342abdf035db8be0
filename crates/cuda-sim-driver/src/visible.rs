//! `CUDA_VISIBLE_DEVICES`: which devices a process sees, and in which order.

use kvtrace_cuda_sim::Profile;
use std::fmt::Write as _;

pub(crate) const ENV: &str = "CUDA_VISIBLE_DEVICES";

/// The machine's devices that are visible, by number. A list ends, as with a real driver, at the first entry that is
/// none of them; a device that is named twice makes the list worthless.
pub(crate) fn among(profiles: &[Profile], list: Option<&str>) -> Vec<u32> {
    let all = 0..profiles.len() as u32;
    let Some(list) = list else { return all.collect() };
    let mut seen: Vec<u32> = Vec::new();
    for entry in list.split(',').map(str::trim) {
        let number = entry.parse().ok().filter(|number| all.contains(number));
        let named = || all.clone().find(|number| is_uuid(entry, profiles[*number as usize].uuid));
        let Some(number) = number.or_else(named) else { break };
        if seen.contains(&number) {
            return Vec::new();
        }
        seen.push(number);
    }
    seen
}

/// Whether `entry` is the begin of a UUID as NVML writes it.
fn is_uuid(entry: &str, uuid: [u8; 16]) -> bool {
    let digits: String = entry.trim_start_matches("GPU-").chars().filter(|digit| *digit != '-').collect();
    let mut text = String::new();
    for byte in uuid {
        let _ = write!(text, "{byte:02x}");
    }
    entry.starts_with("GPU-") && !digits.is_empty() && text.starts_with(&digits.to_ascii_lowercase())
}
