//! Passes the program's output on as it comes, and keeps the lines that speak of memory.

use super::recorder::Recorder;
use crate::decision::logs::is_memory_line;
use std::io::{self, ErrorKind, Read, Write};
use std::process::Child;
use std::thread::{self, JoinHandle};

/// Of a longer line only the beginning is looked at: progress bars may never end theirs.
const LONGEST: usize = 8192;

/// One thread per stream that is piped.
pub fn start(child: &mut Child, recorder: &Recorder) -> Vec<JoinHandle<()>> {
    let out = child.stdout.take().map(|pipe| spawn("stdout", pipe, io::stdout(), recorder));
    let err = child.stderr.take().map(|pipe| spawn("stderr", pipe, io::stderr(), recorder));
    out.into_iter().chain(err).collect()
}

fn spawn(
    stream: &'static str,
    pipe: impl Read + Send + 'static,
    sink: impl Write + Send + 'static,
    recorder: &Recorder,
) -> JoinHandle<()> {
    let recorder = recorder.clone();
    thread::spawn(move || pass(pipe, sink, |line| recorder.log(stream, line)))
}

/// Copies until the end. Where our own output is closed the pipe is dropped, and the program meets on its next write
/// what it would have met without us.
fn pass(mut pipe: impl Read, mut sink: impl Write, mut keep: impl FnMut(&[u8])) {
    let mut chunk = [0; 1 << 16];
    let mut lines = Lines::default();
    loop {
        let read = match pipe.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        if sink.write_all(&chunk[..read]).and_then(|()| sink.flush()).is_err() {
            break;
        }
        lines.feed(&chunk[..read], &mut keep);
    }
    lines.end(&mut keep);
}

/// Cuts a stream into lines.
#[derive(Default)]
struct Lines {
    line: Vec<u8>,
}

impl Lines {
    fn feed(&mut self, bytes: &[u8], keep: &mut impl FnMut(&[u8])) {
        for part in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            let (text, whole) = match part.split_last() {
                Some((b'\n' | b'\r', text)) => (text, true),
                _ => (part, false),
            };
            let room = LONGEST.saturating_sub(self.line.len());
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if whole {
                self.end(keep);
            }
        }
    }

    fn end(&mut self, keep: &mut impl FnMut(&[u8])) {
        if is_memory_line(&String::from_utf8_lossy(&self.line)) {
            keep(&self.line);
        }
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(chunks: &[&str]) -> (String, Vec<String>) {
        let (mut lines, mut kept) = (Lines::default(), Vec::new());
        for chunk in chunks {
            lines.feed(chunk.as_bytes(), &mut |line: &[u8]| kept.push(String::from_utf8_lossy(line).into_owned()));
        }
        let rest = String::from_utf8_lossy(&lines.line).into_owned();
        (rest, kept)
    }

    #[test]
    fn a_line_in_pieces_is_one_line() {
        let (rest, kept) = kept(&["loading\nNumber of tok", "ens per block: 32.\r\nhal", "f"]);
        assert_eq!(kept, ["Number of tokens per block: 32."]);
        assert_eq!(rest, "half");
    }

    #[test]
    fn an_endless_line_takes_bounded_memory() {
        let (rest, kept) = kept(&[&"x".repeat(3 * LONGEST)]);
        assert_eq!((rest.len(), kept.len()), (LONGEST, 0));
    }

    #[test]
    fn everything_is_passed_on_byte_by_byte() {
        let mut out = Vec::new();
        let given = b"a\xff\0\n[MemUsageChange] Allocated 1.00 GiB";
        let mut kept = 0;
        pass(given.as_slice(), &mut out, |_| kept += 1);
        assert_eq!((out.as_slice(), kept), (given.as_slice(), 1));
    }

    #[test]
    fn a_closed_sink_ends_it() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        pass(io::repeat(b'x'), Closed, |_| {});
    }
}
