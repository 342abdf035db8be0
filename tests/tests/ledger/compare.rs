use super::TOTAL;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// What one process said at one check: `Held` of the simulated device, behind the number of the check, the process's own
/// number, its pid and what the device called free.
#[derive(Debug)]
struct Told {
    check: u64,
    process: u64,
    pid: u64,
    free: u64,
    device: u64,
    array: u64,
    allocated: u64,
    reserved: u64,
    orphaned: u64,
    vmm: u64,
    shared: u64,
    vmm_host: u64,
    graph: u64,
    managed: u64,
    prefetched: u64,
    host: u64,
    registered: u64,
    foreign: u64,
    imported: u64,
    context: u64,
    rounding: u64,
    charged: u64,
}

impl Told {
    fn read(line: &str) -> Told {
        let words: Vec<u64> = line.split(' ').map(|word| word.parse().expect("a number")).collect();
        let [
            check,
            process,
            pid,
            free,
            device,
            array,
            allocated,
            reserved,
            orphaned,
            vmm,
            shared,
            vmm_host,
            graph,
            managed,
            prefetched,
            host,
            registered,
            foreign,
            imported,
            context,
            rounding,
            charged,
        ] = words[..]
        else {
            panic!("another structure: {line}")
        };
        Told {
            check,
            process,
            pid,
            free,
            device,
            array,
            allocated,
            reserved,
            orphaned,
            vmm,
            shared,
            vmm_host,
            graph,
            managed,
            prefetched,
            host,
            registered,
            foreign,
            imported,
            context,
            rounding,
            charged,
        }
    }

    /// Under the names that the analyzer gives the kinds.
    fn by_kind(&self) -> BTreeMap<&'static str, u64> {
        let all = [
            ("device", self.device),
            ("array", self.array),
            ("async", self.allocated),
            // Of destroyed pools only what is allocated is known to anybody.
            ("pool reserve", self.reserved + self.orphaned - self.allocated),
            ("vmm", self.vmm),
            ("vmm-host", self.vmm_host),
            ("graph", self.graph),
            ("managed", self.managed),
            ("managed on device", self.prefetched),
            ("host", self.host),
            ("registered", self.registered),
            ("foreign", self.foreign),
        ];
        all.into_iter().filter(|(_, bytes)| *bytes > 0).collect()
    }

    fn on_device(&self) -> u64 {
        self.device + self.array + self.reserved + self.orphaned + self.vmm + self.graph + self.prefetched
    }
}

/// What sequences came to, so that a test that tests nothing is noticed.
#[derive(Debug, Default)]
pub struct Seen {
    sequences: u64,
    instants: u64,
    failed: u64,
    /// At how many instants there was something of a kind.
    kinds: BTreeMap<&'static str, u64>,
}

impl Seen {
    const ALL: [&str; 16] = [
        "device",
        "array",
        "async",
        "pool reserve",
        "vmm",
        "vmm-host",
        "graph",
        "managed",
        "managed on device",
        "host",
        "registered",
        "foreign",
        "of a destroyed pool",
        "shared",
        "imported",
        "held by importers only",
    ];

    fn note(&mut self, told: &Told) {
        self.instants += 1;
        let more = [("of a destroyed pool", told.orphaned), ("shared", told.shared), ("imported", told.imported)];
        let more = more.into_iter().filter(|(_, bytes)| *bytes > 0);
        for (kind, _) in told.by_kind().into_iter().chain(more) {
            *self.kinds.entry(kind).or_default() += 1;
        }
    }

    /// What no sequence came to.
    pub fn lacks(&self) -> Vec<&'static str> {
        Self::ALL.into_iter().filter(|kind| !self.kinds.contains_key(kind)).collect()
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "{} sequences with {} failed calls, ", self.sequences, self.failed)?;
        write!(out, "{} instants compared, with {:?}", self.instants, self.kinds)
    }
}

/// Compares every check of every process.
pub fn all(told: &str, show: &Value, processes: usize, failed: u64, seen: &mut Seen) -> Result<(), TestCaseError> {
    let told: Vec<Told> = told.lines().map(Told::read).collect();
    prop_assert_eq!(&show["problems"], &serde_json::json!([]));
    prop_assert_eq!(&show["dropped"], 0);
    // Every free that the driver took was of something that it had given.
    prop_assert_eq!(&show["unmatched_frees"], 0);
    let mut next: BTreeMap<u64, usize> = BTreeMap::new();
    for one in &told {
        let mine = checks(show, one.pid);
        let at = next.entry(one.pid).or_insert(0);
        let Some(query) = mine.get(*at) else {
            return Err(TestCaseError::fail(format!("check {} of {} is not in the trace", one.check, one.process)));
        };
        *at += 1;
        alone(one, query)?;
        seen.note(one);
    }
    // What all hold is the same at each process's check, but known of all only when the last has asked.
    for round in told.chunks(processes) {
        if together(round, show)? > 0 {
            *seen.kinds.entry("held by importers only").or_default() += 1;
        }
    }
    seen.sequences += 1;
    seen.failed += failed;
    children(show, &told)
}

/// The queries of a process that are checks, in their order.
fn checks(show: &Value, pid: u64) -> Vec<&Value> {
    let queries = show["queries"].as_array().expect("queries");
    let evidence = format!("{pid}:");
    let mut mine: Vec<_> = queries
        .iter()
        .filter(|query| query["total_bytes"].is_null() && query["rc"] == 0)
        .filter(|query| query["evidence"].as_str().expect("text").starts_with(&evidence))
        .collect();
    mine.sort_by_key(|query| query["evidence"].as_str().and_then(|text| text[evidence.len()..].parse::<u64>().ok()));
    mine
}

/// One process's ledger against what the device says of it.
fn alone(told: &Told, query: &Value) -> Result<(), TestCaseError> {
    let place = format!("check {} of process {} ({})", told.check, told.process, query["evidence"]);
    prop_assert_eq!(&query["free_bytes"], told.free, "{}", place);
    let ledger: BTreeMap<&str, u64> = query["live_bytes"]
        .as_object()
        .expect("kinds")
        .iter()
        .map(|(kind, bytes)| (kind.as_str(), bytes.as_u64().expect("bytes")))
        .collect();
    prop_assert_eq!(ledger, told.by_kind(), "{}: the ledger's kinds against the device's", place);
    prop_assert_eq!(&query["device_live_bytes"], told.on_device(), "{}", place);
    // The device's own books: what the ledger counts, less what other processes may hold as well, and what it rounds up.
    let charged = told.context + told.on_device() - told.shared + told.rounding;
    prop_assert_eq!(told.charged, charged, "{}: {:?}", place, told);
    Ok(())
}

/// All ledgers against what the device does not call free. Returns the bytes that nobody counts.
fn together(round: &[Told], show: &Value) -> Result<u64, TestCaseError> {
    let Some(last) = round.last() else { return Ok(0) };
    let place = format!("check {}", last.check);
    let counted: u64 = round.iter().map(Told::on_device).sum();
    let at = checks(show, last.pid)[last.check as usize];
    prop_assert_eq!(&at["all_device_live_bytes"], counted, "{}: all processes", place);
    let beyond: u64 = round.iter().map(|told| told.context + told.rounding).sum();
    let adrift = (TOTAL - last.free).checked_sub(counted + beyond);
    // What its creator let go of is held by those who imported it, and counted by nobody.
    let imported: u64 = round.iter().map(|told| told.imported).sum();
    prop_assert!(
        adrift.is_some_and(|adrift| adrift <= imported),
        "{place}: {adrift:?} of {imported} imported, {round:?}"
    );
    Ok(adrift.unwrap_or(0))
}

/// Children forked from a process that uses the device hold nothing.
fn children(show: &Value, told: &[Told]) -> Result<(), TestCaseError> {
    for process in show["processes"].as_array().expect("processes") {
        if told.iter().all(|one| process["pid"] != one.pid) {
            prop_assert_eq!(&process["live_bytes"], &serde_json::json!({}), "{}", process);
        }
    }
    Ok(())
}
