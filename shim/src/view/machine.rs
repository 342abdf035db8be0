//! The `view` event itself: the kernel's memory figures, the process's own group, resident memory and limits. They are
//! read first and written last, when it is known what all has cost.

use super::budget::Work;
use super::cgroup::{Figures, Group};
use crate::buffers::Claim;
use crate::missing::{self, Reason, View};
use crate::process::Process;
use crate::trace::Event;
use crate::{host, sys, text};

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
    pub group: Group,
    figures: Figures,
}

impl Machine {
    /// With nothing seen yet.
    pub fn new(process: &Process) -> Option<Machine> {
        let claim = Claim::new(process.pid())?;
        Some(Machine { claim, meminfo: 0, status: 0, group: Group::none(), figures: Figures::none() })
    }

    /// Reads what belongs together as near to the query as can be.
    #[inline(never)]
    pub fn look(&mut self, process: &Process) {
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
        let Some((first, second)) = self.claim.get().file.split_at_mut_checked(ROOM) else { return };
        self.meminfo = match host::meminfo(first, second) {
            Ok(text) => text.len(),
            Err(error) => {
                missing::view(process, View::Meminfo, 0, b"meminfo", b"/proc/meminfo", Reason::Error(error));
                0
            }
        };
        self.status = read(View::Own, b"self", STATUS, second);
        let Some((_, scratch)) = second.split_at_mut_checked(self.status) else { return };
        self.group.find(process, scratch);
        self.group.read(&mut self.figures, Some(process), scratch);
    }

    /// Writes the `view`, the last of the work.
    #[inline(never)]
    pub fn tell(&mut self, of: u64, work: &Work) {
        let Some(mut event) = Event::begin("view", work.begun()) else { return };
        let Some((meminfo, status)) = self.claim.get().file.split_at_checked(ROOM) else { return };
        let meminfo = meminfo.get(..self.meminfo).unwrap_or_default();
        let status = status.get(..self.status).unwrap_or_default();
        event.write(|line| {
            line.u64("of", of).numbers("meminfo", in_bytes(meminfo));
            line.u64("cgroup_version", self.group.version.into()).text("cgroup_path", self.group.path());
            if self.group.version != 0 {
                line.numbers("cgroup", self.figures.named());
            }
            line.numbers("self", own(status)).numbers("limits", limits());
            line.u64("cost", work.cost());
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
