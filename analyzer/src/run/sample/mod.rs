//! `--sample`: the machine and the traced tree between the program's own queries, seen from outside.
//!
//! The program does not notice: a thread of the launcher reads /proc and asks the kernel what of named files is cached.

mod group;
mod pages;
mod tree;

use super::recorder::Recorder;
use kvtrace_patch::Pool;
pub use pages::Sum;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub type Figures = BTreeMap<String, u64>;

const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(3600);
/// Looking for new processes and at files takes at most this part of the time.
const SHARE: u32 = 20;

/// A run of samples.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Look at the machine and at the program's processes this often: 100ms, 1s; at least 10ms
    ///
    /// Done by kvtrace, outside of the program. `kvtrace show` draws a timeline of it, with the program's own queries.
    #[arg(long, value_name = "TIME", value_parser = interval)]
    pub sample: Option<Duration>,
    /// With --sample: watch how much of this file or folder is in the page cache; may be given several times
    ///
    /// Also finds pages of files that nothing in this run has opened, such as weights that an earlier run has read.
    #[arg(long, value_name = "PATH", requires = "sample")]
    pub page_cache: Vec<PathBuf>,
}

fn interval(text: &str) -> Result<Duration, String> {
    let wanted = "give a number with a unit, such as 100ms or 1s";
    let unit = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or(wanted)?;
    let (number, unit) = text.split_at(unit);
    let number: f64 = number.parse().map_err(|_| wanted)?;
    let seconds = match unit {
        "ms" => number / 1e3,
        "s" => number,
        "m" | "min" => number * 60.0,
        _ => return Err(wanted.into()),
    };
    let time = Duration::try_from_secs_f64(seconds).map_err(|_| wanted)?;
    match time {
        _ if time < SHORTEST => Err("at least 10ms: reading /proc more often would disturb the program".into()),
        _ if time > LONGEST => Err("at most one hour (60m)".into()),
        _ => Ok(time),
    }
}

/// The thread that samples.
#[derive(Debug)]
pub struct Sampler {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Sampler {
    /// Begins, if the user wants samples. `child` is the root of the tree.
    /// `pool`: where the simulated GPU tells of the memory that it shares with the CPU.
    pub fn start(options: &Options, child: u32, recorder: &Recorder, pool: Option<PathBuf>) -> Option<Sampler> {
        let every = options.sample?;
        let (stop, stopped) = mpsc::channel();
        let recorder = recorder.clone();
        let mut tree = tree::Tree::of(child);
        let mut files: Vec<pages::Files> = options.page_cache.iter().map(|path| pages::Files::of(path)).collect();
        let thread = std::thread::Builder::new().name("sampler".into()).spawn(move || {
            let mut next = Instant::now();
            let mut group = None;
            loop {
                sample(&recorder, child, pool.as_deref(), &mut tree, &mut group, &mut files);
                // From the time that was due, so that delays do not add up; what was missed is left out.
                let now = Instant::now();
                while next <= now {
                    next += every;
                }
                match stopped.recv_timeout(next.saturating_duration_since(now)) {
                    Err(RecvTimeoutError::Timeout) => {}
                    _ => return,
                }
            }
        });
        Some(Sampler { stop, thread: thread.ok()? })
    }

    /// Ends: the program is about to be reaped, and its number may then be another's.
    pub fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}

fn sample(
    recorder: &Recorder,
    child: u32,
    pool: Option<&Path>,
    tree: &mut tree::Tree,
    group: &mut Option<group::Group>,
    files: &mut [pages::Files],
) {
    let mut meminfo = figures(&fs::read_to_string("/proc/meminfo").unwrap_or_default());
    if let Some(pool) = pool.and_then(|path| Pool::from_bytes(&fs::read(path).ok()?)) {
        of_simulated(pool, &mut meminfo);
    }
    tree.refresh();
    let (processes, own) = tree.resident();
    // It is asked anew until it answers: a program may be moved into its group after its start.
    if group.is_none() {
        *group = group::Group::of(child);
    }
    let (path, cgroup) = group.as_ref().map(|group| (group.path(), group.figures())).unwrap_or_default();
    recorder.sample(&meminfo, processes, &own, &path, &cgroup);
    for files in files {
        files.look(recorder);
    }
}

/// As the preload tells it to the program: the simulated machine's memory in place of this one's.
fn of_simulated(pool: Pool, meminfo: &mut Figures) {
    let figure = |name: &str| meminfo.get(name).copied();
    let (Some(real), Some(free)) = (figure("MemTotal"), figure("MemFree")) else { return };
    let given_up = pool.given_up(free, real);
    for (name, value) in meminfo.iter_mut() {
        match name.as_str() {
            "MemTotal" => *value = pool.total,
            "MemFree" | "MemAvailable" => *value = pool.free(*value, real),
            "Cached" => *value = value.saturating_sub(given_up),
            _ => {}
        }
    }
}

/// Processor time of this thread: on a busy machine waiting costs nobody anything.
fn worked() -> Duration {
    Duration::from_nanos(super::recorder::clock(libc::CLOCK_THREAD_CPUTIME_ID))
}

/// Bytes by name out of a file such as /proc/meminfo.
fn figures(text: &str) -> Figures {
    let lines = text.lines().filter_map(|line| {
        let (name, rest) = line.split_once(':')?;
        let mut words = rest.split_whitespace();
        let value: u64 = words.next()?.parse().ok()?;
        let unit = if words.next() == Some("kB") { 1024 } else { 1 };
        Some((name.to_owned(), value.saturating_mul(unit)))
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_people_write_them() {
        assert_eq!(interval("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(interval("1s"), Ok(Duration::from_secs(1)));
        assert_eq!(interval("0.5s"), Ok(Duration::from_millis(500)));
        assert_eq!(interval("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "100", "ms", "-1s", "1h", "9ms", "0s", "61m", "1.2.3s", "99999999999999999999s", "é"] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn kilobytes_and_pages() {
        let figures = figures("MemFree:   2 kB\nHugePages_Total:  3\nnonsense\nX: y kB\n");
        assert_eq!(figures, Figures::from([("MemFree".into(), 2048), ("HugePages_Total".into(), 3)]));
    }
}
