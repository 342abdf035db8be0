//! Reads of memory that may not be there. The kernel copies it, and answers with an error where a read of our own would
//! be a fault.

use crate::sys;

/// Bytes of a structure that are read at once, at most.
const SPAN: usize = 512;

/// A way to this process's own memory.
pub struct Memory {
    pid: u32,
    /// Of /proc/self/mem, where the kernel or a filter refuses `process_vm_readv`; else negative.
    descriptor: i32,
}

/// Something to read, and how much of it was read.
pub struct Part<'b> {
    /// Its address.
    pub at: usize,
    /// Where it goes.
    pub into: &'b mut [u8],
    /// Bytes that were read, from the start.
    pub got: usize,
}

impl Memory {
    /// `None` where there is no safe way.
    pub fn new() -> Option<Memory> {
        let known = 0x6b76_7472_6163_6531u64;
        let at = &raw const known as usize;
        // Of this process, and not of the one whose trace this is: a child of vfork has its parent's memory.
        let mut memory = Memory { pid: sys::getpid(), descriptor: -1 };
        if memory.word(at) == Some(known as usize) {
            return Some(memory);
        }
        memory.descriptor = sys::open(b"/proc/self/mem\0", libc::O_RDONLY, 0);
        (memory.descriptor >= 0 && memory.word(at) == Some(known as usize)).then_some(memory)
    }

    /// The process whose memory it is.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Reads what there is of `into.len()` bytes at `at`, and tells how many there are.
    pub fn read(&self, at: usize, into: &mut [u8]) -> usize {
        if self.descriptor >= 0 {
            return usize::try_from(sys::read_at(self.descriptor, into, at)).unwrap_or(0);
        }
        let to = [libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() }];
        let from = [libc::iovec { iov_base: at as *mut _, iov_len: into.len() }];
        // SAFETY: the place is that of the slice.
        usize::try_from(unsafe { sys::copy_guarded(self.pid, &to, &from) }).unwrap_or(0)
    }

    /// Reads several things, in one call to the kernel where all of them are there.
    #[inline(never)]
    pub fn read_all<const N: usize>(&self, parts: &mut [Part; N]) {
        if self.descriptor < 0 {
            let place = |at, part: &Part| libc::iovec { iov_base: at, iov_len: part.into.len() };
            let to = parts.each_mut().map(|part| place(part.into.as_mut_ptr().cast(), part));
            let from = parts.each_ref().map(|part| place(part.at as *mut _, part));
            let size = parts.iter().fold(0usize, |size, part| size.saturating_add(part.into.len()));
            // SAFETY: the places are those of the slices.
            if unsafe { sys::copy_guarded(self.pid, &to, &from) } == size as isize {
                for part in parts {
                    part.got = part.into.len();
                }
                return;
            }
        }
        for part in parts.iter_mut().filter(|part| !part.into.is_empty()) {
            part.got = self.read(part.at, part.into);
        }
    }

    /// The word at `at`.
    pub fn word(&self, at: usize) -> Option<usize> {
        let [word] = self.words(at, [0])?;
        Some(word)
    }

    /// The words of the structure at `at` that have these offsets in it, in one read.
    pub fn words<const N: usize>(&self, at: usize, offsets: [usize; N]) -> Option<[usize; N]> {
        let first = offsets.iter().copied().min()?;
        let size = offsets.iter().copied().max()?.checked_sub(first)?.checked_add(size_of::<usize>())?;
        let mut buffer = [0u8; SPAN];
        let span = buffer.get_mut(..size)?;
        // The lowest page is nobody's, and no structure lies at the end of the address space.
        let at = at.checked_add(first).filter(|at| *at >= 4096 && at.checked_add(SPAN).is_some())?;
        if self.read(at, span) != size {
            return None;
        }
        let mut words = [0usize; N];
        for (word, offset) in words.iter_mut().zip(offsets) {
            *word = word_in(span, offset.checked_sub(first)?)?;
        }
        Some(words)
    }
}

/// A piece of memory from which neighbours are read without asking the kernel again.
pub struct Window<'b> {
    buffer: &'b mut [u8],
    at: usize,
    len: usize,
}

impl<'b> Window<'b> {
    /// Nothing yet.
    pub fn new(buffer: &'b mut [u8]) -> Window<'b> {
        Window { buffer, at: 0, len: 0 }
    }

    /// The `size` bytes at `at`. If they are to be read, then with them what lies before them on their page: frames
    /// stand behind those that called them.
    pub fn get(&mut self, memory: &Memory, at: usize, size: usize) -> Option<&[u8]> {
        let end = at.checked_add(size)?;
        if at < self.at || end > self.at.checked_add(self.len)? {
            let start = end.saturating_sub(self.buffer.len()).max(at & !4095);
            let room = self.buffer.get_mut(..end.checked_sub(start)?)?;
            self.len = 0;
            // The lowest page is nobody's.
            if start < 4096 || memory.read(start, room) != room.len() {
                return None;
            }
            (self.at, self.len) = (start, room.len());
        }
        let from = at.checked_sub(self.at)?;
        self.buffer.get(from..from.checked_add(size)?)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.descriptor >= 0 {
            sys::close(self.descriptor);
        }
    }
}

/// The word at `offset` of what was read.
pub fn word_in(bytes: &[u8], offset: usize) -> Option<usize> {
    let bytes = bytes.get(offset..offset.checked_add(size_of::<usize>())?)?;
    Some(usize::from_ne_bytes(bytes.try_into().ok()?))
}
