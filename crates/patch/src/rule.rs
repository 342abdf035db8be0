//! A rule: which figure, what becomes of it, and for whom.

use crate::change::Change;

/// Rules that one setting holds.
pub const MOST: usize = 16;

/// One of two figures of a memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// What is free.
    Free,
    /// All of it.
    Total,
}

/// Which answer is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// `free`, `total`: of a GPU, as the CUDA runtime, CUDA's driver, HIP and NVML tell it.
    Device(Figure),
    /// `nvml:free`, `nvml:total`: as NVML alone tells it.
    Nvml(Figure),
    /// `sysinfo:free`, `sysinfo:total`: as `sysinfo`, `sysconf` and `get_avphys_pages` tell it.
    Sysinfo(Figure),
    /// `meminfo:KEY`: a line of /proc/meminfo.
    Meminfo(&'a [u8]),
    /// `cgroup:FILE`: a file of a control group that holds one figure.
    Cgroup(&'a [u8]),
}

/// For whom a rule is. What is not said does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope<'a> {
    /// Occurs in the file name of the module that asks.
    pub module: Option<&'a [u8]>,
    /// A Python function that is on the stack of the thread that asks.
    pub python: Option<&'a [u8]>,
    /// File name of the program.
    pub exe: Option<&'a [u8]>,
    /// Name of the thread that asks.
    pub thread: Option<&'a [u8]>,
    /// Rank of the process among several.
    pub rank: Option<u32>,
    /// Ordinal of the GPU.
    pub device: Option<u32>,
    /// Which of the questions that the rest of the rule is about, from 1: first and last.
    pub nth: (u32, u32),
    /// From when on and until when, ms since the program was started.
    pub time: (u64, u64),
}

impl Scope<'_> {
    /// For everybody.
    pub const EVERYBODY: Self = Scope {
        module: None,
        python: None,
        exe: None,
        thread: None,
        rank: None,
        device: None,
        nth: (1, u32::MAX),
        time: (0, u64::MAX),
    };
}

/// One rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule<'a> {
    /// Which answer.
    pub target: Target<'a>,
    /// What becomes of it.
    pub change: Change,
    /// For whom.
    pub scope: Scope<'a>,
    /// The rule as it was written.
    pub text: &'a [u8],
}

/// All rules of a setting. Of several that are about the same answer the first that is for the one who asks counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules<'a> {
    pub(crate) rules: [Option<Rule<'a>>; MOST],
    /// `i-know`: more may be promised than the machine can give.
    pub may_exceed: bool,
}

impl<'a> Rules<'a> {
    /// None.
    pub const NONE: Self = Rules { rules: [None; MOST], may_exceed: false };

    /// Each with its position, in the order in which they were written.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Rule<'a>)> {
        self.rules.iter().enumerate().filter_map(|(at, rule)| Some((at, rule.as_ref()?)))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}
