//! Answers that the user wants changed: `KVTRACE_PATCH`, whose rules and arithmetic are `kvtrace_patch`'s.
//!
//! An answer is changed once, where the program itself gets it: what a library asks on the way to it stays as it is.
//! What is changed is also written: without a line in the trace there is no change.

mod files;
mod scope;

pub use files::{cgroup, meminfo};
pub use scope::Asker;

use crate::buffers::Claim;
use crate::config::{self, Config};
use crate::device::Api;
use crate::missing::{self, Reason, View};
use crate::trace::Event;
use crate::{host, process, sys};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};
use kvtrace_patch::{Available, Figure, Rule, Rules, Target};

struct Shared(UnsafeCell<Rules<'static>>);

// SAFETY: written by the constructor before `ON` is set, only read afterwards.
unsafe impl Sync for Shared {}

static RULES: Shared = Shared(UnsafeCell::new(Rules::NONE));
static ON: AtomicBool = AtomicBool::new(false);

/// Reads the rules; false if they are none that can be used.
pub fn prepare(config: &'static Config) -> bool {
    let text = config.patch.get();
    let Ok(rules) = kvtrace_patch::parse(text) else { return false };
    if !rules.is_empty() {
        scope::prepare();
        // SAFETY: the constructor runs once, before anyone is let in by ON.
        unsafe { *RULES.0.get() = rules };
        ON.store(true, Ordering::Release);
    }
    true
}

/// The rules, if there are any.
fn rules() -> Option<&'static Rules<'static>> {
    if !ON.load(Ordering::Acquire) || config::get().is_none() {
        return None;
    }
    // SAFETY: ON says that nobody writes any more.
    Some(unsafe { &*RULES.0.get() })
}

/// Whether any answer may be changed.
pub fn is_on() -> bool {
    rules().is_some()
}

/// An answer that is changed. Bytes, or what the answer counts in.
#[derive(Clone, Copy)]
pub struct Changed {
    /// What it really is.
    pub real: u64,
    /// What the program is told.
    pub told: u64,
    /// What the rule alone would have told, which was more than there can be.
    wanted: Option<u64>,
    rule: &'static Rule<'static>,
}

impl Changed {
    /// Writes the event that belongs to the answer with number `of`.
    pub fn tell(&self, of: u64, field: &[u8]) {
        if let Some(mut event) = Event::begin("patch", sys::clock(libc::CLOCK_MONOTONIC)) {
            event.write(|line| {
                line.u64("of", of).text("field", field).u64("real", self.real).u64("reported", self.told);
                if let Some(wanted) = self.wanted {
                    line.u64("wanted", wanted);
                }
                line.text("rule", self.rule.text);
            });
        }
    }
}

/// The first rule about `target` that is for whoever asks.
fn rule_for(target: Target, asker: &Asker) -> Option<&'static Rule<'static>> {
    let mut about = rules()?.iter().filter(|(_, rule)| rule.target == target);
    about.find(|(at, rule)| asker.is_meant(*at, &rule.scope)).map(|(_, rule)| rule)
}

/// Applies a rule. What comes out is at most `most`, unless the user knows.
fn change(rule: &'static Rule<'static>, real: u64, available: Option<Available>, most: u64) -> Option<Changed> {
    let wanted = rule.change.apply(real, available)?;
    let told = if rules()?.may_exceed { wanted } else { wanted.min(most.max(real)) };
    Some(Changed { real, told, wanted: (told != wanted).then_some(wanted), rule })
}

/// Free and total of one memory.
#[derive(Clone, Copy)]
pub struct Pair<T> {
    /// What is free.
    pub free: Option<T>,
    /// All of it.
    pub total: Option<T>,
}

impl Pair<Changed> {
    /// Writes the events that belong to the answer with number `of`.
    pub fn tell(&self, of: u64) {
        for (changed, field) in [(self.free, b"free".as_slice()), (self.total, b"total")] {
            if let Some(changed) = changed {
                changed.tell(of, field);
            }
        }
    }
}

impl<T> Default for Pair<T> {
    fn default() -> Pair<T> {
        Pair { free: None, total: None }
    }
}

/// What becomes of a GPU's figures. `real.total` is needed even where the program did not ask for it.
#[cold]
pub fn device(asker: &Asker, api: &Api, dev: i32, real: Pair<u64>) -> Pair<Changed> {
    let shares = dev >= 0 && api.is_integrated(dev);
    pair([Target::Device(Figure::Free), Target::Device(Figure::Total)], asker, shares, real)
}

/// As [`device`], told by NVML, which has rules of its own in front.
#[cold]
pub fn nvml(asker: &Asker, real: Pair<u64>) -> Pair<Changed> {
    // It tells no figures of a GPU that shares the CPU's memory.
    let own = pair([Target::Nvml(Figure::Free), Target::Nvml(Figure::Total)], asker, false, real);
    let common = pair([Target::Device(Figure::Free), Target::Device(Figure::Total)], asker, false, real);
    Pair { free: own.free.or(common.free), total: own.total.or(common.total) }
}

/// What becomes of the machine's figures as libc tells them.
#[cold]
pub fn sysinfo(asker: &Asker, real: Pair<u64>) -> Pair<Changed> {
    pair([Target::Sysinfo(Figure::Free), Target::Sysinfo(Figure::Total)], asker, true, real)
}

/// `shares`: whether the memory is the machine's own, of which the kernel says what is available.
fn pair([free, total]: [Target; 2], asker: &Asker, shares: bool, real: Pair<u64>) -> Pair<Changed> {
    if !asker.is_outermost() {
        return Pair::default();
    }
    let mut out = Pair::default();
    if let Some(real) = real.total
        && let Some(rule) = rule_for(total, asker)
    {
        out.total = change(rule, real, None, real);
    }
    if let Some(free_real) = real.free
        && let Some(rule) = rule_for(free, asker)
    {
        let available = if shares { available() } else { None };
        if rule.change.asks_kernel() && available.is_none() {
            let reason = Reason::Words(b"what the kernel has available is not this memory's, or is not known");
            missing::view(process::current(), View::Patch, 0, b"patch", rule.text, reason);
        }
        let most = available.map_or(free_real, |available| available.memory);
        out.free = change(rule, free_real, available, most);
    }
    // More than all of it cannot be free.
    let total = out.total.map_or(real.total, |total| Some(total.told)).unwrap_or(u64::MAX);
    if let Some(free) = &mut out.free
        && free.told > total
    {
        free.wanted = free.wanted.or(Some(free.told));
        free.told = total;
    } else if let (None, Some(free), Some(changed)) = (out.free, real.free, out.total)
        && free > total
    {
        out.free = Some(Changed { real: free, told: total, wanted: None, rule: changed.rule });
    }
    out
}

fn available() -> Option<Available> {
    let mut claim = Claim::new(process::pid())?;
    let (room, scratch) = claim.get().file.split_at_mut_checked(4096)?;
    kvtrace_patch::meminfo::available(host::meminfo(room, scratch).ok()?)
}
