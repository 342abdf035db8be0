//! The text of `/proc/meminfo`.

use crate::change::Available;

/// Where the kernel lets figures begin.
const COLUMN: usize = 16;

/// A line: its key and its figure. In bytes where the line is in kB, and a plain number where it has no unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// `MemFree`.
    pub key: &'a [u8],
    /// Bytes, or a number of pages.
    pub value: u64,
    /// Bytes of one unit of the line.
    pub unit: u64,
}

/// Reads a line.
pub fn line(text: &[u8]) -> Option<Line<'_>> {
    let colon = text.iter().position(|byte| *byte == b':')?;
    let (key, rest) = (text.get(..colon)?, text.get(colon.checked_add(1)?..)?);
    let unit = if rest.trim_ascii_end().ends_with(b" kB") { 1024u64 } else { 1 };
    let mut number = 0u64;
    let mut digits = rest.trim_ascii_start().iter().take_while(|byte| byte.is_ascii_digit()).peekable();
    digits.peek()?;
    for digit in digits {
        number = number.checked_mul(10)?.checked_add(u64::from(digit.wrapping_sub(b'0')))?;
    }
    Some(Line { key, value: number.checked_mul(unit)?, unit })
}

/// The figure of a line.
pub fn figure(text: &[u8], key: &[u8]) -> Option<u64> {
    text.split(|byte| *byte == b'\n').filter_map(line).find(|line| line.key == key).map(|line| line.value)
}

/// What a program could have.
pub fn available(text: &[u8]) -> Option<Available> {
    let huge = figure(text, b"HugePages_Total")
        .filter(|pages| *pages != 0)
        .and_then(|_| figure(text, b"HugePages_Free")?.checked_mul(figure(text, b"Hugepagesize")?));
    Some(Available { memory: figure(text, b"MemAvailable")?, swap: figure(text, b"SwapFree").unwrap_or(0), huge })
}

/// Copies `text` with the figures that `change` gives in place of those that it has; the rest stays byte for byte.
/// Answers with how many bytes of `out` are used, or `None` if it has too few.
///
/// Figures are aligned as the kernel does it.
pub fn rewrite(text: &[u8], out: &mut [u8], mut change: impl FnMut(&Line) -> Option<u64>) -> Option<usize> {
    let mut out = Out { bytes: out, len: 0 };
    for text in text.split_inclusive(|byte| *byte == b'\n') {
        let found = line(text).and_then(|line| Some((line, change(&line)?)));
        match found {
            Some((line, value)) => replace(text, &line, value / line.unit.max(1), &mut out)?,
            None => out.push(text)?,
        }
    }
    Some(out.len)
}

fn replace(text: &[u8], line: &Line, number: u64, out: &mut Out) -> Option<()> {
    let from = line.key.len().checked_add(1)?;
    let rest = text.get(from..)?;
    let first = rest.iter().position(u8::is_ascii_digit)?;
    let count = rest.get(first..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let end = first.checked_add(count)?;
    let mut digits = [0u8; 20];
    let digits = decimal(number, &mut digits);
    out.push(text.get(..from)?)?;
    // The kernel pads the key to 16 columns and then gives the number a width: a wide one pushes the rest along.
    for _ in 0..end.saturating_sub(digits.len()).max(COLUMN.saturating_sub(from)) {
        out.push(b" ")?;
    }
    out.push(digits)?;
    out.push(rest.get(end..)?)
}

/// `number` in digits.
fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut start = digits.len();
    for (index, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0'.wrapping_add((number % 10) as u8);
        start = index;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    digits.get(start..).unwrap_or_default()
}

struct Out<'b> {
    bytes: &'b mut [u8],
    len: usize,
}

impl Out<'_> {
    fn push(&mut self, more: &[u8]) -> Option<()> {
        let end = self.len.checked_add(more.len())?;
        for (to, from) in self.bytes.get_mut(self.len..end)?.iter_mut().zip(more) {
            *to = *from;
        }
        self.len = end;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "MemTotal:       24684092 kB\nMemFree:        15328960 kB\nMemAvailable:   23896868 kB\n\
        Buffers:          114216 kB\nSwapFree:              0 kB\nHugePages_Total:       0\nHugepagesize:       2048 kB\n";

    fn changed(text: &str, key: &str, value: u64) -> String {
        let mut out = [0u8; 4096];
        let change = |line: &Line| (line.key == key.as_bytes()).then_some(value);
        let len = rewrite(text.as_bytes(), &mut out, change).unwrap();
        String::from_utf8(out[..len].to_vec()).unwrap()
    }

    #[test]
    fn one_figure_changes_and_nothing_else() {
        let expected = TEXT.replace("MemFree:        15328960 kB", "MemFree:             100 kB");
        assert_eq!(changed(TEXT, "MemFree", 100 << 10), expected);
        let expected = TEXT.replace("HugePages_Total:       0", "HugePages_Total:      12");
        assert_eq!(changed(TEXT, "HugePages_Total", 12), expected);
        let expected = TEXT.replace("MemFree:        15328960 kB", "MemFree:        18014398509481983 kB");
        assert_eq!(changed(TEXT, "MemFree", u64::MAX), expected);
        assert_eq!(changed(TEXT, "Absent", 1), TEXT);
    }

    #[test]
    fn what_is_available() {
        let plain = available(TEXT.as_bytes()).unwrap();
        assert_eq!(plain, Available { memory: 23_896_868 << 10, swap: 0, huge: None });
        let huge =
            "MemAvailable: 10 kB\nSwapFree: 7 kB\nHugePages_Total: 4\nHugePages_Free: 3\nHugepagesize: 2048 kB\n";
        assert_eq!(
            available(huge.as_bytes()),
            Some(Available { memory: 10 << 10, swap: 7 << 10, huge: Some(6 << 20) })
        );
        assert_eq!(available(b"MemFree: 1 kB\n"), None);
    }

    #[test]
    fn too_little_room_is_no_answer() {
        assert_eq!(rewrite(TEXT.as_bytes(), &mut [0; 20], |_| None), None);
    }

    proptest! {
        /// Protects: whatever stands in the file, lines that no rule names come through byte for byte.
        #[test]
        fn other_lines_stay(text in "([A-Za-z_():]{0,9}[: ]{0,3}[0-9]{0,22}( kB)?\n?){0,9}", value: u64) {
            let mut out = [0u8; 4096];
            let len = rewrite(text.as_bytes(), &mut out, |_| None).unwrap();
            prop_assert_eq!(&out[..len], text.as_bytes());
            let len = rewrite(text.as_bytes(), &mut out, |line| (line.key == b"A").then_some(value)).unwrap();
            let rest = |text: &[u8]| -> Vec<Vec<u8>> {
                text.split(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"A:")).map(<[u8]>::to_vec).collect()
            };
            prop_assert_eq!(rest(&out[..len]), rest(text.as_bytes()));
        }
    }
}
