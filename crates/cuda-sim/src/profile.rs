//! Which GPU is simulated.

/// Names the profile: `gb10` or `h100-80`.
pub const ENV_GPU: &str = "KVTRACE_SIM_GPU";
/// Replaces the profile's total memory, in bytes.
pub const ENV_TOTAL: &str = "KVTRACE_SIM_TOTAL";
/// Replaces what a context takes in each process, in bytes.
pub const ENV_CONTEXT: &str = "KVTRACE_SIM_CONTEXT";

/// The figures of one simulated GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Device name. It says that the device is simulated.
    pub name: &'static str,
    /// Bytes of device memory, or of the pool that CPU and GPU share.
    pub total: u64,
    /// Whether CPU and GPU share one pool.
    pub unified: bool,
    /// Compute capability.
    pub capability: (i32, i32),
    /// Streaming multiprocessors.
    pub multiprocessors: i32,
    /// L2 cache in bytes.
    pub l2_bytes: i32,
    /// Bytes that a process's context takes. An assumption of the usual order of size, not a measurement.
    pub context: u64,
    /// Device UUID.
    pub uuid: [u8; 16],
}

/// GB10: the total is `MemTotal` as a public log of that machine implies it (125 511 964 kB).
pub const GB10: Profile = Profile {
    name: "NVIDIA GB10 (simulated by kvtrace)",
    total: 125_511_964 << 10,
    unified: true,
    capability: (12, 1),
    multiprocessors: 48,
    l2_bytes: 24 << 20,
    context: 512 << 20,
    uuid: *b"kvtrace-sim-gb10",
};

/// H100 with 80 GB.
pub const H100_80: Profile = Profile {
    name: "NVIDIA H100 80GB HBM3 (simulated by kvtrace)",
    total: 85_017_493_504,
    unified: false,
    capability: (9, 0),
    multiprocessors: 132,
    l2_bytes: 50 << 20,
    context: 512 << 20,
    uuid: *b"kvtrace-sim-h100",
};

impl Profile {
    /// The profile that the environment asks for, and a sentence for each value that could not be used.
    pub fn from_env() -> (Self, Vec<String>) {
        Self::chosen(|name| std::env::var(name).ok())
    }

    fn chosen(lookup: impl Fn(&str) -> Option<String>) -> (Self, Vec<String>) {
        let mut complaints = Vec::new();
        let mut profile = match lookup(ENV_GPU).as_deref() {
            None | Some("" | "gb10") => GB10,
            Some("h100-80") => H100_80,
            Some(other) => {
                complaints.push(format!("{ENV_GPU}={other:?} is neither gb10 nor h100-80; using gb10"));
                GB10
            }
        };
        for (name, field) in [(ENV_TOTAL, &mut profile.total), (ENV_CONTEXT, &mut profile.context)] {
            if let Some(text) = lookup(name) {
                match text.parse() {
                    Ok(bytes) => *field = bytes,
                    Err(_) => complaints.push(format!("{name}={text:?} is not a number of bytes; using {field}")),
                }
            }
        }
        (profile, complaints)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_chooses() {
        let (profile, complaints) = Profile::chosen(|_| None);
        assert_eq!((profile, complaints.len()), (GB10, 0));
        let (profile, complaints) = Profile::chosen(|name| match name {
            ENV_GPU => Some("h100-80".into()),
            ENV_TOTAL => Some("4096".into()),
            _ => None,
        });
        assert_eq!((profile.unified, profile.total, complaints.len()), (false, 4096, 0));
    }

    #[test]
    fn bad_values_fall_back_and_are_named() {
        let (profile, complaints) = Profile::chosen(|name| Some(format!("bad {name}")));
        assert_eq!(profile, GB10);
        assert_eq!(complaints.len(), 3);
        assert!(complaints[1].contains(ENV_TOTAL), "{complaints:?}");
    }

    #[test]
    fn names_say_simulated() {
        assert!([GB10, H100_80].iter().all(|profile| profile.name.contains("simulated")));
    }
}
