//! `--patch`: what the program is told instead of the real figures. The preload does it; here the rules are read once for
//! the user, who is told what they can do.

use crate::failure::Failure;
use crate::render::escape::terminal;
use kvtrace_patch::{Rules, meminfo, parse};
use kvtrace_sizing::GIB;

/// Names the rules for the preload.
pub const PATCH: &str = "KVTRACE_PATCH";

/// More does not fit into the preload's room.
const MOST_BYTES: usize = 1024;

/// Which answers are changed.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Options {
    /// Tell the program another figure than the real one, such as free=available or free=-5GiB@nth=2; may be repeated
    ///
    /// TARGET=VALUE[@SCOPE,...]. Targets: free and total (of a GPU, by the CUDA runtime, the driver, HIP and NVML),
    /// nvml:free, nvml:total, sysinfo:free, sysinfo:total, meminfo:KEY, cgroup:FILE. Values: available (the kernel's
    /// MemAvailable), available-nvidia (by NVIDIA's guidance for unified memory), 80GiB, +20GiB, -5GiB, x1.25, and max for
    /// a cgroup. Scopes: module=NAME, python=FUNCTION, exe=NAME, thread=NAME, rank=N, device=N, nth=N or N-M,
    /// after=SECONDS, before=SECONDS. The first rule that is for the one who asks counts.
    #[arg(long = "patch", value_name = "RULE", env = PATCH, value_delimiter = ';', hide_env_values = true)]
    pub rules: Vec<String>,
    /// Let --patch promise more memory than the machine has available: the program may then run out of memory
    #[arg(long, requires = "rules")]
    pub i_know: bool,
}

impl Options {
    /// The rules as the preload reads them, empty if there are none.
    ///
    /// # Errors
    /// Bad input: a rule that cannot be used.
    pub fn setting(&self) -> Result<String, Failure> {
        let mut text = self.rules.join(";");
        if self.i_know {
            text.push_str(";i-know");
        }
        parse(text.as_bytes()).map_err(|error| {
            let part = terminal(&String::from_utf8_lossy(error.part));
            Failure::input(format!("--patch: {part:?} cannot be used"), format!("write {}", error.expected))
        })?;
        match text.len() <= MOST_BYTES {
            true => Ok(text),
            false => Err(Failure::input(format!("--patch: the rules are longer than {MOST_BYTES} bytes"), "use fewer")),
        }
    }
}

/// What the user is told before the program starts.
pub fn notice(setting: &str) -> String {
    let rules = parse(setting.as_bytes()).unwrap_or(Rules::NONE);
    let shown: Vec<String> = rules.iter().map(|(_, rule)| terminal(&String::from_utf8_lossy(rule.text))).collect();
    let mut text = format!("kvtrace: the program will not be told the truth: {}\n", shown.join("; "));
    let machine = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let figure = |key: &str| meminfo::figure(machine.as_bytes(), key.as_bytes());
    if let (Some(free), Some(available)) = (figure("MemFree"), figure("MemAvailable")) {
        let gib = |bytes: u64| format!("{:.2} GiB", bytes as f64 / GIB as f64);
        let bound = match rules.may_exceed {
            true => "--i-know: no bound is kept, and a program that believes it may run out of memory",
            false => "free memory is never told above that, nor at all above the truth where a GPU has its own memory",
        };
        text.push_str(&format!("kvtrace: MemFree {}, MemAvailable {}; {bound}\n", gib(free), gib(available)));
    }
    text
}
