use proptest::prelude::*;
use std::fmt::Write as _;

const MIB: u64 = 1 << 20;
const MOST_SLOTS: u64 = 24;

/// What some processes of some threads each are to do.
#[derive(Debug, Clone)]
pub struct Sequence {
    pub processes: usize,
    pub threads: usize,
    steps: Vec<Step>,
}

/// One line for `programs/sequence.c`.
#[derive(Debug, Clone)]
enum Step {
    Check,
    Op { process: usize, thread: Option<usize>, name: String, slot: u64, values: [u64; 3] },
}

impl Sequence {
    /// As the program reads it; the last thing is a check.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for step in &self.steps {
            match step {
                Step::Check => text.push_str("check\n"),
                Step::Op { process, thread, name, slot, values: [a, b, c] } => {
                    // Shrinking takes processes and threads away; what they did, the others do.
                    let process = process % self.processes;
                    let thread = thread.map_or(-1, |thread| (thread % self.threads) as i64);
                    let _ = writeln!(text, "{process} {thread} {name} {slot} {a} {b} {c}");
                }
            }
        }
        text
    }

    /// The text of a known one: `PROCESSES THREADS`, then lines as in [`Self::text`]. `#` begins a comment.
    pub fn read(text: &str) -> Sequence {
        let mut lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let counts: Vec<usize> =
            lines.next().expect("counts").split(' ').map(|word| word.parse().expect("a number")).collect();
        let steps = lines.map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [process, thread, name, slot, a, b, c] = words[..] else { return Step::Check };
            let number = |word: &str| word.parse().expect("a number");
            Step::Op {
                process: number(process) as usize,
                thread: thread.parse().ok(),
                name: name.to_owned(),
                slot: number(slot),
                values: [a, b, c].map(number),
            }
        });
        Sequence { processes: counts[0], threads: counts[1], steps: steps.collect() }
    }
}

impl Sequence {
    /// Threads that allocate and free without a pause.
    pub fn storm() -> Sequence {
        let threads = 3;
        let pair = |round: u64, thread: usize| {
            let name = ["device", "async", "async"][(round % 3) as usize];
            let place = (0, round % 4, 2 * MIB, 2, round);
            [op(Some(thread), name, place), op(Some(thread), "free", place)]
        };
        let round = |round| (0..threads).flat_map(move |thread| pair(round, thread));
        let rounds = (0..600).flat_map(|number| round(number).chain((number % 40 == 39).then_some(Step::Check)));
        Sequence { processes: 1, threads, steps: rounds.collect() }
    }
}

/// Bytes: small ones, which share a granule, middling ones, and ones that the device does not have.
fn size() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 1..MIB,
        6 => MIB..80 * MIB,
        2 => prop::sample::select(vec![512, MIB, 2 * MIB, 2 * MIB + 1, 32 * MIB, 64 * MIB]),
        1 => 900 * MIB..4096 * MIB,
        1 => Just(0),
    ]
}

fn name() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        3 => Just("device"),
        1 => Just("pitch"),
        4 => Just("async"),
        1 => Just("array"),
        1 => Just("mipmap"),
        2 => Just("managed"),
        1 => Just("host"),
        1 => Just("register"),
        3 => Just("create"),
        2 => Just("graph"),
        2 => Just("pool"),
        10 => Just("free"),
        3 => Just("map"),
        2 => Just("unmap"),
        3 => Just("retain"),
        2 => Just("release"),
        4 => Just("prefetch"),
        3 => Just("launch"),
        6 => Just("allocfrom"),
        2 => Just("trim"),
        1 => Just("graphtrim"),
        2 => Just("sync"),
        2 => Just("query"),
    ]
}

/// What a process does while its other threads wait: what would race with them, or needs another process.
fn alone() -> impl Strategy<Value = &'static str> {
    prop_oneof![8 => Just("export"), 2 => Just("again"), 2 => Just("current"), 1 => Just("fork"), 1 => name()]
}

fn op(thread: Option<usize>, name: &str, (process, slot, a, b, c): (usize, u64, u64, u64, u64)) -> Step {
    // An offset into managed memory and a length within it: most ranges are to fit.
    let values = if name == "prefetch" { [a % 8 * 4096, b % (4 * MIB) + 1, c] } else { [a, b, c] };
    Step::Op { process, thread, name: name.to_owned(), slot, values }
}

fn step() -> impl Strategy<Value = Step> {
    let place = || (0..3usize, 0..8u64, size(), 0..64 * MIB, 0..64u64);
    prop_oneof![
        1 => Just(Step::Check),
        12 => (0..3usize, name(), place()).prop_map(|(thread, name, place)| op(Some(thread), name, place)),
        3 => (alone(), place(), 0..MOST_SLOTS).prop_map(|(name, (process, _, a, b, c), slot)| {
            op(None, name, (process, slot, a, b, c))
        }),
    ]
}

/// Any sequence.
pub fn any() -> impl Strategy<Value = Sequence> {
    (1..=3usize, 1..=3usize, prop::collection::vec(step(), 1..160)).prop_map(|(processes, threads, steps)| Sequence {
        processes,
        threads,
        steps,
    })
}
