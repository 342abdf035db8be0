//! Where the frames wait until all of them are read: only then is it certain that there is an event.

/// Bytes before the texts of a frame: its line and the lengths of both texts.
const HEAD: usize = 8;

/// Frames, one behind the other.
pub struct Pack<'b> {
    bytes: Bytes<'b>,
    /// Whether outer frames are missing.
    pub is_cut: bool,
    /// Of the frame that is being added: where it begins, its line, and where its name begins.
    start: usize,
    line: u32,
    name: usize,
}

/// Bytes that only grow, as far as there is room.
pub struct Bytes<'b> {
    room: &'b mut [u8],
    len: usize,
    full: bool,
}

/// One frame.
pub struct Frame<'p> {
    /// Line, 0 if it is not known.
    pub line: u32,
    /// File as UTF-8, or what it is instead.
    pub file: &'p [u8],
    /// Function, likewise.
    pub name: &'p [u8],
}

impl Bytes<'_> {
    /// Appends all of it, or notes that it did not fit.
    pub fn push(&mut self, more: &[u8]) {
        let end = self.len.saturating_add(more.len());
        match self.room.get_mut(self.len..end) {
            Some(room) if !self.full => {
                for (to, from) in room.iter_mut().zip(more) {
                    *to = *from;
                }
                self.len = end;
            }
            _ => self.full = true,
        }
    }
}

impl<'b> Pack<'b> {
    /// Empty.
    pub fn new(room: &'b mut [u8]) -> Pack<'b> {
        Pack { bytes: Bytes { room, len: 0, full: false }, is_cut: false, start: 0, line: 0, name: 0 }
    }

    /// Notes that there are frames which are not in it.
    pub fn cut(&mut self) {
        self.is_cut = true;
    }

    /// Begins a frame.
    pub fn begin(&mut self, line: u32) {
        (self.start, self.line) = (self.bytes.len, line);
        self.bytes.push(&[0; HEAD]);
    }

    /// Where the file of the frame goes.
    pub fn file(&mut self) -> &mut Bytes<'b> {
        &mut self.bytes
    }

    /// Where the function's name goes, behind the file.
    pub fn name(&mut self) -> &mut Bytes<'b> {
        self.name = self.bytes.len;
        &mut self.bytes
    }

    /// Ends a frame; false if it does not fit whole, and is left out.
    pub fn end(&mut self) -> bool {
        let file = self.start.saturating_add(HEAD);
        let sizes = [self.name.wrapping_sub(file), self.bytes.len.wrapping_sub(self.name)];
        let head = self.bytes.room.get_mut(self.start..file).filter(|_| !self.bytes.full);
        let Some(head) = head else {
            self.bytes.len = self.start;
            return false;
        };
        let [file_size, name_size] = sizes.map(|size| (size as u16).to_ne_bytes());
        let [a, b, c, d] = self.line.to_ne_bytes();
        for (to, from) in head.iter_mut().zip([[a, b], [c, d], file_size, name_size].as_flattened()) {
            *to = *from;
        }
        true
    }

    /// The frames in the order in which they came.
    pub fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        let mut rest = self.bytes.room.get(..self.bytes.len).unwrap_or_default();
        core::iter::from_fn(move || {
            let (&[a, b, c, d, e, f, g, h], behind) = rest.split_first_chunk::<HEAD>()?;
            let (file, behind) = behind.split_at_checked(u16::from_ne_bytes([e, f]).into())?;
            let (name, behind) = behind.split_at_checked(u16::from_ne_bytes([g, h]).into())?;
            rest = behind;
            Some(Frame { line: u32::from_ne_bytes([a, b, c, d]), file, name })
        })
    }
}
