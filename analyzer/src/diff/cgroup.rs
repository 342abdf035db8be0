//! The control groups of both sides, and whether a limit can have moved the answer.

use super::Side;
use crate::decision::Bound;
use crate::render::gib;
use serde::Serialize;

/// The control group of one side at query B.
#[derive(Debug, Clone, Serialize)]
pub struct Cgroup {
    pub side: &'static str,
    pub path: String,
    /// 1 or 2; absent if no memory controller was found.
    pub version: Option<u32>,
    /// Absent if no limit is set.
    pub limit_bytes: Option<u64>,
    pub current_bytes: Option<u64>,
    /// Opened by the serving process before query B.
    pub limit_read: bool,
    pub evidence: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// `no`, `cannot tell`, or `no limit` where none is set.
    pub limit_entered: &'static str,
    pub because: String,
}

/// Blocks are cut from the budget: a rest below this part of the pool is no cause.
const NO_REST: f64 = 0.005;

pub fn of(side: &Side) -> Cgroup {
    let process = side.trace.processes.get(side.decision.process as usize);
    let own = process.map(|process| process.cgroup.trim().to_owned()).unwrap_or_default();
    let machine = side.view().map(|view| (view, crate::show::machine(side.trace, view)));
    let limit_read = side.trace.reads.iter().any(|read| {
        read.process == side.decision.process && read.at <= side.decision.sized_at && read.path.contains("/cgroup")
    });
    match machine {
        Some((view, machine)) => Cgroup {
            side: side.name,
            path: if machine.cgroup_path.is_empty() { own } else { machine.cgroup_path },
            version: Some(view.cgroup_version).filter(|version| *version > 0),
            limit_bytes: machine.cgroup_max_bytes,
            current_bytes: machine.cgroup_current_bytes,
            limit_read,
            evidence: Some(machine.evidence),
        },
        None => Cgroup {
            side: side.name,
            path: own,
            version: None,
            limit_bytes: None,
            current_bytes: None,
            limit_read,
            evidence: None,
        },
    }
}

/// A limit did not enter if the driver's free memory alone gives each side's size, by the runtime's own rule. The
/// trace never shows that it did.
pub fn verdict(a: &Side, b: &Side, unexplained: i128) -> Verdict {
    let (of_a, of_b) = (of(a), of(b));
    let limited: Vec<&Cgroup> = [&of_a, &of_b].into_iter().filter(|cgroup| cgroup.limit_bytes.is_some()).collect();
    let limits: Vec<String> = limited
        .iter()
        .map(|cgroup| format!("{} of {}", gib(cgroup.limit_bytes.unwrap_or_default().into()), cgroup.side))
        .collect();
    let names = limits.join(" and ");
    let cannot = |because: String| Verdict { limit_entered: "cannot tell", because };
    if let Some(side) = [&of_a, &of_b].into_iter().find(|cgroup| cgroup.evidence.is_none()) {
        return cannot(format!(
            "Cannot tell whether a container's memory limit entered: no view of the machine lies beside the \
             sizing query of side {}.",
            side.side
        ));
    }
    if limited.is_empty() {
        return Verdict {
            limit_entered: "no limit",
            because: "No memory limit is set on the control group of either side.".into(),
        };
    }
    if let Some(read) = limited.iter().find(|cgroup| cgroup.limit_read) {
        return cannot(format!(
            "Cannot tell whether the container's memory limit ({names}) entered: the serving process of {} read \
             its control group's files before it sized the KV cache.",
            read.side
        ));
    }
    let rest_is_small = |side: &Side| {
        let pool = side.decision.final_pool_bytes.value as f64;
        side.decision.unexplained_bytes.unsigned_abs() as f64 <= NO_REST * pool
    };
    if !rest_is_small(a) || !rest_is_small(b) {
        return cannot(format!(
            "Cannot tell whether the container's memory limit ({names}) entered: the driver's free memory does \
             not give the size ({} unexplained).",
            crate::render::change(unexplained)
        ));
    }
    let by_user = [a, b].into_iter().any(|side| side.decision.bound == Bound::UserTokens);
    let cause = match by_user {
        true => "the driver's free memory and max_tokens of the user give the size",
        false => "the driver's free memory alone gives the size",
    };
    Verdict {
        limit_entered: "no",
        because: format!("The container's memory limit ({names}) did not enter the answer: {cause}."),
    }
}
