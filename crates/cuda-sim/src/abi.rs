//! Pointers that come from C callers.
//!
//! The libraries' functions are declared with these types, so that the trust in the caller stands in one place.

/// Where a C caller wants a value: null, or the address of a `T` that it lets us write.
#[derive(Debug)]
#[repr(transparent)]
pub struct Out<T>(*mut T);

/// Where a C caller has a value: null, or the address of a `T` that it lets us read.
#[derive(Debug)]
#[repr(transparent)]
pub struct In<T>(*const T);

impl<T> Clone for Out<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Out<T> {}

impl<T> Clone for In<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for In<T> {}

impl<T> Out<T> {
    /// Nowhere: the caller does not want the value.
    pub const fn none() -> Self {
        Self(core::ptr::null_mut())
    }

    /// A place of our own.
    pub fn to(place: &mut T) -> Self {
        Self(place)
    }

    /// # Safety
    /// `pointer` is null or may be written as a `T` for as long as the result is used.
    pub unsafe fn from_raw(pointer: *mut T) -> Self {
        Self(pointer)
    }

    /// The same place, to be read: for values that go in and come back changed.
    pub fn as_in(self) -> In<T> {
        In(self.0)
    }

    /// Whether the caller wants no value.
    pub fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// Writes `value`. Returns the `CUresult`: success, or invalid value for a null pointer.
    pub fn set(self, value: T) -> i32 {
        if self.0.is_null() {
            return 1;
        }
        self.offer(value);
        0
    }

    /// Writes `value` if the caller wants it.
    pub fn offer(self, value: T) {
        if !self.0.is_null() {
            // SAFETY: the type's promise: not null, so the caller lets us write a `T` here, aligned or not.
            unsafe { self.0.write_unaligned(value) };
        }
    }

    /// Writes `values` one after the other; the caller promised room for as many.
    ///
    /// # Safety
    /// The caller of the C function said that it has room for `values.len()` elements.
    pub unsafe fn set_all(self, values: &[T])
    where
        T: Copy,
    {
        // SAFETY: passed on to our caller.
        unsafe { core::ptr::copy_nonoverlapping(values.as_ptr(), self.0, values.len()) };
    }
}

impl<T: Copy> Out<T> {
    /// What stands there already, where a place serves both ways; `None` for a null pointer.
    pub fn get(self) -> Option<T> {
        In(self.0.cast_const()).get()
    }
}

impl<T: Copy> In<T> {
    /// Reads the value; `None` for a null pointer.
    pub fn get(self) -> Option<T> {
        // SAFETY: the type's promise: not null, so the caller lets us read a `T` here, aligned or not.
        (!self.0.is_null()).then(|| unsafe { self.0.read_unaligned() })
    }
}

impl In<core::ffi::c_char> {
    /// The C string that the caller passes; empty for a null pointer or for text that is not UTF-8.
    pub fn text<'a>(self) -> &'a str {
        if self.0.is_null() {
            return "";
        }
        // SAFETY: the caller passes a NUL-terminated string that outlives the call.
        unsafe { core::ffi::CStr::from_ptr(self.0) }.to_str().unwrap_or("")
    }
}

impl Out<core::ffi::c_char> {
    /// Writes `text` and a NUL into the caller's buffer of `size` bytes, cut to fit. Returns the `CUresult`.
    pub fn set_text(self, text: &str, size: i32) -> i32 {
        let Ok(size @ 1..) = usize::try_from(size) else { return 1 };
        if self.0.is_null() {
            return 1;
        }
        let length = text.len().min(size - 1);
        // SAFETY: the caller gave a buffer of `size` bytes, and `length + 1` is at most that.
        unsafe {
            core::ptr::copy_nonoverlapping(text.as_ptr(), self.0.cast(), length);
            self.0.add(length).write(0);
        }
        0
    }
}

/// Copies `count` bytes as a C caller asks. Both sides may lie on the simulated device, in the host's memory, or overlap.
/// Returns the `CUresult`.
///
/// # Safety
/// The caller of the C function said that both ranges are valid.
pub unsafe fn copy(to: u64, from: u64, count: usize) -> i32 {
    if count == 0 {
        return 0;
    }
    if to == 0 || from == 0 {
        return 1;
    }
    // SAFETY: passed on to our caller; not null as just seen.
    unsafe { core::ptr::copy(from as *const u8, to as *mut u8, count) };
    0
}

/// Fills memory with `count` elements as a C caller asks. Returns the `CUresult`.
///
/// # Safety
/// The caller of the C function said that the range is valid.
pub unsafe fn fill<T: Copy>(to: u64, value: T, count: usize) -> i32 {
    if to == 0 && count > 0 {
        return 1;
    }
    for index in 0..count {
        // SAFETY: passed on to our caller.
        unsafe { (to as *mut T).add(index).write_unaligned(value) };
    }
    0
}
