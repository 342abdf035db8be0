//! Traces of every schema version that was ever released still read. Each fixture was recorded on a real GPU.

use kvtrace_trace::SCHEMA;
use kvtrace_trace::event::Event;
use kvtrace_trace::read::Reader;
use std::path::PathBuf;

fn fixture(version: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/{version}.jsonl"))
}

/// Kinds of the events of a fixture, all of which must be known.
fn events(version: &str) -> Vec<String> {
    let mut reader = Reader::open(&fixture(version)).unwrap();
    let mut kinds = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        assert!(!matches!(record.event, Event::Unknown(_)), "{record:?}");
        let text = format!("{:?}", record.event);
        kinds.push(text[..text.find('(').unwrap()].to_owned());
    }
    assert!(!reader.torn());
    kinds
}

#[test]
fn every_version_has_a_fixture_that_reads() {
    for minor in 0..=SCHEMA.minor {
        let kinds = events(&format!("{}.{minor}", SCHEMA.major));
        for kind in ["Process", "Module", "Device", "Query", "View", "Alloc", "Free"] {
            assert!(kinds.iter().any(|other| other == kind), "{kind} in 1.{minor}: {kinds:?}");
        }
    }
}

#[test]
fn fixtures_have_what_their_version_added() {
    for (version, added) in [
        ("1.1", vec!["Call", "Pool", "Retain", "Prefetch", "Map", "Unmap"]),
        ("1.2", vec!["Zone", "Group", "Usage", "Stack", "Fact", "Missing", "Weights", "Use", "Cached", "Config"]),
        ("1.3", vec!["Patch", "Evict"]),
    ] {
        let kinds = events(version);
        for kind in added {
            assert!(kinds.iter().any(|other| other == kind), "{kind} in {version}: {kinds:?}");
        }
    }
}
