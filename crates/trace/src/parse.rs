//! From a line to a [`Record`].

use crate::event::{Event, Record, Stamp};
use crate::quick;
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;

/// Reads `"0x7f00"`.
pub(crate) fn hex<'de, D: Deserializer<'de>>(input: D) -> Result<u64, D::Error> {
    struct Visitor;
    impl serde::de::Visitor<'_> for Visitor {
        type Value = u64;
        fn expecting(&self, out: &mut std::fmt::Formatter) -> std::fmt::Result {
            out.write_str("a hex string like \"0x7f00\"")
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<u64, E> {
            let digits = text.strip_prefix("0x").ok_or_else(|| E::custom("a pointer without 0x"))?;
            u64::from_str_radix(digits, 16).map_err(E::custom)
        }
    }
    input.deserialize_str(Visitor)
}

/// Kind and stamp of a line.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    ev: Cow<'a, str>,
    n: u64,
    t: u64,
    pid: u32,
    tid: u32,
}

impl<'a> Head<'a> {
    /// The writer puts these five first and in this order, which saves a pass over the line.
    fn at_start(line: &'a [u8]) -> Option<Self> {
        let rest = line.strip_prefix(b"{\"ev\":\"")?;
        let end = rest.iter().position(|byte| !byte.is_ascii_lowercase())?;
        let ev = Cow::Borrowed(str::from_utf8(&rest[..end]).ok()?);
        let (n, rest) = number(rest[end..].strip_prefix(b"\",\"n\":")?)?;
        let (t, rest) = number(rest.strip_prefix(b",\"t\":")?)?;
        let (pid, rest) = number(rest.strip_prefix(b",\"pid\":")?)?;
        let (tid, _) = number(rest.strip_prefix(b",\"tid\":")?)?;
        Some(Head { ev, n, t, pid: pid.try_into().ok()?, tid: tid.try_into().ok()? })
    }
}

fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit())?;
    let (digits, rest) = text.split_at(end);
    let mut value = 0u64;
    for digit in digits {
        value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    (end > 0).then_some((value, rest))
}

impl<'a> Record<'a> {
    /// Parses one line.
    ///
    /// # Errors
    /// When it is not a JSON object, or lacks a field that its kind must have.
    // Inlined so that a record is built where it is wanted: moving it costs as much as parsing it.
    #[inline]
    pub fn parse(line: &'a [u8]) -> Result<Self, serde_json::Error> {
        match quick::parse(line) {
            Some((stamp, event)) => Ok(Record { stamp, event }),
            None => Record::parse_any(line),
        }
    }

    /// The general way, which every line can go.
    pub(crate) fn parse_any(line: &'a [u8]) -> Result<Self, serde_json::Error> {
        fn of<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, serde_json::Error> {
            serde_json::from_slice(line)
        }
        let head = match Head::at_start(line) {
            Some(head) => head,
            None => of(line)?,
        };
        let event = match head.ev.as_ref() {
            "process" => Event::Process(of(line)?),
            "module" => Event::Module(of(line)?),
            "device" => Event::Device(of(line)?),
            "query" => Event::Query(of(line)?),
            "view" => Event::View(of(line)?),
            "zone" => Event::Zone(of(line)?),
            "group" => Event::Group(of(line)?),
            "node" => Event::Node(of(line)?),
            "usage" => Event::Usage(of(line)?),
            "card" => Event::Card(of(line)?),
            "stack" => Event::Stack(of(line)?),
            "fact" => Event::Fact(of(line)?),
            "missing" => Event::Missing(of(line)?),
            "sample" => Event::Sample(of(line)?),
            "weights" => Event::Weights(of(line)?),
            "use" => Event::Use(of(line)?),
            "cached" => Event::Cached(of(line)?),
            "config" => Event::Config(of(line)?),
            "alloc" => Event::Alloc(of(line)?),
            "free" => Event::Free(of(line)?),
            "map" => Event::Map(of(line)?),
            "unmap" => Event::Unmap(of(line)?),
            "retain" => Event::Retain(of(line)?),
            "prefetch" => Event::Prefetch(of(line)?),
            "pool" => Event::Pool(of(line)?),
            "call" => Event::Call(of(line)?),
            "file" => Event::File(of(line)?),
            "log" => Event::Log(of(line)?),
            "fork" => Event::Fork(of(line)?),
            "exec" => Event::Exec(of(line)?),
            "exit" => Event::Exit(of(line)?),
            "patch" => Event::Patch(of(line)?),
            "evict" => Event::Evict(of(line)?),
            "dropped" => Event::Dropped(of(line)?),
            "warning" => Event::Warning(of(line)?),
            _ => {
                of::<serde::de::IgnoredAny>(line)?;
                Event::Unknown(head.ev)
            }
        };
        Ok(Record { stamp: Stamp { n: head.n, t: head.t, pid: head.pid, tid: head.tid }, event })
    }
}
