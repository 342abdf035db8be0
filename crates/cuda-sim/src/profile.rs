//! Which GPUs are simulated: profiles by name or from a file, and how many of them.
//!
//! Figures are public: NVIDIA's data sheets and the CUDA programming guide's tables of compute capabilities. What the
//! driver calls the total is less than the data sheet's size; docs/simulate.md says of each where its figure is from.

use crate::profile_file;

/// Names a profile, or a file with one: see [`profile_file`].
pub const ENV_GPU: &str = "KVTRACE_SIM_GPU";
/// How many devices there are, or a list of profiles, one for each.
pub const ENV_DEVICES: &str = "KVTRACE_SIM_DEVICES";
/// Replaces the profiles' total memory, in bytes.
pub const ENV_TOTAL: &str = "KVTRACE_SIM_TOTAL";
/// Replaces what a context takes in each process, in bytes.
pub const ENV_CONTEXT: &str = "KVTRACE_SIM_CONTEXT";
/// Replaces the number of the NUMA node that the devices' memory is.
pub const ENV_NUMA_NODE: &str = "KVTRACE_SIM_NUMA_NODE";

/// Devices of one machine, at most.
pub const MOST_DEVICES: usize = 16;

/// The figures of one simulated GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Device name. It says that the device is simulated.
    pub name: String,
    /// Bytes of device memory, or of the pool that CPU and GPU share.
    pub total: u64,
    /// Whether CPU and GPU share one pool.
    pub unified: bool,
    /// Compute capability.
    pub capability: (i32, i32),
    /// Streaming multiprocessors.
    pub multiprocessors: i32,
    /// Threads that a multiprocessor holds.
    pub threads: i32,
    /// Blocks that a multiprocessor holds.
    pub blocks: i32,
    /// Shared memory of a multiprocessor, in bytes.
    pub shared: i32,
    /// Shared memory that a block may ask for, in bytes.
    pub shared_of_block: i32,
    /// L2 cache in bytes.
    pub l2_bytes: i32,
    /// Width of the memory bus in bits.
    pub bus_bits: i32,
    /// The NUMA node that the device's memory is, where it is one.
    pub numa: Option<i32>,
    /// Bytes that a process's context takes; 0 where nobody measured it.
    pub context: u64,
    /// Bytes that a cuBLAS handle allocates for itself; 0 where nobody measured it.
    pub blas_handle: u64,
    /// Bytes that a process's first NCCL communicator of several ranks takes, beyond what it allocates; 0 where nobody
    /// measured it.
    pub communicator: u64,
    /// Device UUID.
    pub uuid: [u8; 16],
}

const SUFFIX: &str = " (simulated by kvtrace)";

/// Threads, blocks and shared memory of a multiprocessor, by the design that it has.
#[derive(Clone, Copy)]
enum Design {
    DataCentre,
    Consumer,
}

fn profile(name: &str, total: u64, capability: (i32, i32), multiprocessors: i32, design: Design) -> Profile {
    let (threads, blocks, shared) = match design {
        Design::DataCentre => (2048, 32, 228 << 10),
        Design::Consumer => (1536, 24, 100 << 10),
    };
    Profile {
        name: named(name),
        total,
        unified: false,
        capability,
        multiprocessors,
        threads,
        blocks,
        shared,
        shared_of_block: shared - (1 << 10),
        l2_bytes: 0,
        bus_bits: 0,
        numa: None,
        context: 0,
        blas_handle: 0,
        communicator: 0,
        uuid: [0; 16],
    }
}

/// A device's name with the word that it is simulated.
pub(crate) fn named(name: &str) -> String {
    format!("{name}{SUFFIX}")
}

/// The names that [`Profile::of_name`] knows.
pub const NAMES: [&str; 7] = ["gb10", "h100-80", "h200", "b200", "rtx5090", "gh200", "l4"];

impl Profile {
    /// The profile of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        use Design::{Consumer, DataCentre};
        let base = match name {
            "gb10" => Self {
                unified: true,
                l2_bytes: 24 << 20,
                bus_bits: 256,
                // `MemTotal` as a public log of that machine implies it.
                ..profile("NVIDIA GB10", 125_511_964 << 10, (12, 1), 48, Consumer)
            },
            "h100-80" => Self {
                l2_bytes: 50 << 20,
                bus_bits: 5120,
                // As docs/gpu-check.md has it of two H100 with driver 580: 526.8 MiB; 64.1 MiB; 980.9 less 526.8 MiB.
                context: 552_389_837,
                blas_handle: 67_213_722,
                communicator: 476_158_362,
                ..profile("NVIDIA H100 80GB HBM3", 85_017_493_504, (9, 0), 132, DataCentre)
            },
            "h200" => Self {
                l2_bytes: 50 << 20,
                bus_bits: 6144,
                ..profile("NVIDIA H200", 143_071 << 20, (9, 0), 132, DataCentre)
            },
            "b200" => Self {
                l2_bytes: 126 << 20,
                bus_bits: 8192,
                ..profile("NVIDIA B200", 182_630 << 20, (10, 0), 148, DataCentre)
            },
            "rtx5090" => Self {
                l2_bytes: 96 << 20,
                bus_bits: 512,
                ..profile("NVIDIA GeForce RTX 5090", 32_112 << 20, (12, 0), 170, Consumer)
            },
            "gh200" => Self {
                l2_bytes: 50 << 20,
                bus_bits: 6144,
                numa: Some(1),
                ..profile("NVIDIA GH200 480GB", 96_768 << 20, (9, 0), 132, DataCentre)
            },
            "l4" => {
                Self { l2_bytes: 48 << 20, bus_bits: 192, ..profile("NVIDIA L4", 22_558 << 20, (8, 9), 58, Consumer) }
            }
            _ => return None,
        };
        Some(Self { uuid: uuid(name), ..base })
    }

    /// The first device that the environment asks for, and a sentence for each value that could not be used.
    pub fn from_env() -> (Self, Vec<String>) {
        let (devices, complaints) = devices_from_env();
        (devices.into_iter().next().unwrap_or_else(default), complaints)
    }
}

fn default() -> Profile {
    Profile::of_name("gb10").unwrap_or_else(|| profile("GPU", 1 << 30, (9, 0), 1, Design::DataCentre))
}

/// A UUID out of a name.
pub(crate) fn uuid(name: &str) -> [u8; 16] {
    let mut uuid = *b"kvtrace-sim-....";
    // Names of files may be longer: their end tells them apart better than their begin.
    let name = name.as_bytes();
    let tail = &name[name.len().saturating_sub(4)..];
    let head = &name[..name.len().min(4)];
    for (place, byte) in uuid[12..].iter_mut().zip(if name.len() > 7 { tail } else { head }) {
        *place = *byte;
    }
    uuid
}

/// The devices that the environment asks for, and a sentence for each value that could not be used.
pub fn devices_from_env() -> (Vec<Profile>, Vec<String>) {
    chosen(|name| std::env::var(name).ok())
}

fn of_name_or_file(text: &str, complaints: &mut Vec<String>) -> Profile {
    if let Some(profile) = Profile::of_name(text) {
        return profile;
    }
    if text.contains('/') {
        let (profile, said) = profile_file::read(text);
        complaints.extend(said);
        return profile.unwrap_or_else(default);
    }
    complaints.push(format!(
        "{ENV_GPU}={text:?} is no profile ({}) and no path of a file with one; using gb10",
        NAMES.join(", ")
    ));
    default()
}

fn chosen(lookup: impl Fn(&str) -> Option<String>) -> (Vec<Profile>, Vec<String>) {
    let mut complaints = Vec::new();
    let lookup = |name: &str| lookup(name).filter(|text| !text.is_empty());
    let one = lookup(ENV_GPU).map_or_else(default, |text| of_name_or_file(&text, &mut complaints));
    let mut devices = match lookup(ENV_DEVICES) {
        None => vec![one],
        Some(text) => match text.parse::<usize>() {
            Ok(count @ 1..=MOST_DEVICES) => vec![one; count],
            Ok(_) => {
                complaints.push(format!("{ENV_DEVICES}={text:?} is not between 1 and {MOST_DEVICES}; using 1"));
                vec![one]
            }
            Err(_) => text.split(',').map(|name| of_name_or_file(name.trim(), &mut complaints)).collect(),
        },
    };
    if devices.len() > MOST_DEVICES {
        complaints.push(format!("{ENV_DEVICES} lists {}; using the first {MOST_DEVICES}", devices.len()));
        devices.truncate(MOST_DEVICES);
    }
    // The machine has one memory: two devices cannot each share the whole of it.
    if devices.len() > 1 && devices.iter().any(|device| device.unified) {
        complaints.push(format!("{ENV_DEVICES}: a machine has one GPU of unified memory; using the first device"));
        devices.truncate(1);
    }
    for name in [ENV_TOTAL, ENV_CONTEXT] {
        let Some(text) = lookup(name) else { continue };
        match text.parse() {
            Ok(bytes) => devices.iter_mut().for_each(|device| match name {
                ENV_TOTAL => device.total = bytes,
                _ => device.context = bytes,
            }),
            Err(_) => complaints.push(format!("{name}={text:?} is not a number of bytes; it changes nothing")),
        }
    }
    if let Some(text) = lookup(ENV_NUMA_NODE) {
        match text.parse() {
            Ok(node) => devices.iter_mut().for_each(|device| device.numa = Some(node)),
            Err(_) => complaints.push(format!("{ENV_NUMA_NODE}={text:?} is not a number; it changes nothing")),
        }
    }
    for (index, device) in devices.iter_mut().enumerate() {
        device.uuid[15] = device.uuid[15].wrapping_add(index as u8);
    }
    (devices, complaints)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen_of(values: &[(&str, &str)]) -> (Vec<Profile>, Vec<String>) {
        chosen(|name| values.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_environment_chooses() {
        assert_eq!(chosen_of(&[]), (vec![default()], Vec::new()));
        let (devices, complaints) = chosen_of(&[(ENV_GPU, "h100-80"), (ENV_TOTAL, "4096")]);
        assert_eq!((devices.len(), devices[0].unified, devices[0].total), (1, false, 4096));
        assert_eq!(complaints, [""; 0]);
    }

    #[test]
    fn several_devices_differ_in_their_uuid() {
        let (devices, complaints) = chosen_of(&[(ENV_GPU, "l4"), (ENV_DEVICES, "3")]);
        assert_eq!((devices.len(), complaints.len()), (3, 0));
        assert!(devices[0].uuid != devices[1].uuid && devices[1].uuid != devices[2].uuid);
        let (devices, complaints) = chosen_of(&[(ENV_DEVICES, "h100-80, l4")]);
        assert_eq!(complaints, [""; 0]);
        assert_eq!(devices.iter().map(|device| device.capability).collect::<Vec<_>>(), [(9, 0), (8, 9)]);
    }

    #[test]
    fn bad_values_fall_back_and_are_named() {
        let bad =
            [(ENV_GPU, "h100"), (ENV_DEVICES, "0"), (ENV_TOTAL, "119.7"), (ENV_CONTEXT, "-1"), (ENV_NUMA_NODE, "x")];
        let (devices, complaints) = chosen_of(&bad);
        assert_eq!(devices, [default()]);
        assert_eq!(complaints.len(), 5);
        for (name, _) in bad {
            assert!(complaints.iter().any(|complaint| complaint.contains(name)), "{complaints:?}");
        }
        let (devices, complaints) = chosen_of(&[(ENV_GPU, "gb10"), (ENV_DEVICES, "2")]);
        assert_eq!((devices.len(), complaints.len()), (1, 1));
    }

    #[test]
    fn every_profile_is_whole_and_says_simulated() {
        for name in NAMES {
            let profile = Profile::of_name(name).unwrap();
            assert!(profile.name.ends_with(SUFFIX), "{name}");
            let sizes = [profile.l2_bytes, profile.bus_bits, profile.shared, profile.multiprocessors];
            assert!(profile.total > 1 << 34 && sizes.iter().all(|size| *size > 0), "{name}");
        }
    }
}
