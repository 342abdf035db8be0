//! The header of a safetensors file, read as it streams by: the bytes of its tensors by dtype. Strict, because the file
//! may hold anything: what is no header of the format gives nothing at all.

use super::letters::{Name, Text};

/// Dtypes told apart; the rest counts as `other`.
const MOST_DTYPES: usize = 12;
/// Deepest nesting: the format needs three levels.
const DEEPEST: u32 = 32;

/// What the header says.
#[derive(Clone, Copy)]
pub struct Summary {
    /// Number of tensors.
    pub tensors: u64,
    /// 64-bit FNV-1a of the header.
    pub digest: u64,
    dtypes: [Dtype; MOST_DTYPES],
    other: u64,
}

#[derive(Clone, Copy)]
struct Dtype {
    name: Name,
    bytes: u64,
}

impl Summary {
    /// Bytes by dtype.
    pub fn dtypes(&self) -> impl Iterator<Item = (&[u8], u64)> {
        let named = self.dtypes.iter().filter(|dtype| !dtype.name.is_empty());
        let named = named.filter_map(|dtype| Some((dtype.name.get()?, dtype.bytes)));
        named.chain((self.other != 0).then_some((b"other".as_slice(), self.other)))
    }
}

/// 64-bit FNV-1a, continued from `hash`.
pub fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Where FNV-1a begins.
pub const FNV: u64 = 0xcbf2_9ce4_8422_2325;

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Value,
    /// A value, or the end of the array.
    First,
    /// A key, or the end of the object.
    FirstKey,
    Key,
    Colon,
    /// A comma, or the end of what encloses the value.
    After,
    Text,
    Number(Digits),
    /// The rest of `true`, `false` or `null`.
    Word(&'static [u8]),
    Done,
}

/// What of a number has been seen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Digits {
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    Exponent,
    Sign,
    Power,
}

/// Which value of a tensor is being read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Other,
    Dtype,
    Offsets,
}

/// Reads a header byte by byte.
pub struct Scanner {
    state: State,
    /// A bit for each open bracket, the innermost lowest: 1 for an object.
    nesting: u64,
    depth: u32,
    /// Whether the text being read is a key.
    is_key: bool,
    text: Text,
    /// Whether this is inside of `__metadata__`.
    metadata: bool,
    seen_metadata: bool,
    field: Field,
    dtype: Option<Name>,
    offsets: [u64; 2],
    /// Numbers of `data_offsets` so far; 3 once the array is closed.
    count: usize,
    number: Option<u64>,
    /// Bytes behind the header.
    room: u64,
    /// Bytes of the tensors.
    total: u64,
    summary: Summary,
}

impl Scanner {
    /// Of a file that has `room` bytes behind its header.
    pub fn new(room: u64) -> Scanner {
        let dtypes = [Dtype { name: Name::EMPTY, bytes: 0 }; MOST_DTYPES];
        Scanner {
            state: State::Value,
            nesting: 0,
            depth: 0,
            is_key: false,
            text: Text::new(),
            metadata: false,
            seen_metadata: false,
            field: Field::Other,
            dtype: None,
            offsets: [0; 2],
            count: 0,
            number: None,
            room,
            total: 0,
            summary: Summary { tensors: 0, digest: FNV, dtypes, other: 0 },
        }
    }

    /// Takes the next bytes; false if they cannot be part of a header.
    pub fn feed(&mut self, bytes: &[u8]) -> bool {
        self.summary.digest = fnv(self.summary.digest, bytes);
        bytes.iter().all(|byte| self.step(*byte).is_some())
    }

    /// What it says, once all of it was taken.
    pub fn finish(&self) -> Option<Summary> {
        // The tensors fill the file. That also tells of names that stand there twice.
        (self.state == State::Done && self.total == self.room).then_some(self.summary)
    }

    fn step(&mut self, byte: u8) -> Option<()> {
        if let State::Number(digits) = self.state {
            match self.digit(digits, byte) {
                Some(next) => {
                    self.state = State::Number(next);
                    return Some(());
                }
                None => {
                    matches!(digits, Digits::Zero | Digits::Whole | Digits::Fraction | Digits::Power).then_some(())?;
                    self.number_ends(digits)?;
                }
            }
        }
        match self.state {
            State::Text => {
                return if self.text.step(byte)? { self.text_ends() } else { Some(()) };
            }
            State::Word(rest) => {
                let (first, rest) = rest.split_first()?;
                (*first == byte).then_some(())?;
                self.state = if rest.is_empty() { State::After } else { State::Word(rest) };
                return Some(());
            }
            _ => {}
        }
        if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            // The file begins with the bracket.
            return (self.depth != 0 || self.state == State::Done).then_some(());
        }
        match (self.state, byte) {
            (State::FirstKey, b'}') | (State::First, b']') => self.close(byte),
            (State::FirstKey | State::Key, b'"') => {
                self.begin_text(true);
                Some(())
            }
            (State::Colon, b':') => {
                self.state = State::Value;
                Some(())
            }
            (State::After, b',') => {
                self.state = if self.nesting & 1 == 1 { State::Key } else { State::Value };
                Some(())
            }
            (State::After, b'}' | b']') => self.close(byte),
            (State::Value | State::First, _) => self.value(byte),
            _ => None,
        }
    }

    /// Whether what is read now is a direct part of a tensor's description.
    fn in_tensor(&self) -> bool {
        self.depth == 2 && !self.metadata
    }

    /// Whether it is an element of `data_offsets`.
    fn in_offsets(&self) -> bool {
        self.depth == 3 && self.nesting & 1 == 0 && self.field == Field::Offsets && !self.metadata
    }

    fn value(&mut self, byte: u8) -> Option<()> {
        // A header is an object of objects; a dtype is a text, and offsets are a list of numbers.
        let fits = match self.depth {
            0 | 1 => byte == b'{',
            _ if self.in_tensor() => match self.field {
                Field::Dtype => byte == b'"',
                Field::Offsets => byte == b'[',
                Field::Other => true,
            },
            _ => !self.in_offsets() || byte.is_ascii_digit(),
        };
        fits.then_some(())?;
        match byte {
            b'{' | b'[' => return self.open(byte == b'{'),
            b'"' => self.begin_text(false),
            b'-' | b'0'..=b'9' => {
                self.number = byte.is_ascii_digit().then(|| byte.wrapping_sub(b'0').into());
                self.state = State::Number(match byte {
                    b'-' => Digits::Minus,
                    b'0' => Digits::Zero,
                    _ => Digits::Whole,
                });
            }
            b't' => self.state = State::Word(b"rue"),
            b'f' => self.state = State::Word(b"alse"),
            b'n' => self.state = State::Word(b"ull"),
            _ => return None,
        }
        Some(())
    }

    fn open(&mut self, is_object: bool) -> Option<()> {
        (self.depth < DEEPEST).then_some(())?;
        self.depth = self.depth.saturating_add(1);
        self.nesting = self.nesting << 1 | u64::from(is_object);
        self.state = if is_object { State::FirstKey } else { State::First };
        if is_object && self.in_tensor() {
            (self.field, self.dtype, self.count) = (Field::Other, None, 0);
        }
        Some(())
    }

    fn close(&mut self, byte: u8) -> Option<()> {
        (self.depth != 0 && (self.nesting & 1 == 1) == (byte == b'}')).then_some(())?;
        if self.in_tensor() {
            self.tensor_ends()?;
        }
        if self.in_offsets() {
            (self.count == 2).then_some(())?;
            self.count = 3;
        }
        if self.depth == 2 {
            self.metadata = false;
        }
        self.depth = self.depth.saturating_sub(1);
        self.nesting >>= 1;
        self.state = if self.depth == 0 { State::Done } else { State::After };
        Some(())
    }

    fn tensor_ends(&mut self) -> Option<()> {
        let name = self.dtype.take()?;
        let [begin, end] = self.offsets;
        (self.count == 3 && end <= self.room).then_some(())?;
        let bytes = end.checked_sub(begin)?;
        self.summary.tensors = self.summary.tensors.saturating_add(1);
        self.total = self.total.saturating_add(bytes);
        let known = name.get().is_some_and(|name| !name.is_empty() && name.iter().all(u8::is_ascii_graphic));
        let mut dtypes = self.summary.dtypes.iter_mut();
        match dtypes.find(|dtype| known && (dtype.name.is_empty() || dtype.name.get() == name.get())) {
            Some(dtype) => {
                dtype.name = name;
                dtype.bytes = dtype.bytes.saturating_add(bytes);
            }
            None => self.summary.other = self.summary.other.saturating_add(bytes),
        }
        Some(())
    }

    fn begin_text(&mut self, is_key: bool) {
        (self.state, self.is_key, self.text) = (State::Text, is_key, Text::new());
    }

    fn text_ends(&mut self) -> Option<()> {
        if !self.is_key {
            self.state = State::After;
            if self.in_tensor() && self.field == Field::Dtype {
                self.dtype = Some(self.text.name);
            }
            return Some(());
        }
        self.state = State::Colon;
        if self.depth == 1 {
            self.metadata = self.text.name.is(b"__metadata__");
            // One name for two things can be read in two ways.
            (!self.metadata || !self.seen_metadata).then_some(())?;
            self.seen_metadata |= self.metadata;
        } else if self.in_tensor() {
            self.field = match () {
                () if self.text.name.is(b"dtype") => Field::Dtype,
                () if self.text.name.is(b"data_offsets") => Field::Offsets,
                () => Field::Other,
            };
            let again = match self.field {
                Field::Dtype => self.dtype.is_some(),
                Field::Offsets => self.count != 0,
                Field::Other => false,
            };
            (!again).then_some(())?;
        }
        Some(())
    }

    /// What has been seen with `byte` behind it; `None` if the number ends before.
    fn digit(&mut self, seen: Digits, byte: u8) -> Option<Digits> {
        let next = match (seen, byte) {
            (Digits::Minus, b'0') => Digits::Zero,
            (Digits::Minus | Digits::Whole, b'0'..=b'9') => Digits::Whole,
            (Digits::Zero | Digits::Whole, b'.') => Digits::Point,
            (Digits::Point | Digits::Fraction, b'0'..=b'9') => Digits::Fraction,
            (Digits::Zero | Digits::Whole | Digits::Fraction, b'e' | b'E') => Digits::Exponent,
            (Digits::Exponent, b'+' | b'-') => Digits::Sign,
            (Digits::Exponent | Digits::Sign | Digits::Power, b'0'..=b'9') => Digits::Power,
            _ => return None,
        };
        let digit = u64::from(byte.wrapping_sub(b'0'));
        self.number = match next {
            Digits::Whole => self.number.and_then(|number| number.checked_mul(10)?.checked_add(digit)),
            _ => None,
        };
        Some(next)
    }

    fn number_ends(&mut self, digits: Digits) -> Option<()> {
        self.state = State::After;
        if self.in_offsets() {
            let number = self.number.filter(|_| matches!(digits, Digits::Zero | Digits::Whole))?;
            *self.offsets.get_mut(self.count)? = number;
            self.count = self.count.saturating_add(1);
        }
        Some(())
    }
}
