//! The ledger on sequences of events that are easy to get wrong.

use super::{Ledger, on_device, replay};
use crate::load::Trace;
use crate::load::build::Builder;
use crate::load::events::MemoryKind;
use kvtrace_trace::event::Record;
use std::path::Path;

/// A trace of a few processes, as its lines.
#[derive(Default)]
struct Script {
    lines: Vec<String>,
}

/// Begin of a call and how long it took.
type Time = (u64, u64);

impl Script {
    /// The following lines are of this process.
    fn process(mut self, pid: u32, role: &str) -> Self {
        self.lines.push(format!(
            r#"{{"ev":"process","n":1,"t":0,"pid":{pid},"tid":{pid},"schema":"1.1","shim":"0","role":"{role}","host":"h","start":1,"ppid":1,"forked_from":0,"wall":1,"page":4096}}"#
        ));
        self
    }

    fn event(mut self, ev: &str, t: u64, fields: &str) -> Self {
        let n = self.lines.len() + 1;
        self.lines.push(format!(r#"{{"ev":"{ev}","n":{n},"t":{t},"pid":1,"tid":1,{fields}}}"#));
        self
    }

    fn call(self, ev: &str, (t, dur): Time, rc: i32, fields: &str) -> Self {
        let call = format!(r#""fn":"f","layer":"driver","depth":0,"rc":{rc},"dur":{dur},"mod":"m","off":"0x1""#);
        self.event(ev, t, &format!("{call},{fields}"))
    }

    fn alloc(self, time: Time, kind: &str, ptr: u64, size: u64) -> Self {
        self.call("alloc", time, 0, &format!(r#""kind":"{kind}","dev":0,"size":{size},"ptr":"{ptr:#x}""#))
    }

    fn alloc_from(self, t: u64, pool: u64, ptr: u64, size: u64) -> Self {
        let fields = format!(r#""kind":"async","dev":0,"size":{size},"ptr":"{ptr:#x}","pool":"{pool:#x}""#);
        self.call("alloc", (t, 0), 0, &fields)
    }

    fn free(self, time: Time, kind: &str, ptr: u64) -> Self {
        self.call("free", time, 0, &format!(r#""kind":"{kind}","ptr":"{ptr:#x}""#))
    }

    fn map(self, t: u64, ptr: u64, size: u64, handle: u64) -> Self {
        self.call("map", (t, 0), 0, &format!(r#""ptr":"{ptr:#x}","size":{size},"handle":"{handle:#x}""#))
    }

    fn unmap(self, t: u64, ptr: u64, size: u64) -> Self {
        self.call("unmap", (t, 0), 0, &format!(r#""ptr":"{ptr:#x}","size":{size}"#))
    }

    fn retain(self, t: u64, handle: u64, address: u64) -> Self {
        self.call("retain", (t, 0), 0, &format!(r#""ptr":"{handle:#x}","address":"{address:#x}""#))
    }

    fn prefetch(self, t: u64, ptr: u64, size: u64, dev: i32) -> Self {
        self.call("prefetch", (t, 0), 0, &format!(r#""ptr":"{ptr:#x}","size":{size},"dev":{dev}"#))
    }

    fn pool(self, t: u64, pool: u64, reserved: u64) -> Self {
        self.event("pool", t, &format!(r#""pool":"{pool:#x}","dev":0,"reserved":{reserved},"used":0"#))
    }

    fn pool_gone(self, t: u64, pool: u64) -> Self {
        self.event("pool", t, &format!(r#""pool":"{pool:#x}","dev":-1,"reserved":0,"used":0,"gone":true"#))
    }

    fn query(self, t: u64) -> Self {
        self.call("query", (t, 0), 0, r#""dev":0"#)
    }

    fn ledger(self) -> Ledger {
        let mut builder = Builder::new(Path::new("t"));
        for line in &self.lines {
            builder.add(Record::parse(line.as_bytes()).unwrap_or_else(|error| panic!("{line}: {error}")));
        }
        let trace: Trace = builder.finish();
        replay(&trace).unwrap()
    }

    /// Bytes on the device at each query, and how many frees nobody knew.
    fn held(self) -> (Vec<u64>, u64) {
        let ledger = self.ledger();
        (ledger.at_queries.iter().map(|held| on_device(&held.own)).collect(), ledger.unmatched_frees)
    }
}

fn script() -> Script {
    Script::default().process(1, "program")
}

#[test]
fn an_address_that_one_thread_frees_and_another_is_given_is_counted_once() {
    // The free is recorded last, though the allocation had its address only because of it.
    let held =
        script().alloc((1, 1), "device", 7, 10).query(5).alloc((9, 4), "device", 7, 30).free((8, 9), "device", 7);
    assert_eq!(held.query(20).free((21, 1), "device", 7).query(30).held(), (vec![10, 30, 0], 0));
}

#[test]
fn an_allocation_counts_from_its_end_and_a_free_from_its_begin() {
    let held = script().alloc((10, 10), "device", 7, 5).query(15).query(20).free((30, 10), "device", 7).query(30);
    assert_eq!(held.held(), (vec![0, 5, 0], 0));
}

#[test]
fn failed_calls_change_nothing() {
    let alloc = r#""kind":"device","dev":0,"size":9,"ptr":"0x0""#;
    let held = script().call("alloc", (1, 1), 2, alloc).alloc((2, 1), "device", 7, 5);
    let held = held.call("free", (5, 1), 1, r#""kind":"device","ptr":"0x7""#).query(9).free((10, 1), "device", 7);
    // The second free of a handle fails too; one that the driver accepted and nobody knows is told.
    assert_eq!(held.query(12).free((13, 1), "device", 8).held(), (vec![5, 0], 1));
}

#[test]
fn physical_memory_goes_with_the_last_holder_and_the_last_mapping() {
    let made = || script().alloc((1, 1), "vmm", 0x99, 64).map(3, 0x1000, 64, 0x99);
    let held = made().free((5, 1), "vmm", 0x99).query(6).unmap(7, 0x1000, 64).query(8);
    assert_eq!(held.held(), (vec![64, 0], 0), "released while mapped");
    let held = made().unmap(5, 0x1000, 64).query(6).free((7, 1), "vmm", 0x99).query(9);
    assert_eq!(held.held(), (vec![64, 0], 0), "unmapped while held");
    let held = made().free((4, 0), "vmm", 0x99).retain(5, 0x99, 0x1008).unmap(6, 0x1000, 64).query(7);
    assert_eq!(held.free((8, 1), "vmm", 0x99).query(9).held(), (vec![64, 0], 0), "retained by its address");
    let held = made().map(4, 0x2000, 64, 0x99).free((5, 0), "vmm", 0x99).unmap(6, 0x1000, 0x1040).query(9);
    assert_eq!(held.held(), (vec![0], 0), "one unmapping of two mappings");
    let held = made().free((5, 0), "vmm", 0x99).unmap(6, 0x1000, 64).alloc((7, 1), "vmm", 0x99, 32).query(9);
    assert_eq!(held.held(), (vec![32], 0), "the handle's number comes back");
}

#[test]
fn a_range_is_mapped_anew() {
    let held = script().alloc((1, 0), "vmm", 0x98, 64).alloc((2, 0), "vmm", 0x99, 32).map(3, 0x1000, 64, 0x98);
    let held = held.free((4, 0), "vmm", 0x98).unmap(5, 0x1000, 64).map(6, 0x1000, 32, 0x99).free((7, 0), "vmm", 0x99);
    assert_eq!(held.query(8).unmap(9, 0x1000, 32).query(10).held(), (vec![32, 0], 0));
}

#[test]
fn pools_hold_more_than_they_gave_out() {
    let held = script().alloc_from(1, 0x50, 7, 10).query(1).pool(2, 0x50, 32).query(2);
    let held = held.alloc_from(3, 0x50, 8, 10).query(3).free((4, 0), "async", 7).query(5).pool(6, 0x50, 16).query(6);
    // cuMemFree frees it as well.
    let held = held.free((7, 0), "device", 8).query(7).pool(8, 0x50, 0).query(8);
    assert_eq!(held.held(), (vec![10, 32, 32, 32, 16, 16, 0], 0));
}

#[test]
fn a_pool_s_reserve_is_no_allocation_and_no_second_peak() {
    let ledger = script().alloc_from(1, 0x50, 7, 10).pool(1, 0x50, 32).alloc_from(3, 0x50, 8, 20).ledger();
    assert_eq!((ledger.device_live, ledger.device_peak), (32, 32));
    let of = |kind: &str| ledger.owners.iter().find(|owner| owner.kind == kind).unwrap();
    assert_eq!((of("async").live_bytes, of("async").allocations), (30, 2));
    let reserve = of("pool reserve");
    assert_eq!((reserve.live_bytes, reserve.peak_bytes, reserve.allocations), (2, 22, 0));
    assert_eq!(reserve.module, "m");
}

#[test]
fn what_lives_of_a_destroyed_pool_stays_and_its_handle_is_another_pool_s() {
    let held = script().alloc_from(1, 0x50, 7, 10).pool(1, 0x50, 32).pool_gone(2, 0x50).query(3);
    let held = held.alloc_from(4, 0x50, 8, 5).pool(4, 0x50, 64).query(5).free((6, 0), "async", 7).query(7);
    assert_eq!(held.held(), (vec![10, 74, 64], 0));
}

#[test]
fn graphs_are_counted_by_what_the_device_holds_for_them() {
    let held = script().alloc((1, 0), "graph", 7, 20).query(1).pool(2, 0, 32).query(2).free((3, 0), "async", 7);
    assert_eq!(held.query(4).pool(5, 0, 0).query(6).held(), (vec![0, 32, 32, 0], 0));
}

#[test]
fn managed_memory_is_on_the_device_as_far_as_it_was_moved_there() {
    let held = script().alloc((1, 0), "managed", 100, 50).query(1).prefetch(2, 100, 20, 0).prefetch(3, 110, 20, 0);
    let held = held.query(4).prefetch(5, 115, 5, -1).query(6).prefetch(7, 140, 99, 0).query(8);
    assert_eq!(held.free((9, 0), "device", 100).query(10).held(), (vec![0, 30, 25, 35, 0], 0));
}

#[test]
fn other_processes_memory_is_nobody_s_own() {
    let held = script().alloc((1, 0), "foreign", 7, 40).alloc((2, 0), "foreign", 7, 40).free((3, 0), "foreign", 7);
    let held = held.alloc((4, 0), "vmm-foreign", 0x99, 0).map(5, 0x1000, 64, 0x99).query(6);
    let held = held.free((7, 0), "foreign", 7).free((8, 0), "vmm", 0x99).unmap(9, 0x1000, 64).query(10);
    let ledger = held.ledger();
    let foreign: Vec<u64> = ledger.at_queries.iter().map(|held| held.own.of(MemoryKind::Foreign)).collect();
    assert_eq!((foreign, ledger.device_peak, ledger.unmatched_frees), (vec![40, 0], 0, 0));
}

#[test]
fn an_import_under_the_number_of_an_own_handle_is_one_more_holder() {
    let held = script().alloc((1, 0), "vmm", 0x99, 64).alloc((2, 0), "vmm-foreign", 0x99, 0).free((3, 0), "vmm", 0x99);
    assert_eq!(held.query(4).free((5, 0), "vmm", 0x99).query(6).held(), (vec![64, 0], 0));
}

#[test]
fn arrays_and_registered_memory_have_numbers_of_their_own() {
    let held = script().alloc((1, 0), "device", 7, 1).alloc((2, 0), "array", 7, 2).alloc((3, 0), "registered", 7, 4);
    let held = held.query(4).free((5, 0), "registered", 7).query(6).free((7, 0), "device", 7).query(8);
    assert_eq!(held.free((9, 0), "array", 7).query(10).held(), (vec![3, 3, 2, 0], 0));
}

#[test]
fn processes_have_addresses_of_their_own_and_take_nothing_along() {
    let parent = script().alloc((1, 0), "device", 7, 10).query(4).process(2, "program");
    let family = parent.free((2, 0), "device", 7).alloc((3, 0), "device", 7, 20).query(5);
    let ledger = family.ledger();
    let held: Vec<_> = ledger.at_queries.iter().map(|held| (on_device(&held.own), held.device)).collect();
    assert_eq!(held, [(10, 30), (20, 30)]);
    assert_eq!((ledger.unmatched_frees, ledger.device_peak), (1, 30));
}

#[test]
fn a_process_that_ended_holds_nothing_but_is_shown_with_what_it_held() {
    let first = script().alloc((1, 0), "device", 7, 10).alloc_from(2, 0x50, 8, 5).pool(2, 0x50, 32);
    let both = first.process(2, "program").alloc((20, 0), "device", 7, 20).query(30).process(3, "launcher");
    let ledger = both.event("exit", 10, r#""child":1,"code":0"#).ledger();
    assert_eq!(ledger.at_queries[0].device, 20);
    assert_eq!((ledger.device_live, ledger.device_peak), (62, 42));
    assert_eq!(ledger.ends.iter().map(on_device).collect::<Vec<_>>(), [42, 20, 0]);
    assert_eq!(ledger.device_at(5, |_| true), 42);
    assert_eq!(ledger.device_at(25, |_| true), 20);
}

#[test]
fn a_program_that_becomes_another_leaves_its_memory_behind() {
    let failed = script().alloc((1, 0), "device", 7, 10).event("exec", 2, r#""path":"/none""#).query(3);
    assert_eq!(failed.held(), (vec![10], 0), "the exec came back");
    let done = script().alloc((1, 0), "device", 7, 10).event("exec", 2, r#""path":"/bin/x""#).process(1, "program");
    let ledger = done.query(3).ledger();
    assert_eq!((ledger.at_queries[0].device, ledger.unmatched_frees), (0, 0));
}

/// Whoever wrote the trace, no sum of it wraps round.
#[test]
fn sizes_that_no_device_has_stay_sums() {
    let all = u64::MAX;
    let ledger = script()
        .alloc((1, 0), "device", 1, all)
        .alloc((2, 0), "device", 2, all)
        .process(2, "program")
        .alloc((1, 0), "device", 1, all)
        .process(9, "launcher")
        .event("exit", 5, r#""child":1,"code":0"#)
        .event("exit", 6, r#""child":2,"code":0"#)
        .ledger();
    assert_eq!((ledger.device_live, ledger.device_peak), (all, all));
}
