//! A quick way through the lines that make up most of a trace: flat objects of numbers and plain strings, as the writer
//! puts allocations and frees. Any other line, valid or not, is left to the general parser.

use crate::event::{Alloc, Event, Free, Stamp};
use std::borrow::Cow;

/// Parses an allocation or a free; `None` for what only the general parser can judge.
#[inline]
pub fn parse(line: &[u8]) -> Option<(Stamp, Event<'_>)> {
    let mut rest = Rest(line);
    let is_alloc = match rest.text("{\"ev\":")? {
        "alloc" => true,
        "free" => false,
        _ => return None,
    };
    let n = rest.number(",\"n\":")?;
    let t = rest.number(",\"t\":")?;
    let pid = rest.number(",\"pid\":")?.try_into().ok()?;
    let tid = rest.number(",\"tid\":")?.try_into().ok()?;
    let name = Cow::Borrowed(rest.text(",\"fn\":")?);
    let layer = Cow::Borrowed(rest.text(",\"layer\":")?);
    let depth = rest.number(",\"depth\":")?.try_into().ok()?;
    let rc = rest.signed(",\"rc\":")?;
    let dur = rest.number(",\"dur\":")?;
    let module = Cow::Borrowed(rest.text(",\"mod\":")?);
    let offset = rest.hex(",\"off\":")?;
    let kind = Cow::Borrowed(rest.text(",\"kind\":")?);
    let event = if is_alloc {
        let dev = rest.signed(",\"dev\":")?.try_into().ok()?;
        let size = rest.number(",\"size\":")?;
        let ptr = rest.hex(",\"ptr\":")?;
        let pool = if rest.0 == b"}" { 0 } else { rest.hex(",\"pool\":")? };
        Event::Alloc(Alloc { name, layer, depth, rc, dur, module, offset, kind, dev, size, ptr, pool })
    } else {
        let ptr = rest.hex(",\"ptr\":")?;
        Event::Free(Free { name, layer, depth, rc, dur, module, offset, kind, ptr })
    };
    (rest.0 == b"}").then_some((Stamp { n, t, pid, tid }, event))
}

/// What of a line is not read yet. Each function takes a key with all that stands before its value, and the value.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    #[inline]
    fn take(&mut self, expected: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(expected.as_bytes())?;
        Some(())
    }

    #[inline]
    fn text(&mut self, key: &str) -> Option<&'a str> {
        self.take(key)?;
        self.string()
    }

    #[inline]
    fn number(&mut self, key: &str) -> Option<u64> {
        self.take(key)?;
        self.digits()
    }

    #[inline]
    fn hex(&mut self, key: &str) -> Option<u64> {
        self.take(key)?;
        self.hex_digits()
    }

    /// A string of printable ASCII without an escape.
    fn string(&mut self) -> Option<&'a str> {
        self.take("\"")?;
        let (string, rest) = self.0.split_at(memchr::memchr(b'"', self.0)?);
        self.0 = rest.get(1..)?;
        // Without an early end, so that many bytes are looked at at once.
        let plain = string.iter().fold(true, |plain, byte| plain & (0x20..0x7f).contains(byte) & (*byte != b'\\'));
        if plain { str::from_utf8(string).ok() } else { None }
    }

    #[inline]
    fn signed(&mut self, key: &str) -> Option<i64> {
        self.take(key)?;
        match self.take("-") {
            // JSON's -0 is a float.
            Some(()) => self.digits().filter(|value| *value > 0).and_then(|value| 0i64.checked_sub_unsigned(value)),
            None => self.digits()?.try_into().ok(),
        }
    }

    fn hex_digits(&mut self) -> Option<u64> {
        self.take("\"0x")?;
        let mut value = 0u64;
        let mut len = 0;
        for byte in self.0 {
            let Some(digit) = (*byte as char).to_digit(16) else { break };
            // A value that is too large is for the general parser to refuse.
            value = if value >> 60 == 0 { value << 4 | u64::from(digit) } else { return None };
            len += 1;
        }
        self.0 = &self.0[len..];
        if len > 0 { self.take("\"").map(|()| value) } else { None }
    }

    /// A number as JSON spells it: without a leading zero.
    fn digits(&mut self) -> Option<u64> {
        let mut value = 0u64;
        let mut len = 0;
        for byte in self.0.iter().take_while(|byte| byte.is_ascii_digit()) {
            value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
            len += 1;
        }
        let leading_zero = len > 1 && self.0[0] == b'0';
        self.0 = &self.0[len..];
        (len > 0 && !leading_zero).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Record;
    use crate::line::Line;
    use crate::record::{self, Call};
    use proptest::prelude::*;

    fn line(is_alloc: bool, number: u64, rc: i64, dev: i32, module: &[u8], pool: bool) -> Vec<u8> {
        let mut buf = [0; crate::MAX_LINE];
        let mut line = Line::new(&mut buf);
        let stamp = record::Stamp { n: number, t: number / 2, pid: 7, tid: number as u32 };
        record::begin(&mut line, if is_alloc { "alloc" } else { "free" }, &stamp);
        let call = Call { name: "cuMemAlloc", layer: "driver", depth: 1, rc, dur: number / 3, module, offset: number };
        record::call(&mut line, &call).text("kind", b"device");
        if is_alloc {
            line.i64("dev", dev.into()).u64("size", number);
        }
        line.hex("ptr", number);
        if pool {
            line.hex("pool", number);
        }
        line.finish().trim_ascii_end().to_vec()
    }

    #[test]
    fn what_the_writer_puts_goes_the_quick_way() {
        for (is_alloc, pool) in [(true, true), (true, false), (false, false)] {
            assert!(parse(&line(is_alloc, u64::MAX, -7, -1, b"/usr/lib/libcudart.so.12", pool)).is_some());
        }
    }

    proptest! {
        /// Whatever goes the quick way comes out as it would the other way; nothing is accepted that would not be.
        #[test]
        fn both_ways_agree(
            is_alloc: bool, pool: bool, number: u64, rc: i64, dev: i32, module: Vec<u8>,
            flips in prop::collection::vec((0usize..400, any::<u8>()), 0..3),
        ) {
            let mut line = line(is_alloc, number, rc, dev, &module, pool);
            for (at, byte) in flips {
                if let Some(slot) = line.get_mut(at) { *slot = byte; }
            }
            if let Some((stamp, event)) = parse(&line) {
                let record = Record::parse_any(&line).map_err(|error| error.to_string());
                prop_assert_eq!(record, Ok(Record { stamp, event }));
            }
        }
    }
}
