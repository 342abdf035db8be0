//! Reading a trace file line by line, in constant memory.

use crate::SCHEMA;
use crate::event::{Event, Record};
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A line longer than this is not one of ours; it bounds what a hostile file makes the reader hold.
const LONGEST_ACCEPTED: usize = 1 << 20;

/// What can be wrong with a trace file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file could not be read.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The file does not begin with a process header.
    #[error("{}: not a kvtrace trace: {reason}", .path.display())]
    NotATrace {
        /// The file.
        path: PathBuf,
        /// What its first line is instead.
        reason: String,
    },
    /// The file is of another major version.
    #[error("{}: written in schema {found}, this kvtrace reads {}.x", .path.display(), SCHEMA.major)]
    OtherSchema {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: String,
    },
    /// A whole line cannot be understood. Reading can go on behind it.
    #[error("{}:{line}: {reason}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What the parser says.
        reason: String,
    },
}

/// Read from the system at a time.
const CHUNK: usize = 1 << 18;

/// Reads one file.
#[derive(Debug)]
pub struct Reader<R> {
    path: PathBuf,
    input: R,
    /// What was read; lines are parsed where they lie.
    buf: Vec<u8>,
    /// The part of it that is not consumed yet.
    rest: Range<usize>,
    line: u64,
    torn: bool,
}

impl Reader<File> {
    /// Opens a file. Its header is checked by the first [`Reader::next`].
    ///
    /// # Errors
    /// [`ReadError::Io`] if it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        match File::open(path) {
            Ok(file) => Ok(Reader::new(path, file)),
            Err(source) => Err(ReadError::Io { path: path.to_owned(), source }),
        }
    }
}

impl<R: Read> Reader<R> {
    /// Reads from `input`; `path` is for messages.
    pub fn new(path: &Path, input: R) -> Self {
        Reader { path: path.to_owned(), input, buf: Vec::new(), rest: 0..0, line: 0, torn: false }
    }

    /// The next record, or `None` at the end.
    ///
    /// # Errors
    /// Each kind of [`ReadError`]. After `Malformed` the next call goes on with the next line.
    #[expect(clippy::should_implement_trait, reason = "records borrow from the reader, an Iterator cannot lend")]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, ReadError> {
        let line = self.fill()?;
        if line.is_empty() {
            return match self.line {
                0 => Err(self.not_a_trace("the file is empty")),
                _ => Ok(None),
            };
        }
        self.line += 1;
        let line = &self.buf[line];
        let whole = line.ends_with(b"\n");
        match Record::parse(line.trim_ascii_end()) {
            // The process was killed between two bytes of a write: expected, and worth no complaint.
            Err(_) if !whole && self.line > 1 => {
                self.torn = true;
                Ok(None)
            }
            Err(error) if self.line == 1 => {
                Err(ReadError::NotATrace { path: self.path.clone(), reason: format!("first line: {error}") })
            }
            Err(error) => {
                Err(ReadError::Malformed { path: self.path.clone(), line: self.line, reason: error.to_string() })
            }
            Ok(record) if self.line == 1 => match &record.event {
                Event::Process(header) if readable(&header.schema) => Ok(Some(record)),
                Event::Process(header) => {
                    Err(ReadError::OtherSchema { path: self.path.clone(), found: header.schema.to_string() })
                }
                _ => Err(ReadError::NotATrace {
                    path: self.path.clone(),
                    reason: "its first line is not a process header".into(),
                }),
            },
            Ok(record) => Ok(Some(record)),
        }
    }

    /// Line number of the last record, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Whether the file ended inside a line.
    pub fn torn(&self) -> bool {
        self.torn
    }

    /// The place of the next line in the buffer, its newline included; empty at the end.
    fn fill(&mut self) -> Result<Range<usize>, ReadError> {
        let mut searched = 0;
        loop {
            let rest = &self.buf[self.rest.clone()];
            if let Some(newline) = memchr::memchr(b'\n', &rest[searched..]) {
                return Ok(self.take(searched + newline + 1));
            }
            searched = rest.len();
            if searched >= LONGEST_ACCEPTED {
                return Err(self.not_a_trace(&format!("line {} is longer than a mebibyte", self.line + 1)));
            }
            if self.read_more()? == 0 {
                return Ok(self.take(searched));
            }
        }
    }

    fn take(&mut self, size: usize) -> Range<usize> {
        let line = self.rest.start..self.rest.start + size;
        self.rest.start = line.end;
        line
    }

    fn read_more(&mut self) -> Result<usize, ReadError> {
        // A line that lies across two reads is moved to the front.
        self.buf.copy_within(self.rest.clone(), 0);
        self.rest = 0..self.rest.len();
        if self.buf.len() < self.rest.end + CHUNK {
            self.buf.resize(self.rest.end + CHUNK, 0);
        }
        loop {
            match self.input.read(&mut self.buf[self.rest.end..]) {
                Ok(size) => {
                    self.rest.end += size;
                    return Ok(size);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(ReadError::Io { path: self.path.clone(), source }),
            }
        }
    }

    fn not_a_trace(&self, reason: &str) -> ReadError {
        ReadError::NotATrace { path: self.path.clone(), reason: reason.into() }
    }
}

fn readable(schema: &str) -> bool {
    schema.split_once('.').is_some_and(|(major, _)| major.parse() == Ok(SCHEMA.major))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::Line;
    use crate::record;
    use proptest::prelude::*;

    fn header(schema: &str) -> String {
        let mut buf = [0; crate::MAX_LINE];
        let mut line = Line::new(&mut buf);
        record::Process {
            shim: "0.0.0",
            role: "program",
            host: b"h",
            start: 7,
            ppid: 1,
            forked_from: 0,
            wall: 9,
            page: 4096,
            exe: b"/bin/x",
            cgroup: b"0::/\n",
            label: b"",
            argv: [b"x".as_slice(), b"\xff"].into_iter(),
            env: [(b"A".as_slice(), b"1".as_slice())].into_iter(),
        }
        .write(&mut line, &record::Stamp { n: 1, t: 5, pid: 2, tid: 3 });
        let text = String::from_utf8(line.finish().to_vec()).unwrap();
        text.replace(&format!("\"schema\":\"{}\"", crate::SCHEMA_TEXT), &format!("\"schema\":\"{schema}\""))
    }

    fn read(bytes: &[u8]) -> (usize, Vec<String>, bool) {
        let (mut count, mut errors) = (0, Vec::new());
        let mut reader = Reader::new(Path::new("t.jsonl"), bytes);
        loop {
            match reader.next() {
                Ok(Some(_)) => count += 1,
                Ok(None) => return (count, errors, reader.torn()),
                Err(error) => {
                    let last = !matches!(error, ReadError::Malformed { .. });
                    errors.push(error.to_string());
                    if last {
                        return (count, errors, reader.torn());
                    }
                }
            }
        }
    }

    #[test]
    fn a_header_reads_back() {
        let text = header("1.0");
        let record = Record::parse(text.trim_end().as_bytes()).unwrap();
        assert_eq!((record.stamp.n, record.stamp.t, record.stamp.pid, record.stamp.tid), (1, 5, 2, 3));
        let Event::Process(process) = record.event else { panic!("{record:?}") };
        assert_eq!(process.argv, ["x", "\u{fffd}"]);
        assert_eq!(process.cgroup, "0::/\n");
        assert_eq!(process.env["A"], "1");
    }

    #[test]
    fn later_minor_versions_are_read_and_other_majors_refused() {
        let unknown = "{\"ev\":\"news\",\"n\":2,\"t\":1,\"pid\":1,\"tid\":1,\"x\":[]}\n";
        assert_eq!(read((header("1.9") + unknown).as_bytes()), (2, vec![], false));
        assert_eq!(read(header("2.0").as_bytes()).1, ["t.jsonl: written in schema 2.0, this kvtrace reads 1.x"]);
        assert_eq!(read(header("x").as_bytes()).1, ["t.jsonl: written in schema x, this kvtrace reads 1.x"]);
    }

    #[test]
    fn only_the_last_line_may_be_torn() {
        let line = "{\"ev\":\"dropped\",\"n\":2,\"t\":1,\"pid\":1,\"tid\":1,\"count\":3,\"reason\":\"full\"}\n";
        let whole = header("1.0") + line;
        assert_eq!(read(whole.as_bytes()), (2, vec![], false));
        for cut in header("1.0").len() + 1..whole.len() - 2 {
            assert_eq!(read(&whole.as_bytes()[..cut]), (1, vec![], true));
        }
        let (count, errors, torn) = read((header("1.0") + &line[..20] + "\n" + line).as_bytes());
        assert_eq!((count, torn), (2, false));
        assert!(errors[0].starts_with("t.jsonl:2: "), "{errors:?}");
    }

    #[test]
    fn what_is_no_trace_is_said_once() {
        assert_eq!(read(b"").1, ["t.jsonl: not a kvtrace trace: the file is empty"]);
        assert!(read(b"\x7fELF\x02\x01").1[0].contains("not a kvtrace trace"));
        assert!(read(&vec![b'x'; 3 << 20]).1[0].contains("longer than a mebibyte"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, flips in prop::collection::vec((0usize..900, any::<u8>()), 0..9)) {
            read(&bytes);
            let mut mangled = (header("1.0") + &header("1.0") + &header("1.0")).into_bytes();
            for (at, byte) in flips {
                if let Some(slot) = mangled.get_mut(at) { *slot = byte; }
            }
            mangled.extend(bytes);
            read(&mangled);
        }
    }
}
