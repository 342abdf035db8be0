//! A text in JSON, read letter by letter.

/// Longest name that is looked for, bytes.
const LONGEST: usize = 12;

/// The beginning of a text, its escapes read.
#[derive(Clone, Copy)]
pub struct Name {
    bytes: [u8; LONGEST],
    /// Of the whole text; more than [`LONGEST`] is too long to be known.
    size: usize,
}

impl Name {
    /// No text yet.
    pub const EMPTY: Name = Name { bytes: [0; LONGEST], size: 0 };

    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.size) {
            *slot = byte;
        }
        self.size = self.size.saturating_add(1);
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// The text; `None` if it is too long.
    pub fn get(&self) -> Option<&[u8]> {
        self.bytes.get(..self.size)
    }

    /// Whether it is this text.
    pub fn is(&self, text: &[u8]) -> bool {
        self.get() == Some(text)
    }
}

/// What is still to come of a letter in UTF-8.
#[derive(Clone, Copy)]
struct Letter {
    left: u8,
    /// Bounds of the next byte.
    low: u8,
    high: u8,
}

impl Letter {
    /// Takes the next byte of a text.
    fn step(&mut self, byte: u8) -> Option<()> {
        if self.left != 0 {
            (self.low..=self.high).contains(&byte).then_some(())?;
            *self = Letter { left: self.left.wrapping_sub(1), low: 0x80, high: 0xbf };
            return Some(());
        }
        let (left, low, high) = match byte {
            0..0x80 => (0, 0x80, 0xbf),
            0xc2..=0xdf => (1, 0x80, 0xbf),
            0xe0 => (2, 0xa0, 0xbf),
            0xed => (2, 0x80, 0x9f),
            0xe1..=0xef => (2, 0x80, 0xbf),
            0xf0 => (3, 0x90, 0xbf),
            0xf1..=0xf3 => (3, 0x80, 0xbf),
            0xf4 => (3, 0x80, 0x8f),
            _ => return None,
        };
        *self = Letter { left, low, high };
        Some(())
    }
}

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Letter,
    Escape,
    /// Digits of `\u` to come, at least one.
    Unicode(u8),
}

/// A text behind its opening quote.
pub struct Text {
    /// What it says.
    pub name: Name,
    state: State,
    escaped: u32,
    /// Whether the first half of a pair of escapes waits for its second.
    half: bool,
    letter: Letter,
}

impl Text {
    /// Nothing read yet.
    pub const fn new() -> Text {
        let letter = Letter { left: 0, low: 0x80, high: 0xbf };
        Text { name: Name::EMPTY, state: State::Letter, escaped: 0, half: false, letter }
    }

    /// Takes the next byte; true for the closing quote, `None` for what no text may hold.
    pub fn step(&mut self, byte: u8) -> Option<bool> {
        match self.state {
            State::Letter => {
                self.letter.step(byte)?;
                (!self.half || byte == b'\\').then_some(())?;
                match byte {
                    b'"' => return Some(true),
                    b'\\' => self.state = State::Escape,
                    0..0x20 => return None,
                    _ => self.name.push(byte),
                }
            }
            State::Escape => {
                (!self.half || byte == b'u').then_some(())?;
                self.state = State::Letter;
                match byte {
                    b'"' | b'\\' | b'/' => self.name.push(byte),
                    b'b' | b'f' | b'n' | b'r' | b't' => self.name.push(b'\n'),
                    b'u' => (self.state, self.escaped) = (State::Unicode(4), 0),
                    _ => return None,
                }
            }
            State::Unicode(left) => {
                self.escaped = self.escaped << 4 | (byte as char).to_digit(16)?;
                self.state = State::Unicode(left.wrapping_sub(1));
                if left <= 1 {
                    self.state = State::Letter;
                    (self.half == matches!(self.escaped, 0xdc00..=0xdfff)).then_some(())?;
                    self.half = matches!(self.escaped, 0xd800..=0xdbff);
                    // No name that is looked for has a letter beyond ASCII.
                    self.name.push(if self.escaped < 0x80 { self.escaped as u8 } else { 0xff });
                }
            }
        }
        Some(false)
    }
}
