//! The `view` event itself: the kernel's memory figures, the process's own group, resident memory and limits. They are
//! read first and written last, when it is known what all has cost.

use super::cgroup::{Figures, Group};
use crate::buffers::Claim;
use crate::missing::{self, Reason, View};
use crate::process::{self, Process};
use crate::trace::Event;
use crate::{sys, text};

const MEMINFO: &[u8] = b"/proc/meminfo\0";
const STATUS: &[u8] = b"/proc/self/status\0";
const RSS: [(&[u8], &[u8]); 3] = [(b"rss_anon", b"RssAnon"), (b"rss_file", b"RssFile"), (b"rss_shmem", b"RssShmem")];
const LIMITS: [(&[u8], u32); 3] =
    [(b"as", libc::RLIMIT_AS), (b"data", libc::RLIMIT_DATA), (b"memlock", libc::RLIMIT_MEMLOCK)];
/// Room for /proc/meminfo, which has 1.5 KiB today. The rest is for /proc/self/status.
const ROOM: usize = 4096;

/// What was seen.
pub struct Machine {
    claim: Claim,
    meminfo: usize,
    status: usize,
    /// The process's own group.
    pub group: Option<Group>,
    figures: Figures,
}

/// Reads what belongs together as near to the query as can be.
pub fn look(process: &Process) -> Option<Machine> {
    let mut claim = Claim::new(process::pid())?;
    let (first, second) = claim.get().file.split_at_mut_checked(ROOM)?;
    let read = |view: View, what: &[u8], path: &[u8], room: &mut [u8]| match sys::load_once(
        sys::open(path, libc::O_RDONLY, 0),
        room,
    ) {
        Ok(text) => text.len(),
        Err(error) => {
            missing::view(process, view, 0, what, path, Reason::Error(error));
            0
        }
    };
    let meminfo = read(View::Meminfo, b"meminfo", MEMINFO, first);
    let status = read(View::Own, b"self", STATUS, second);
    let (_, scratch) = second.split_at_mut_checked(status)?;
    let mut group = Group::own(process, scratch);
    let figures = group.as_mut().map_or(Figures::none(), |group| group.figures(Some(process), scratch));
    Some(Machine { claim, meminfo, status, group, figures })
}

impl Machine {
    /// Writes the `view`.
    pub fn tell(mut self, of: u64, begin: u64, cost: u64) {
        let Some(mut event) = Event::begin("view", begin) else { return };
        let Some((meminfo, status)) = self.claim.get().file.split_at_checked(ROOM) else { return };
        let meminfo = meminfo.get(..self.meminfo).unwrap_or_default();
        let status = status.get(..self.status).unwrap_or_default();
        event.write(|line| {
            line.u64("of", of).u64("cost", cost).numbers("meminfo", in_bytes(meminfo));
            match &self.group {
                Some(group) => {
                    line.u64("cgroup_version", group.version.into()).text("cgroup_path", group.path());
                    line.numbers("cgroup", self.figures.named());
                }
                None => {
                    line.u64("cgroup_version", 0).text("cgroup_path", b"");
                }
            }
            line.numbers("self", own(status)).numbers("limits", limits());
        });
    }
}

/// Name and bytes of each line of /proc/meminfo; HugePages_* are pages.
pub fn in_bytes(text: &[u8]) -> impl Iterator<Item = (&[u8], u64)> {
    text::pairs(text).filter_map(|(name, rest)| {
        let unit = if rest.ends_with(b" kB") { 1024 } else { 1 };
        text::number(rest).map(|value| (name, value.saturating_mul(unit)))
    })
}

fn own(text: &[u8]) -> impl Iterator<Item = (&'static [u8], u64)> {
    RSS.iter().filter_map(|(key, name)| {
        let (_, rest) = text::pairs(text).find(|(found, _)| found == name)?;
        Some((*key, text::number(rest)?.saturating_mul(1024)))
    })
}

fn limits() -> impl Iterator<Item = (&'static [u8], u64)> {
    LIMITS.iter().filter_map(|(key, number)| {
        let (soft, _) = sys::limits(*number as i32)?;
        (soft != libc::RLIM_INFINITY).then_some((*key, soft))
    })
}
