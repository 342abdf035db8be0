//! A JSON object built into a fixed buffer.
//!
//! Nothing here can fail, allocate or panic: a field that does not fit is left out whole, and the finished line then
//! carries `"cut":1`. Output is ASCII, so that a trace pastes anywhere.

use crate::MAX_LINE;

/// Kept free while fields are added: the bracket that closes a list, and what [`Line::finish`] appends, `,"cut":1}`
/// and a newline.
const TAIL: usize = 12;

/// One line under construction.
pub struct Line<'b> {
    buf: &'b mut [u8],
    len: usize,
    fields: bool,
    cut: bool,
}

impl<'b> Line<'b> {
    /// Starts an object in `buf`. At most [`MAX_LINE`] bytes of it are used; fewer than 16 give an empty line.
    pub fn new(buf: &'b mut [u8]) -> Self {
        let usable = if buf.len() < MAX_LINE { buf.len() } else { MAX_LINE };
        let buf = buf.get_mut(..usable).unwrap_or_default();
        let mut line = Line { buf, len: 0, fields: false, cut: false };
        line.put(b'{');
        line
    }

    /// Adds an unsigned integer.
    pub fn u64(&mut self, key: &str, value: u64) -> &mut Self {
        self.field(key, |line| line.digits(value))
    }

    /// Adds a signed integer.
    pub fn i64(&mut self, key: &str, value: i64) -> &mut Self {
        self.field(key, |line| {
            if value < 0 {
                line.put(b'-');
            }
            line.digits(value.unsigned_abs());
        })
    }

    /// Adds a pointer or handle as a hex string, `"0x7f00"`.
    pub fn hex(&mut self, key: &str, value: u64) -> &mut Self {
        self.field(key, |line| line.hex_value(value))
    }

    /// Adds `true` or `false`.
    pub fn flag(&mut self, key: &str, value: bool) -> &mut Self {
        self.field(key, |line| line.puts(if value { b"true" } else { b"false" }))
    }

    /// Adds a string. Bytes that are not UTF-8 become U+FFFD.
    pub fn text(&mut self, key: &str, value: &[u8]) -> &mut Self {
        self.field(key, |line| line.quoted(value))
    }

    /// Adds an array of strings; elements that do not fit are left out and the line says `cut`.
    pub fn texts<'t>(&mut self, key: &str, values: impl Iterator<Item = &'t [u8]>) -> &mut Self {
        self.members(key, b'[', values, Self::quoted, b']')
    }

    /// Adds an object of integers; members that do not fit are left out and the line says `cut`.
    pub fn numbers<'t>(&mut self, key: &str, values: impl Iterator<Item = (&'t [u8], u64)>) -> &mut Self {
        let write = |line: &mut Self, (name, value): (&[u8], u64)| {
            line.quoted(name);
            line.put(b':');
            line.digits(value);
        };
        self.members(key, b'{', values, write, b'}')
    }

    /// Adds an object of strings; members that do not fit are left out and the line says `cut`.
    pub fn pairs<'t>(&mut self, key: &str, values: impl Iterator<Item = (&'t [u8], &'t [u8])>) -> &mut Self {
        let write = |line: &mut Self, (name, value): (&[u8], &[u8])| {
            line.quoted(name);
            line.put(b':');
            line.quoted(value);
        };
        self.members(key, b'{', values, write, b'}')
    }

    /// Adds an array of objects: `write` adds the fields of the next one and answers true, or false behind the last.
    /// The first object that does not fit whole ends the array, and the line says `cut`.
    pub fn objects(&mut self, key: &str, mut write: impl FnMut(&mut Self) -> bool) -> &mut Self {
        let mut cut = false;
        self.field(key, |line| {
            line.put(b'[');
            let mut first = true;
            loop {
                let (start, before, fields) = (line.len, line.cut, core::mem::replace(&mut line.fields, false));
                let (mut more, mut whole) = (false, true);
                let fitted = line.all_or_nothing(|line| {
                    line.puts(if first { b"{" } else { b",{" });
                    more = write(line);
                    whole = !line.cut;
                    line.put(b'}');
                });
                line.fields = fields;
                if !more || !fitted || !whole {
                    line.len = start;
                    line.cut = before || more;
                    break;
                }
                first = false;
            }
            cut = line.cut;
            line.put(b']');
        });
        self.cut |= cut;
        self
    }

    /// Says of the line that something was left out of it.
    pub fn incomplete(&mut self) -> &mut Self {
        self.cut = true;
        self
    }

    /// Ends the line and returns its bytes, newline included; empty if the buffer could not hold any object.
    pub fn finish(self) -> &'b [u8] {
        let Line { buf, mut len, fields, cut } = self;
        let tail: &[u8] = match (cut, fields) {
            (false, _) => b"}\n",
            (true, true) => b",\"cut\":1}\n",
            (true, false) => b"\"cut\":1}\n",
        };
        match buf.get_mut(len..len.saturating_add(tail.len())) {
            Some(room) => {
                for (to, from) in room.iter_mut().zip(tail) {
                    *to = *from;
                }
                len = len.saturating_add(tail.len());
            }
            None => len = 0,
        }
        let buf: &'b [u8] = buf;
        buf.get(..len).unwrap_or_default()
    }

    fn field(&mut self, key: &str, write: impl FnOnce(&mut Self)) -> &mut Self {
        let fields = self.fields;
        let done = self.all_or_nothing(|line| {
            if fields {
                line.put(b',');
            }
            line.quoted(key.as_bytes());
            line.put(b':');
            write(line);
        });
        self.fields |= done;
        self
    }

    /// Runs `write` and takes its output back if it did not fit.
    fn all_or_nothing(&mut self, write: impl FnOnce(&mut Self)) -> bool {
        let (start, cut_before) = (self.len, core::mem::replace(&mut self.cut, false));
        write(self);
        let fitted = self.len.saturating_add(TAIL) < self.buf.len();
        if !fitted {
            self.len = start;
        }
        self.cut = self.cut || cut_before || !fitted;
        fitted
    }

    fn members<T>(
        &mut self,
        key: &str,
        open: u8,
        values: impl Iterator<Item = T>,
        write: impl Fn(&mut Self, T),
        close: u8,
    ) -> &mut Self {
        let mut cut = false;
        self.field(key, |line| {
            line.put(open);
            let mut first = true;
            for value in values {
                let fitted = line.all_or_nothing(|line| {
                    if !first {
                        line.put(b',');
                    }
                    write(line, value);
                });
                first = first && !fitted;
            }
            cut = line.cut;
            line.put(close);
        });
        self.cut |= cut;
        self
    }

    /// Past the end the length still grows, which is how [`Self::all_or_nothing`] learns that it did not fit.
    fn put(&mut self, byte: u8) {
        if let Some(slot) = self.buf.get_mut(self.len) {
            *slot = byte;
        }
        self.len = self.len.saturating_add(1);
    }

    fn puts(&mut self, bytes: &[u8]) {
        let end = self.len.saturating_add(bytes.len());
        if let Some(room) = self.buf.get_mut(self.len..end) {
            for (to, from) in room.iter_mut().zip(bytes) {
                *to = *from;
            }
        }
        self.len = end;
    }

    fn digits(&mut self, mut value: u64) {
        let mut text = [0u8; 20];
        let mut used = 0usize;
        for slot in text.iter_mut().rev() {
            *slot = b'0'.wrapping_add((value % 10) as u8);
            value /= 10;
            used = used.wrapping_add(1);
            if value == 0 {
                break;
            }
        }
        let start = text.len().saturating_sub(used);
        self.puts(text.get(start..).unwrap_or_default());
    }

    fn hex_value(&mut self, value: u64) {
        self.puts(b"\"0x");
        let significant = (64 - value.leading_zeros()).div_ceil(4).max(1);
        for nibble in (0..significant).rev() {
            self.put(hex_digit(value.wrapping_shr(nibble.wrapping_mul(4))));
        }
        self.put(b'"');
    }

    fn quoted(&mut self, value: &[u8]) {
        self.put(b'"');
        let mut rest = value;
        while let Some((&byte, after)) = rest.split_first() {
            match byte {
                b'"' | b'\\' => {
                    self.put(b'\\');
                    self.put(byte);
                    rest = after;
                }
                b'\n' => {
                    self.puts(b"\\n");
                    rest = after;
                }
                0x20..=0x7e => {
                    self.put(byte);
                    rest = after;
                }
                0..=0x7f => {
                    self.unit(u32::from(byte));
                    rest = after;
                }
                _ => {
                    let (scalar, size) = decode(rest);
                    if scalar > 0xffff {
                        let offset = scalar.wrapping_sub(0x1_0000);
                        self.unit(0xd800 | (offset >> 10));
                        self.unit(0xdc00 | (offset & 0x3ff));
                    } else {
                        self.unit(scalar);
                    }
                    rest = rest.get(size..).unwrap_or_default();
                }
            }
            if self.len > self.buf.len() {
                break;
            }
        }
        self.put(b'"');
    }

    /// Writes one UTF-16 code unit as JSON's escape of four hexadecimal digits.
    fn unit(&mut self, unit: u32) {
        self.puts(b"\\u");
        for shift in [12, 8, 4, 0] {
            self.put(hex_digit(u64::from(unit >> shift)));
        }
    }
}

fn hex_digit(value: u64) -> u8 {
    match (value & 15) as u8 {
        digit @ 0..=9 => b'0'.wrapping_add(digit),
        letter => b'a'.wrapping_add(letter.wrapping_sub(10)),
    }
}

/// The scalar value at the start of `bytes` and its length; U+FFFD and 1 where they are not UTF-8.
fn decode(bytes: &[u8]) -> (u32, usize) {
    const BAD: (u32, usize) = (0xfffd, 1);
    let Some(&first) = bytes.first() else { return BAD };
    let (size, least, mut scalar) = match first {
        0xc2..=0xdf => (2, 0x80, u32::from(first & 0x1f)),
        0xe0..=0xef => (3, 0x800, u32::from(first & 0x0f)),
        0xf0..=0xf4 => (4, 0x1_0000, u32::from(first & 0x07)),
        _ => return BAD,
    };
    let Some(following) = bytes.get(1..size) else { return BAD };
    for &byte in following {
        if byte & 0xc0 != 0x80 {
            return BAD;
        }
        scalar = (scalar << 6) | u32::from(byte & 0x3f);
    }
    if scalar < least || scalar > 0x10_ffff || (0xd800..=0xdfff).contains(&scalar) {
        return BAD;
    }
    (scalar, size)
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn object(size: usize, build: impl FnOnce(&mut Line)) -> serde_json::Value {
        let mut buf = vec![0; size];
        let mut line = Line::new(&mut buf);
        build(&mut line);
        let bytes = line.finish();
        assert!(bytes.ends_with(b"\n") && bytes.is_ascii());
        serde_json::from_slice(bytes).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)))
    }

    #[test]
    fn numbers_at_their_limits() {
        let value = object(256, |line| {
            line.u64("a", u64::MAX).i64("b", i64::MIN).hex("c", 0).hex("d", u64::MAX).u64("e", 0);
        });
        assert_eq!(
            value,
            serde_json::json!({"a": u64::MAX, "b": i64::MIN, "c": "0x0", "d": "0xffffffffffffffff", "e": 0})
        );
    }

    #[test]
    fn a_field_that_does_not_fit_is_left_out_whole() {
        let value = object(48, |line| {
            line.u64("a", 1).text("long", &[b'x'; 100]).u64("b", 2);
        });
        assert_eq!(value, serde_json::json!({"a": 1, "b": 2, "cut": 1}));
    }

    fn frames(line: &mut Line<'_>, count: usize) -> usize {
        let (mut at, mut asked) = (0, 0);
        line.objects("frames", |line| {
            asked += 1;
            at += 1;
            if at <= count {
                line.text("file", b"a.py").u64("line", at as u64);
            }
            at <= count
        });
        asked
    }

    #[test]
    fn objects_that_do_not_fit_are_left_out_from_the_first_on() {
        let value = object(100, |line| {
            line.u64("of", 1);
            frames(line, 2);
            line.u64("b", 2);
        });
        let both = serde_json::json!([{"file": "a.py", "line": 1}, {"file": "a.py", "line": 2}]);
        assert_eq!(value, serde_json::json!({"of": 1, "frames": both, "b": 2}));
        let value = object(75, |line| {
            line.u64("of", 1);
            // Of a third nobody needs to know.
            assert_eq!(frames(line, 9), 2);
            line.u64("b", 2);
        });
        assert_eq!(value, serde_json::json!({"of": 1, "frames": [{"file": "a.py", "line": 1}], "b": 2, "cut": 1}));
        let value = object(64, |line| {
            line.objects("none", |_| false).incomplete();
        });
        assert_eq!(value, serde_json::json!({"none": [], "cut": 1}));
    }

    #[test]
    fn a_buffer_too_small_for_any_object_gives_nothing() {
        assert_eq!(Line::new(&mut [0; 2]).finish(), b"");
    }

    proptest! {
        #[test]
        fn any_bytes_make_one_valid_line(size in 16usize..6000, key in "[a-z]{1,8}",
                                         value: Vec<u8>, list: Vec<Vec<u8>>, number: u64) {
            object(size, |line| {
                let mut left = list.iter();
                line.objects("objects", |line| {
                    left.next().is_some_and(|name| { line.text("name", name).u64("n", number); true })
                });
                line.text(&key, &value).texts("list", list.iter().map(Vec::as_slice)).u64("n", number)
                    .numbers("map", list.iter().map(|name| (name.as_slice(), number)))
                    .pairs("env", list.iter().map(|name| (name.as_slice(), value.as_slice())));
            });
        }

        #[test]
        fn text_reads_back(text: String) {
            let value = object(MAX_LINE, |line| { line.text("t", text.as_bytes()); });
            if value.get("cut").is_none() {
                prop_assert_eq!(value["t"].as_str(), Some(text.as_str()));
            }
        }
    }
}
