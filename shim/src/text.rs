//! Small byte-string helpers that cannot panic.

/// The bytes before the first NUL.
pub fn until_nul(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.get(..end).unwrap_or_default()
}

/// The part behind the last slash.
pub fn base_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

/// Whether `needle` occurs in `text`, ASCII case ignored.
pub fn contains(text: &[u8], needle: &[u8]) -> bool {
    text.windows(needle.len().max(1)).any(|part| part.eq_ignore_ascii_case(needle))
}

/// The lower four bits as a hexadecimal digit.
pub fn hex_digit(value: u8) -> u8 {
    match value & 15 {
        digit @ 0..=9 => b'0'.wrapping_add(digit),
        letter => b'a'.wrapping_add(letter.wrapping_sub(10)),
    }
}

/// The decimal number at the start of `text`, after spaces.
pub fn number(text: &[u8]) -> Option<u64> {
    let mut value = None::<u64>;
    for byte in text.trim_ascii_start() {
        if !byte.is_ascii_digit() {
            break;
        }
        let digit = u64::from(byte.wrapping_sub(b'0'));
        value = Some(value.unwrap_or(0).checked_mul(10)?.checked_add(digit)?);
    }
    value
}

/// `name: rest` of each line.
pub fn pairs(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    text.split(|byte| *byte == b'\n').filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        Some((line.get(..colon)?, line.get(colon.wrapping_add(1)..)?))
    })
}

/// The parts of a line between spaces.
pub fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// A byte string of fixed capacity.
pub struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Text<N> {
    /// Empty.
    pub const fn new() -> Self {
        Text { bytes: [0; N], len: 0 }
    }

    /// Appends what fits; tells whether all did.
    pub fn push(&mut self, more: &[u8]) -> bool {
        let end = self.len.saturating_add(more.len());
        let Some(room) = self.bytes.get_mut(self.len..end) else { return false };
        for (to, from) in room.iter_mut().zip(more) {
            *to = *from;
        }
        self.len = end;
        true
    }

    /// Appends a decimal number.
    pub fn push_number(&mut self, mut value: u64) -> bool {
        let mut digits = [0u8; 20];
        let mut start = digits.len();
        for (index, slot) in digits.iter_mut().enumerate().rev() {
            *slot = b'0'.wrapping_add((value % 10) as u8);
            start = index;
            value /= 10;
            if value == 0 {
                break;
            }
        }
        self.push(digits.get(start..).unwrap_or_default())
    }

    /// Makes it empty.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// The text, to be changed in place.
    pub fn get_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.len).unwrap_or_default()
    }

    /// The text.
    pub fn get(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}
