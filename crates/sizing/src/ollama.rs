//! ollama's view of host memory, which knows control groups; device memory comes from [`crate::llama_cpp`].
//!
//! Source: ollama/ollama `discover/cpu_linux.go` at 02bad5d8.

/// /proc/meminfo, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meminfo {
    /// MemTotal.
    pub total: u64,
    /// MemAvailable; 0 where the kernel has none.
    pub available: u64,
    /// MemFree.
    pub free: u64,
    /// Buffers.
    pub buffers: u64,
    /// Cached.
    pub cached: u64,
}

/// Control group v2 of the process, as far as its files can be read. Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cgroup {
    /// memory.max; `None` for "max".
    pub max: Option<u64>,
    /// memory.current.
    pub current: Option<u64>,
    /// `active_file + inactive_file + slab_reclaimable` of memory.stat; `None` unless all three are there.
    pub reclaimable: Option<u64>,
}

/// How free memory was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// MemAvailable, or MemFree, Buffers and Cached: no memory.current.
    Meminfo,
    /// Total less memory.current, plus what is reclaimable of it.
    Cgroup,
    /// Total less memory.current: no usable memory.stat.
    CgroupWithoutStat,
    /// All of the total: more is reclaimable than is used, which the code logs as a surprise.
    AllFree,
}

/// What ollama takes for the host's memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostView {
    /// `min(MemTotal, memory.max)`.
    pub total: u64,
    /// What it counts as free.
    pub free: u64,
    /// How.
    pub rule: Rule,
}

/// The view: `min(MemTotal, memory.max) - memory.current + reclaimable`. The subtraction wraps in the original where
/// more is used than there is; here it stops at 0.
pub fn host_view(host: Meminfo, cgroup: Cgroup) -> HostView {
    let total = cgroup.max.filter(|max| *max > 0 && *max < host.total).unwrap_or(host.total);
    let (free, rule) = match (cgroup.current, cgroup.reclaimable) {
        (None, _) if host.available > 0 => (host.available, Rule::Meminfo),
        (None, _) => (host.free.saturating_add(host.buffers).saturating_add(host.cached), Rule::Meminfo),
        (Some(current), None) => (total.saturating_sub(current), Rule::CgroupWithoutStat),
        (Some(current), Some(reclaimable)) if current > reclaimable => {
            (total.saturating_sub(current - reclaimable), Rule::Cgroup)
        }
        (Some(_), Some(_)) => (total, Rule::AllFree),
    };
    HostView { total, free, rule }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GIB;

    const HOST: Meminfo =
        Meminfo { total: 120 * GIB, available: 100 * GIB, free: 20 * GIB, buffers: GIB, cached: 70 * GIB };

    #[test]
    fn a_limit_lowers_the_total() {
        let limited = Cgroup { max: Some(32 * GIB), current: Some(10 * GIB), reclaimable: Some(6 * GIB) };
        assert_eq!(host_view(HOST, limited), HostView { total: 32 * GIB, free: 28 * GIB, rule: Rule::Cgroup });
        let above = Cgroup { max: Some(500 * GIB), ..limited };
        assert_eq!(host_view(HOST, above).total, 120 * GIB);
    }

    /// Without a limit memory of other groups is taken for free: the group's own use is all that counts.
    #[test]
    fn without_a_limit_only_the_own_group_counts() {
        let own = Cgroup { max: None, current: Some(10 * GIB), reclaimable: Some(6 * GIB) };
        assert_eq!(host_view(HOST, own).free, 116 * GIB);
    }

    #[test]
    fn what_is_missing() {
        assert_eq!(
            host_view(HOST, Cgroup::default()),
            HostView { total: 120 * GIB, free: 100 * GIB, rule: Rule::Meminfo }
        );
        let old = Meminfo { available: 0, ..HOST };
        assert_eq!(host_view(old, Cgroup::default()).free, 91 * GIB);
        let no_stat = Cgroup { current: Some(GIB), ..Cgroup::default() };
        assert_eq!(
            host_view(HOST, no_stat),
            HostView { total: 120 * GIB, free: 119 * GIB, rule: Rule::CgroupWithoutStat }
        );
        let odd = Cgroup { current: Some(GIB), reclaimable: Some(2 * GIB), max: None };
        assert_eq!(host_view(HOST, odd).rule, Rule::AllFree);
        let over = Cgroup { max: Some(GIB), current: Some(2 * GIB), reclaimable: None };
        assert_eq!(host_view(HOST, over).free, 0);
    }
}
