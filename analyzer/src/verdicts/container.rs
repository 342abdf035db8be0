//! Whether a control group had a part in the size.

use super::case::Case;
use super::{CGROUP_LIMIT, DOUBLE_COUNTING, Finding, Remedy};
use crate::render::gib;
use crate::verdict::Verdict;

/// A rest of the rule below this part of the pool is no cause.
const NO_REST: f64 = 0.005;
/// Two figures that are one, read at two moments. Bytes.
const SAME: i128 = 64 << 20;

struct Limited<'t> {
    path: &'t str,
    max: i128,
    current: Option<i128>,
}

/// Whether the rule gives the size from what the driver said.
pub fn rule_explains(case: &Case) -> bool {
    let decision = case.decision();
    decision.unexplained_bytes.unsigned_abs() as f64 <= NO_REST * decision.final_pool_bytes.value as f64
}

pub fn limit(case: &Case) -> Finding {
    let it = CGROUP_LIMIT;
    let Some(view) = case.scope.view else { return it.open("no view of the machine lies beside the sizing query") };
    if view.cgroup_version == 0 {
        return it.open("no memory controller was seen").seen(case.here());
    }
    let own = (view.cgroup_path.as_str(), &view.cgroup);
    let above = view.around.groups.iter().map(|group| (group.path.as_str(), &group.figures));
    let limited: Vec<Limited> = std::iter::once(own)
        .chain(above)
        .filter_map(|(path, figures)| {
            let figure = |name: &str| figures.get(name).map(|bytes| i128::from(*bytes));
            Some(Limited { path, max: figure("max")?, current: figure("current") })
        })
        .collect();
    let Some(least) = limited.iter().min_by_key(|group| group.max) else {
        return it.refuted("no group that the process is in has a limit").seen(case.here());
    };
    let told = |found: Finding| found.number("limit", least.max).seen(case.here());
    let (total, free) = (i128::from(case.decision().total_bytes.value), i128::from(case.scope.free));
    let unlimited = [Remedy::new("start the container without a memory limit, and bound the engine in bytes instead")];
    let by_limit = |group: &&Limited| (total - group.max).abs() <= 4096 || case.line("MemTotal") == Some(group.max);
    if let Some(group) = limited.iter().find(by_limit) {
        let because = format!("the total of {} is the limit of {}", gib(total.min(group.max)), group.path);
        return unlimited.into_iter().fold(told(it.supported(because)), Finding::remedy);
    }
    let room = |group: &Limited| group.current.map(|current| group.max - current);
    let machine = case.line("MemFree").unwrap_or(free);
    let by_room = |group: &&Limited| {
        room(group).is_some_and(|room| (free - room).abs() <= SAME && (machine - room).abs() > case.floor)
    };
    if let Some(group) = limited.iter().find(by_room) {
        let because = format!(
            "free memory of {} is what the limit of {} leaves; the machine had {} free",
            gib(free),
            group.path,
            gib(machine)
        );
        return unlimited.into_iter().fold(told(it.supported(because)), Finding::remedy);
    }
    let sized_at = case.decision().sized_at;
    let read =
        case.trace().reads.iter().find(|read| {
            read.process == case.decision().process && read.at <= sized_at && read.path.contains("/cgroup")
        });
    if let Some(read) = read {
        let because = format!("the serving process read {} before it sized its cache", read.path);
        return told(it.open(because)).seen([case.trace().evidence(read.process, read.n)]);
    }
    let least_shown = format!("the limit of {}", gib(least.max));
    match rule_explains(case) {
        true => told(it.refuted(format!("{least_shown} did not enter: the driver's free memory gives the size"))),
        false => {
            told(it.open(format!("{least_shown} may have entered: the driver's free memory does not give the size")))
        }
    }
}

pub fn double_counting(case: &Case) -> Finding {
    let it = DOUBLE_COUNTING;
    let Some(view) = case.scope.view else { return it.open("no view of the machine lies beside the sizing query") };
    let Some(current) = view.cgroup.get("current").map(|bytes| i128::from(*bytes)) else {
        return it.open("what the control group is charged with was not to be had").seen(case.here());
    };
    let held = case.scope.own_at(case.scope.query.end);
    let told = |found: Finding| found.number("charged", current).number("on the device", held).seen(case.here());
    let limit = limit(case).verdict;
    if limit == Verdict::Supported {
        let files = ["active_file", "inactive_file"].iter().filter_map(|name| view.cgroup.get(*name));
        let files: i128 = files.map(|bytes| i128::from(*bytes)).sum();
        if files >= case.floor {
            let because =
                format!("what the limit leaves has {} of file pages taken off, which it would give up", gib(files));
            let remedy = Remedy::new("start the container without a memory limit, or count its file pages as free");
            return told(it.supported(because)).number("file pages", files).remedy(remedy);
        }
    }
    if held >= case.floor && current < held {
        let because = format!(
            "the group is charged with {} while the process holds {} on the device: device memory is not charged",
            gib(current),
            gib(held)
        );
        return told(it.refuted(because));
    }
    match limit {
        Verdict::Refuted => told(it.refuted("no figure of a control group entered the size")),
        _ => told(it.open(format!("the group is charged with {}, in which device memory may be", gib(current)))),
    }
}
